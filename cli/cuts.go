package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// writeLive prints how many live connections a change would cut, and on which nodes that is unknown.
func (a *app) writeLive(nodes []*weftv1.NodeChange) {
	var cut, kept uint64
	asked := 0
	var unknown []string
	for _, n := range nodes {
		live := n.GetLive()
		switch {
		case live == nil:
			continue
		case live.GetUnknown() != "":
			unknown = append(unknown, fmt.Sprintf("%s (%s)", n.GetNode(), live.GetUnknown()))
		}
		asked++
		cut, kept = cut+live.GetCut(), kept+live.GetKept()
	}
	if asked == 0 {
		return
	}
	if asked > len(unknown) {
		fmt.Fprintf(a.Stdout, "\nLive connections that it would cut: %d\n", cut)
	}
	if kept > 0 {
		fmt.Fprintf(a.Stdout, "Live connections that it forbids and that can't be cut (ICMPv6): %d\n", kept)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		fmt.Fprintf(a.Stdout, "Live connections that it would cut, unknown for: %s\n", strings.Join(unknown, ", "))
	}
}

// reportCuts says how many live connections a revision has cut on those nodes that it concerned. Nothing of it is an error:
// the change is made.
func (a *app) reportCuts(ctx context.Context, client *apiclient.Client, nodes []*weftv1.NodeInfo, revision uint64) {
	req := &weftv1.CutsRequest{Revision: revision}
	for _, n := range nodes {
		if n.GetPlannedRevision() >= revision {
			req.Nodes = append(req.Nodes, n.GetName())
		}
	}
	if len(req.Nodes) == 0 {
		return
	}
	stream, err := client.Observe.Cuts(ctx, connect.NewRequest(req))
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	var cut uint64
	unknown := map[string]string{}
	for stream.Receive() {
		m := stream.Msg()
		cut += m.GetPart().GetConnections()
		if m.GetLast() && m.GetError() != "" {
			unknown[m.GetNode()] = m.GetError()
		}
	}
	switch err := stream.Err(); {
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return // a controller that is older than this command
	case err != nil:
		fmt.Fprintf(a.Stderr, "how many live connections were cut is unknown: %v\n", explain(a.server(), err))
		return
	case cut > 0:
		fmt.Fprintf(a.Stderr, "cut %s that the policy forbids now\n", count(int(cut), "live connection"))
	}
	for _, n := range slices.Sorted(maps.Keys(unknown)) {
		fmt.Fprintf(a.Stderr, "%s: how many live connections were cut is unknown: %s\n", n, unknown[n])
	}
}
