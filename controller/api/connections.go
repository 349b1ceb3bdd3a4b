package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/controller/planner"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const (
	// hitsTimeout is how long nodes may take to read their counts.
	hitsTimeout = 10 * time.Second
	// cutsTimeout is how long nodes may take to hold all connections against a new policy.
	cutsTimeout = 15 * time.Second
	// wouldCutTimeout is how long a plan waits for nodes to say what it would cut.
	wouldCutTimeout = 5 * time.Second
	// maxChange is the largest change that nodes are asked about, in bytes.
	maxChange = 3 << 20
	// liveAtOnce is how many nodes are asked about a change at once.
	liveAtOnce = 32
)

// Hits tells how often each rule decided, node by node.
func (s *observeService) Hits(ctx context.Context, req *connect.Request[weftv1.HitsRequest], stream *connect.ServerStream[weftv1.HitsResponse]) error {
	q := &weftv1.Question{TimeoutMs: uint32(hitsTimeout.Milliseconds()), Ask: &weftv1.Question_Hits{Hits: &weftv1.HitsQuestion{}}}
	return s.ask(ctx, req.Msg.Nodes, q, func(p observe.Part) error {
		return stream.Send(&weftv1.HitsResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetHits()})
	})
}

// FlowLog reads the nodes' logs of connections, and follows them.
func (s *observeService) FlowLog(ctx context.Context, req *connect.Request[weftv1.FlowLogRequest], stream *connect.ServerStream[weftv1.FlowLogResponse]) error {
	ask := req.Msg.Question
	if ask == nil {
		ask = &weftv1.FlowLogQuestion{}
	}
	if v := ask.Verdict; v != "" && v != "allow" && v != "deny" {
		return badArgument("verdict %.40q: it is allow or deny", v)
	}
	q := &weftv1.Question{TimeoutMs: uint32(inspectTimeout.Milliseconds()), Ask: &weftv1.Question_FlowLog{FlowLog: ask}}
	if ask.Follow {
		q.TimeoutMs = 0
	}
	return s.ask(ctx, req.Msg.Nodes, q, func(p observe.Part) error {
		return stream.Send(&weftv1.FlowLogResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetFlowLog()})
	})
}

// Cuts tells how many live connections a revision has cut.
func (s *observeService) Cuts(ctx context.Context, req *connect.Request[weftv1.CutsRequest], stream *connect.ServerStream[weftv1.CutsResponse]) error {
	q := &weftv1.Question{TimeoutMs: uint32(cutsTimeout.Milliseconds()), Ask: &weftv1.Question_Cuts{Cuts: &weftv1.CutsQuestion{Revision: req.Msg.Revision}}}
	return s.ask(ctx, req.Msg.Nodes, q, func(p observe.Part) error {
		return stream.Send(&weftv1.CutsResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetCuts()})
	})
}

// askLive asks the nodes that a change concerns how many live connections it would cut, and writes it into changes, which
// are of the same nodes as deltas. A node that doesn't answer in time is unknown.
func (s *intentService) askLive(ctx context.Context, deltas []planner.NodeDelta, changes []*weftv1.NodeChange) {
	ctx, cancel := context.WithTimeout(ctx, wouldCutTimeout)
	defer cancel()
	var nodes errgroup.Group
	nodes.SetLimit(liveAtOnce)
	for i, d := range deltas {
		if mayCut(d) {
			nodes.Go(func() error { changes[i].Live = s.wouldCut(ctx, d); return nil })
		}
	}
	_ = nodes.Wait() // what fails is part of the answer
}

// mayCut reports whether a change of a node's plan can forbid live connections: it touches rules, or takes label sets or
// peerings away. A node that is new or gone has none.
func mayCut(d planner.NodeDelta) bool {
	if d.Before == nil {
		return false
	}
	return slices.ContainsFunc(slices.Concat(d.Added, d.Changed, d.Removed), func(key string) bool {
		kind, _, _ := strings.Cut(key, "/")
		return kind == "rule" || kind == "network"
	}) || slices.ContainsFunc(slices.Concat(d.Changed, d.Removed), func(key string) bool { return strings.HasPrefix(key, "identity/") })
}

// wouldCut asks one node what a change of its plan would do to its connections.
func (s *intentService) wouldCut(ctx context.Context, d planner.NodeDelta) *weftv1.LiveConnections {
	hash := plan.Hash(*d.Before)
	ask := &weftv1.WouldCutQuestion{BaseHash: hash[:], Upsert: planwire.ToProtos(d.Delta.Upsert), Remove: d.Delta.Remove}
	if proto.Size(ask) > maxChange {
		return &weftv1.LiveConnections{Unknown: "the change is too large to ask the node about"}
	}
	q := &weftv1.Question{TimeoutMs: uint32(wouldCutTimeout.Milliseconds()), Ask: &weftv1.Question_WouldCut{WouldCut: ask}}
	out := &weftv1.LiveConnections{}
	req := observe.Request{Nodes: []fabric.NodeName{d.Node}, Ask: observe.Ask{Caller: callerFrom(ctx).name, Question: q}}
	err := s.Observe.Ask(ctx, req, func(p observe.Part) error {
		if c := p.GetCuts(); c != nil {
			out.Cut, out.Kept = out.Cut+c.Connections, out.Kept+c.Kept
		}
		if p.Last {
			out.Unknown = p.Error
		}
		return nil
	})
	if err != nil && out.Unknown == "" {
		out.Unknown = err.Error()
	}
	return out
}
