package cli_test

import (
	"context"
	"crypto/sha256"

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

func (f fakeObserve) Inspect(_ context.Context, _ *connect.Request[weftv1.InspectRequest], stream *connect.ServerStream[weftv1.InspectResponse]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256([]byte("table=0 actions=drop\ntable=1 actions=drop\n"))
	state := &weftv1.InspectState{PlanRevision: f.revision, PlanHash: []byte{1, 2}, Settled: true, FlowCount: 2, FlowsSha256: sum[:], ReadAt: timestamppb.New(fakeNow)}
	if f.revision == 0 {
		return nil
	}
	for _, res := range []*weftv1.InspectResponse{
		{Node: "n1", Part: &weftv1.InspectPart{State: state, Flows: []byte("table=0 actions=drop\n")}},
		{Node: "n2", Part: &weftv1.InspectPart{State: state, Flows: []byte("table=0 actions=drop\n")}},
		{Node: "n2", Last: true},
		{Node: "n3", Last: true, Error: "it is not connected"},
		{Node: "n1", Last: true, Part: &weftv1.InspectPart{Flows: []byte("table=1 actions=drop\n")}},
	} {
		if err := stream.Send(res); err != nil {
			return err
		}
	}
	return nil
}
