package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/planner"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Plan computes what Apply would do, down to the plans of the nodes, and changes nothing.
func (s *intentService) Plan(ctx context.Context, req *connect.Request[weftv1.PlanRequest]) (*connect.Response[weftv1.PlanResponse], error) {
	v := s.Store.View()
	r := edit.Apply(v, edit.Input{
		Sources: sources(req.Msg.Files), Prune: req.Msg.Prune, ApplySet: req.Msg.ApplySet, Workloads: s.workloads()})
	changes, err := changesToProto(r.Changes)
	if err != nil {
		return nil, err
	}
	resp := &weftv1.PlanResponse{Revision: v.Revision, Changes: changes, Problems: problemsToProto(r.Problems)}
	deltas := planner.Preview(v, r.Batch)
	for _, d := range deltas {
		resp.Nodes = append(resp.Nodes, &weftv1.NodeChange{Node: string(d.Node), Added: d.Added, Changed: d.Changed, Removed: d.Removed})
	}
	if req.Msg.Live {
		s.askLive(ctx, deltas, resp.Nodes)
	}
	return connect.NewResponse(resp), nil
}
