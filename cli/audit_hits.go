package cli

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// counters asks all nodes how often their rules have decided. ok is false when the controller can't ask for that.
func counters(ctx context.Context, client weftv1connect.ObserveServiceClient) (c audit.Counters, ok bool, err error) {
	stream, err := client.Hits(ctx, connect.NewRequest(&weftv1.HitsRequest{}))
	if err != nil {
		return c, false, err
	}
	defer func() { _ = stream.Close() }() // everything has been read
	for stream.Receive() {
		res := stream.Msg()
		if res.GetError() != "" {
			c.Silent = append(c.Silent, res.GetNode())
		}
		for _, r := range res.GetPart().GetRules() {
			last := ""
			if r.GetLast() != nil {
				last = stamp(r.GetLast().AsTime())
			}
			origin := firewall.Origin{Policy: r.GetOrigin().GetPolicy(), Rule: r.GetOrigin().GetRule(), File: r.GetOrigin().GetFile(), Line: int(r.GetOrigin().GetLine())}
			c.Add(audit.RuleRefOf(r.GetId(), firewall.Direction(r.GetDirection()), origin), r.GetHits(), last)
		}
	}
	var ce *connect.Error
	switch err := stream.Err(); {
	case errors.As(err, &ce) && ce.Code() == connect.CodeUnimplemented:
		return c, false, nil
	case err != nil:
		return c, false, err
	}
	slices.Sort(c.Silent)
	return c, true, nil
}

// liveCounters asks for the counters of the controller's present state; ok is false for anything else.
func (a *app) liveCounters(cmd *cobra.Command, in audited, source sourceFlags) (c audit.Counters, ok bool, err error) {
	if in.state == nil || source.revision != 0 {
		return c, false, nil
	}
	client, err := a.dial(cmd)
	if err != nil {
		return c, false, err
	}
	if c, ok, err = counters(cmd.Context(), client.Observe); err != nil {
		return c, false, explain(a.server(), err)
	}
	return c, ok, nil
}
