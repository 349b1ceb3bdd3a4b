package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/controller/planner"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// maxReport is the largest report of a node, in bytes: etcd must take it.
const maxReport = 1 << 20

// errReplaced ends a plan stream whose node has opened another one.
var errReplaced = errors.New("the node has opened another plan stream")

// streams knows the plan stream of each node: it has at most one.
type streams struct {
	mu     sync.Mutex
	byNode map[fabric.NodeName]context.CancelCauseFunc
	ids    map[fabric.NodeName]string
}

func newStreams() *streams {
	return &streams{byNode: map[fabric.NodeName]context.CancelCauseFunc{}, ids: map[fabric.NodeName]string{}}
}

// open ends the node's older stream. The context ends with the new one, which close gives up.
func (s *streams) open(ctx context.Context, node fabric.NodeName) (streamCtx context.Context, id string, close func()) {
	streamCtx, cancel := context.WithCancelCause(ctx)
	id = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byNode[node]; old != nil {
		old(errReplaced)
	}
	s.byNode[node], s.ids[node] = cancel, id
	return streamCtx, id, func() {
		cancel(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ids[node] == id {
			delete(s.byNode, node)
			delete(s.ids, node)
		}
	}
}

// WatchPlan sends the node's plan, and then each newest difference. What changes while a difference is being sent
// becomes part of the next one, so a slow node costs the memory of one old plan and no more.
func (s *nodeService) WatchPlan(ctx context.Context, req *connect.Request[weftv1.WatchPlanRequest], stream *connect.ServerStream[weftv1.PlanUpdate]) error {
	name := node(ctx)
	lost, err := s.Store.Contact()
	if err != nil {
		return toConnect(err)
	}
	if err := s.upToDate(ctx); err != nil {
		return err
	}
	reader := s.Planner.Reader(name)
	defer reader.Close()
	planned, ok := s.Planner.Planned(name)
	if !ok {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("the node has no plan yet: call Register first"))
	}
	ctx, session, done := s.streams.open(ctx, name)
	defer done()
	if err := s.setOpen(ctx, name, session, true); err != nil {
		return toConnect(err)
	}
	defer func() {
		if _, err := s.Store.Contact(); err != nil {
			return // the node's next stream, at another controller, tells more
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if err := s.setOpen(ctx, name, session, false); err != nil && !errors.Is(err, store.ErrNotMember) {
			s.Log.Warn("can't store that a node left", "node", name, "error", err)
		}
	}()
	s.Log.Info("plan stream opened", "node", name, "have", req.Msg.HaveRevision)
	if err := stream.Send(firstUpdate(planned, req.Msg.HaveHash)); err != nil {
		return err
	}
	for {
		select {
		case <-reader.Changed():
		case <-lost:
			// It can't hear of changes any more: the node shall look for a controller that can.
			_, err := s.Store.Contact()
			return toConnect(cmp.Or(err, store.ErrNoContact))
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errReplaced) {
				return connect.NewError(connect.CodeAborted, errReplaced)
			}
			return ctx.Err()
		}
		next, ok := s.Planner.Planned(name)
		if !ok {
			return connect.NewError(connect.CodeFailedPrecondition, errors.New("the node was deleted"))
		}
		if next.Revision == planned.Revision {
			continue
		}
		if err := stream.Send(deltaUpdate(planned, next)); err != nil {
			return err
		}
		planned = next
	}
}

// upToDate returns once the plans hold everything that was committed before, by whichever controller: a node that comes
// from another one must not be sent back to an older plan.
func (s *nodeService) upToDate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	revision, err := s.Store.Sync(ctx)
	if err != nil {
		return toConnect(err)
	}
	return toConnect(s.Planner.Wait(ctx, revision))
}

// firstUpdate is the whole plan, or nothing but its revision for a node that has it already.
func firstUpdate(p planner.Planned, haveHash []byte) *weftv1.PlanUpdate {
	if bytes.Equal(haveHash, p.Hash[:]) {
		return &weftv1.PlanUpdate{Revision: p.Revision, Hash: p.Hash[:]}
	}
	return &weftv1.PlanUpdate{Revision: p.Revision, Snapshot: true, Upsert: planwire.ToProtos(plan.Entries(p.Plan)), Hash: p.Hash[:]}
}

func deltaUpdate(from, to planner.Planned) *weftv1.PlanUpdate {
	d := plan.Diff(from.Plan, to.Plan)
	return &weftv1.PlanUpdate{Revision: to.Revision, Upsert: planwire.ToProtos(d.Upsert), Remove: d.Remove, Hash: to.Hash[:]}
}

// setOpen stores whether the node has a plan stream. Of a stream that was replaced, the end is no news.
func (s *nodeService) setOpen(ctx context.Context, name fabric.NodeName, session string, open bool) error {
	return s.Store.UpdateStatus(ctx, name, func(st *store.Status) bool {
		if !open && st.Session != session {
			return false
		}
		st.Session, st.Open, st.LastSeen = session, open, s.Now()
		return true
	})
}

// Report stores what the node enforces. Nodes report at least every 15 seconds: see store.Silence.
func (s *nodeService) Report(ctx context.Context, req *connect.Request[weftv1.ReportRequest]) (*connect.Response[weftv1.ReportResponse], error) {
	var body []byte
	if req.Msg.Report != nil {
		var err error
		if body, err = proto.Marshal(req.Msg.Report); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		if len(body) > maxReport {
			return nil, badArgument("the report has %d bytes, at most %d are allowed", len(body), maxReport)
		}
	}
	name := node(ctx)
	enforced := req.Msg.EnforcedRevision
	if enforced > s.Store.View().Revision {
		enforced = 0 // it is of another store's history
	}
	planned, _ := s.Planner.Planned(name)
	err := s.Store.UpdateStatus(ctx, name, func(st *store.Status) bool {
		st.LastSeen, st.Enforced, st.Hash = s.Now(), enforced, nil
		if enforced != 0 && enforced == planned.Revision {
			st.Hash = planned.Hash[:]
		}
		if body != nil {
			st.Report = body
		}
		return true
	})
	if err != nil {
		return nil, toConnect(err)
	}
	if req.Msg.Report != nil {
		if err := s.observe(ctx, name, req.Msg.Report); err != nil {
			return nil, toConnect(err)
		}
	}
	return connect.NewResponse(&weftv1.ReportResponse{}), nil
}

func hasNetwork(n plan.Node, network fabric.NetworkRef) bool {
	return slices.ContainsFunc(n.Networks, func(net plan.Network) bool { return net.Ref == network })
}
