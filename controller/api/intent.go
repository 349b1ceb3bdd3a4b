package api

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// intentService implements weft.v1.IntentService.
type intentService struct{ Config }

func (s *intentService) Apply(ctx context.Context, req *connect.Request[weftv1.ApplyRequest]) (*connect.Response[weftv1.ApplyResponse], error) {
	in := edit.Input{Sources: sources(req.Msg.Files), Prune: req.Msg.Prune, ApplySet: req.Msg.ApplySet}
	out, err := s.change(ctx, changeRequest{expected: req.Msg.ExpectedRevision, dryRun: req.Msg.DryRun, edit: func(v *state.View) edit.Result {
		in.Workloads = s.workloads()
		return edit.Apply(v, in)
	}})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.ApplyResponse{Revision: out.revision, Changes: out.changes, Problems: out.problems, Applied: out.applied}), nil
}

func (s *intentService) Delete(ctx context.Context, req *connect.Request[weftv1.DeleteRequest]) (*connect.Response[weftv1.DeleteResponse], error) {
	keys := make([]topology.Key, len(req.Msg.Keys))
	for i, k := range req.Msg.Keys {
		keys[i] = keyFromProto(k)
	}
	out, err := s.change(ctx, changeRequest{expected: req.Msg.ExpectedRevision, dryRun: req.Msg.DryRun, edit: func(v *state.View) edit.Result {
		return edit.Delete(v, keys, s.workloads())
	}})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.DeleteResponse{Revision: out.revision, Changes: out.changes, Problems: out.problems, Applied: out.applied}), nil
}

type changeRequest struct {
	expected uint64 // 0: any
	dryRun   bool
	edit     func(*state.View) edit.Result
}

type changeResponse struct {
	revision uint64
	changes  []*weftv1.Change
	problems []*weftv1.Problem
	applied  bool
}

// change runs an edit as one transaction, or only shows it.
func (s *intentService) change(ctx context.Context, r changeRequest) (out changeResponse, err error) {
	if !r.dryRun {
		defer func() { s.Changes.count(out.applied, err) }()
	}
	var result edit.Result
	view, err := s.Store.Update(ctx, func(v *state.View) (state.Batch, error) {
		if r.expected != 0 && r.expected != v.Revision {
			return state.Batch{}, connect.NewError(connect.CodeAborted,
				fmt.Errorf("the store is at revision %d, not %d: somebody changed it; look at it again", v.Revision, r.expected))
		}
		if result = r.edit(v); r.dryRun {
			return state.Batch{}, nil
		}
		return result.Batch, nil
	})
	if err != nil {
		return changeResponse{}, toConnect(err)
	}
	changes, err := changesToProto(result.Changes)
	if err != nil {
		return changeResponse{}, err
	}
	return changeResponse{
		revision: view.Revision, changes: changes, problems: problemsToProto(result.Problems),
		applied: !r.dryRun && result.Problems.Err() == nil,
	}, nil
}

func (s *intentService) Get(_ context.Context, req *connect.Request[weftv1.GetRequest]) (*connect.Response[weftv1.GetResponse], error) {
	v := s.Store.View()
	k := keyFromProto(req.Msg.Key)
	o := v.Intent.Get(k)
	if o == nil {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s does not exist", k))
	}
	p, err := objectToProto(v, o, s.enforcement())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.GetResponse{Object: p}), nil
}

func (s *intentService) List(ctx context.Context, req *connect.Request[weftv1.ListRequest]) (*connect.Response[weftv1.ListResponse], error) {
	v := s.Store.View()
	if err := s.Planner.Wait(ctx, v.Revision); err != nil { // enforcement is judged by the plans
		return nil, toConnect(err)
	}
	resp := &weftv1.ListResponse{Revision: v.Revision}
	f := filter{kind: req.Msg.Kind, tenant: req.Msg.Tenant}
	enforcement := s.enforcement()
	for _, o := range v.Intent.Objects() {
		if !f.accepts(o.Key) {
			continue
		}
		p, err := objectToProto(v, o, enforcement)
		if err != nil {
			return nil, err
		}
		resp.Objects = append(resp.Objects, p)
	}
	return connect.NewResponse(resp), nil
}

// filter selects objects by kind and tenant; empty parts select all.
type filter struct{ kind, tenant string }

func (f filter) accepts(k topology.Key) bool {
	return (f.kind == "" || f.kind == string(k.Kind)) && (f.tenant == "" || f.tenant == k.Tenant)
}

func (s *intentService) Info(ctx context.Context, _ *connect.Request[weftv1.InfoRequest]) (*connect.Response[weftv1.InfoResponse], error) {
	controllers, err := s.Store.Controllers(ctx)
	if err != nil {
		return nil, toConnect(err)
	}
	v := s.Store.View()
	resp := &weftv1.InfoResponse{
		Version: s.Version, Revision: v.Revision, Store: s.StoreName, Objects: uint32(v.Intent.Len()), Nodes: uint32(len(v.Nodes)),
	}
	for _, c := range controllers {
		resp.Controllers = append(resp.Controllers, &weftv1.ControllerInfo{
			Name: c.Name, Listen: c.Listen, Version: c.Version, Started: timestamppb.New(c.Started), Answering: c.ID == s.Store.Self.ID,
		})
	}
	return connect.NewResponse(resp), nil
}
