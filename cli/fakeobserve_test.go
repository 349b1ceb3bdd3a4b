package cli_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// fakeObserve answers for the fake controller's nodes: n1 in two parts, n2 with flows of another hash than it tells, n3 not.
type fakeObserve struct {
	weftv1connect.UnimplementedObserveServiceHandler
	*fakeController
}

func (f fakeObserve) Inspect(_ context.Context, req *connect.Request[weftv1.InspectRequest], stream *connect.ServerStream[weftv1.InspectResponse]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256([]byte("table=0 actions=drop\ntable=1 actions=drop\n"))
	state := &weftv1.InspectState{PlanRevision: f.revision, PlanHash: []byte{1, 2}, Settled: true, FlowCount: 2, FlowsSha256: sum[:], ReadAt: timestamppb.New(fakeNow)}
	if f.revision == 0 {
		return nil
	}
	for _, res := range []*weftv1.InspectResponse{
		{Node: "n1", Part: &weftv1.InspectPart{State: state, Flows: []byte("table=0 actions=drop\n"), Ports: []*weftv1.InspectPort{
			{Ofport: 1, Name: "tap0", ExternalIds: map[string]string{"weft-kind": "tap", "weft-port": "acme/db-1"}},
			{Ofport: 2, Name: "veth1", ExternalIds: map[string]string{"weft-kind": "container", "weft-network": "acme/prod", "attached-mac": "02:00:00:00:00:02", "weft-addresses": "10.0.1.2"}},
		}}},
		{Node: "n2", Part: &weftv1.InspectPart{State: state, Flows: []byte("table=0 actions=drop\n")}},
		{Node: "n2", Last: true},
		{Node: "n3", Last: true, Error: "it is not connected"},
		{Node: "n1", Last: true, Part: &weftv1.InspectPart{Flows: []byte("table=1 actions=drop\n")}},
	} {
		if names := req.Msg.GetNodes(); len(names) > 0 && !slices.Contains(names, res.GetNode()) {
			continue
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
	return nil
}

// Trace drops what goes to port 22, and delivers the rest, as Open vSwitch tells it.
func (f fakeObserve) Trace(_ context.Context, req *connect.Request[weftv1.TraceRequest], stream *connect.ServerStream[weftv1.TraceResponse]) error {
	for i, p := range req.Msg.GetPackets() {
		text := "Flow: " + p.GetPacket() + "\n\nbridge(\"br-int\")\n----------------\n 0. in_port=2,dl_src=02:00:00:00:00:02, priority 100, cookie 0x7701000500000002\n    resubmit(,10)\n"
		if strings.Contains(p.GetPacket(), "tcp_dst=22") {
			text += "65. priority 0, cookie 0x7701011f00000007\n    drop\n\nFinal flow: unchanged\nMegaflow: recirc_id=0\nDatapath actions: drop\n"
		} else {
			text += "68. reg8=0x7, priority 1, cookie 0x7701000a00000007\n80. reg0=0, priority 1, cookie 0x7701000100000000\n    output:NXM_NX_REG5[]\n     -> output port is 1\n\nDatapath actions: 1\n"
		}
		if err := stream.Send(&weftv1.TraceResponse{Node: req.Msg.GetNode(), Part: &weftv1.TracePart{Index: uint32(i), Text: text}}); err != nil {
			return err
		}
	}
	if req.Msg.GetNode() != "n1" {
		return fmt.Errorf("node %s was asked", req.Msg.GetNode())
	}
	return stream.Send(&weftv1.TraceResponse{Node: req.Msg.GetNode(), Last: true})
}
