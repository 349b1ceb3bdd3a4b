package cli_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Overlay answers with a hub, n1, and two spokes, of which n3 has no key.
func (f *fakeController) Overlay(_ context.Context, req *connect.Request[weftv1.OverlayRequest]) (*connect.Response[weftv1.OverlayResponse], error) {
	key := make([]byte, 32)
	key[0] = 1
	up := &weftv1.TunnelHealth{
		Node: "n2", State: weftv1.TunnelHealth_STATE_UP, Since: timestamppb.New(fakeNow.Add(-time.Hour)), Sent: 200, Lost: 1,
		RttMicros: 312, Mtu: 1440, PlannedMtu: 1440, Handshake: timestamppb.New(fakeNow.Add(-time.Minute)),
	}
	narrow := &weftv1.TunnelHealth{Node: "n1", State: weftv1.TunnelHealth_STATE_UP, Sent: 200, RttMicros: 300, Mtu: 1390, PlannedMtu: 1440, Narrow: true}
	res := &weftv1.OverlayResponse{
		Revision: f.revision, Type: "hub", Encrypted: true, Vteps: "100.92.0.0/16",
		Nodes: []*weftv1.OverlayNode{
			{Name: "n1", Vtep: "100.92.0.1", Underlay: "192.0.2.1", Key: key, Relay: true, Tunnels: []*weftv1.OverlayTunnel{{Node: "n2", Health: up}, {Node: "n4", Failed: true, Health: &weftv1.TunnelHealth{Node: "n4", State: weftv1.TunnelHealth_STATE_DOWN, Sent: 200, Lost: 200}}}},
			{Name: "n2", Vtep: "100.92.0.2", Underlay: "192.0.2.2", Key: key, Nat: true, Rotating: true, Tunnels: []*weftv1.OverlayTunnel{{Node: "n1", Health: narrow}}, Hops: []*weftv1.OverlayHop{{Node: "n4", Via: "n1"}, {Node: "n5", Via: "n1"}}},
			{Name: "n3", Vtep: "192.0.2.3", Underlay: "192.0.2.3"},
		},
		Problems: []string{"spec.overlay.hub leaves n1 and n4 without a way: there is no hub that both can reach"},
	}
	if len(req.Msg.GetNodes()) > 0 {
		res.Nodes = slices.DeleteFunc(res.Nodes, func(n *weftv1.OverlayNode) bool { return !slices.Contains(req.Msg.GetNodes(), n.GetName()) })
	}
	return connect.NewResponse(res), nil
}

func (f *fakeController) OverlayPath(_ context.Context, req *connect.Request[weftv1.OverlayPathRequest]) (*connect.Response[weftv1.OverlayPathResponse], error) {
	if req.Msg.GetTo() == "n9" {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("node %q does not exist", "n9"))
	}
	res := &weftv1.OverlayPathResponse{Encrypted: true, Steps: []*weftv1.OverlayStep{{From: req.Msg.GetFrom(), To: "n1", Health: &weftv1.TunnelHealth{State: weftv1.TunnelHealth_STATE_UP, RttMicros: 300, Sent: 10}}}}
	if req.Msg.GetTo() == "n3" {
		res.Problem = "n1 has no way to n3: see weft topology validate"
	} else {
		res.Steps = append(res.Steps, &weftv1.OverlayStep{From: "n1", To: req.Msg.GetTo()})
	}
	return connect.NewResponse(res), nil
}

func (f *fakeController) DrainNode(_ context.Context, req *connect.Request[weftv1.DrainNodeRequest]) (*connect.Response[weftv1.DrainNodeResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan()
	i := slices.IndexFunc(f.nodes, func(n *weftv1.NodeInfo) bool { return n.GetName() == req.Msg.GetName() })
	if i < 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("node %s does not exist", req.Msg.GetName()))
	}
	n := f.nodes[i]
	res := &weftv1.DrainNodeResponse{Attachments: n.GetReport().GetAttachments(), Leases: n.GetLeases()}
	if req.Msg.GetName() == "n1" {
		res.Ports = []string{"acme/db-1", "acme/db-2"}
	}
	return connect.NewResponse(res), nil
}
