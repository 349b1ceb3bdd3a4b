package agent

import (
	"context"

	"github.com/weftfabric/weft/agent/uplink"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// send gives the one who asks a part of an answer. It returns when there is room for the next one; after an error nobody
// listens any more.
type send func(*weftv1.AnswerRequest) error

// Answer answers what a user asks of this node: it is the Answerer that the uplink calls, several times at once.
func (a *Agent) Answer(ctx context.Context, q *weftv1.Question, send func(*weftv1.AnswerRequest) error) error {
	switch ask := q.Ask.(type) {
	case *weftv1.Question_Inspect:
		return a.inspect(ctx, send)
	case *weftv1.Question_Trace:
		return a.trace(ctx, ask.Trace.GetPackets(), send)
	case *weftv1.Question_Hits:
		return a.tellHits(ctx, send)
	case *weftv1.Question_FlowLog:
		return a.tellLog(ctx, ask.FlowLog, send)
	case *weftv1.Question_Cuts:
		return a.tellCuts(ctx, ask.Cuts.GetRevision(), send)
	case *weftv1.Question_WouldCut:
		return a.tellWouldCut(ctx, ask.WouldCut, send)
	case *weftv1.Question_RotateKey:
		return a.tellRotation(ctx, send)
	}
	return uplink.ErrUnknownQuestion
}
