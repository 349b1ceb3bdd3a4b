package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// inspectTimeout is how long a node may take to read its switch and to tell what it holds.
const inspectTimeout = 30 * time.Second

// observeService implements weft.v1.ObserveService: what users ask, nodes answer.
type observeService struct{ Config }

// Inspect asks nodes what they work on, and what their switches hold.
func (s *observeService) Inspect(ctx context.Context, req *connect.Request[weftv1.InspectRequest], stream *connect.ServerStream[weftv1.InspectResponse]) error {
	expected, err := s.expectations(ctx)
	if err != nil {
		return toConnect(err)
	}
	q := &weftv1.Question{TimeoutMs: uint32(inspectTimeout.Milliseconds()), Ask: &weftv1.Question_Inspect{Inspect: &weftv1.InspectQuestion{}}}
	return s.ask(ctx, req.Msg.Nodes, q, func(p observe.Part) error {
		resp := &weftv1.InspectResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetInspect()}
		if p.Last {
			resp.Expected = expected.of(p.Node)
		}
		return stream.Send(resp)
	})
}

// Trace asks a node's switch what it would do with packets.
func (s *observeService) Trace(ctx context.Context, req *connect.Request[weftv1.TraceRequest], stream *connect.ServerStream[weftv1.TraceResponse]) error {
	q := &weftv1.Question{TimeoutMs: uint32(inspectTimeout.Milliseconds()), Ask: &weftv1.Question_Trace{Trace: &weftv1.TraceQuestion{Packets: req.Msg.Packets}}}
	return s.ask(ctx, []string{req.Msg.Node}, q, func(p observe.Part) error {
		return stream.Send(&weftv1.TraceResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetTrace()})
	})
}

// ask puts a question to nodes; without names, to all of them.
func (s *observeService) ask(ctx context.Context, names []string, q *weftv1.Question, take func(observe.Part) error) error {
	req := observe.Request{Ask: observe.Ask{Caller: callerFrom(ctx).name, Question: q}}
	for _, n := range names {
		if err := fabric.CheckName(n); err != nil {
			return badArgument("node %.60q: %w", n, err)
		}
		req.Nodes = append(req.Nodes, fabric.NodeName(n))
	}
	if len(names) == 0 {
		req.Nodes = slices.Collect(maps.Keys(s.Store.View().Nodes))
	}
	return s.Observe.Ask(ctx, req, take)
}

// Presence tells what the store knows of a node.
func Presence(s *store.Store, now func() time.Time) func(fabric.NodeName) observe.Presence {
	return func(n fabric.NodeName) observe.Presence {
		_, known := s.View().Nodes[n]
		st := s.Status(n)
		return observe.Presence{Known: known, Connected: st.Connected(now()), LastSeen: st.LastSeen, Version: st.Version}
	}
}

// peerService implements weft.v1.PeerService.
type peerService struct{ Config }

// Holds tells another controller which nodes can be asked here.
func (s *peerService) Holds(context.Context, *connect.Request[weftv1.HoldsRequest]) (*connect.Response[weftv1.HoldsResponse], error) {
	resp := &weftv1.HoldsResponse{Controller: s.Store.Self.ID}
	for _, n := range s.Observe.Hub.Nodes() {
		resp.Nodes = append(resp.Nodes, string(n))
	}
	return connect.NewResponse(resp), nil
}

// Relay asks a node that is connected here, for another controller.
func (s *peerService) Relay(ctx context.Context, req *connect.Request[weftv1.RelayRequest], stream *connect.ServerStream[weftv1.RelayResponse]) error {
	if req.Msg.Question == nil {
		return badArgument("there is no question")
	}
	return s.Observe.Hub.Relay(ctx, fabric.NodeName(req.Msg.Node), observe.Ask{Caller: req.Msg.Caller, Question: req.Msg.Question}, func(p *weftv1.AnswerRequest) error {
		return stream.Send(&weftv1.RelayResponse{Part: p})
	})
}

// peersOnly lets other controllers call.
func peersOnly(ctx context.Context) error {
	if c := callerFrom(ctx); c.role != pki.RolePeer {
		return connect.NewError(connect.CodePermissionDenied, errors.New("this call is for the controllers of the fabric"))
	}
	return nil
}

// WatchQuestions hands out what users ask of the calling node.
func (s *nodeService) WatchQuestions(ctx context.Context, _ *connect.Request[weftv1.WatchQuestionsRequest], stream *connect.ServerStream[weftv1.Question]) error {
	lost, err := s.Store.Contact()
	if err != nil {
		return toConnect(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx
		select {
		case <-lost:
			cancel(store.ErrNoContact)
		case <-ctx.Done():
		}
	}()
	name := node(ctx)
	s.Log.Debug("question stream opened", "node", name)
	err = s.Observe.Hub.Serve(ctx, name, stream.Send)
	switch {
	case errors.Is(context.Cause(ctx), store.ErrNoContact):
		return toConnect(store.ErrNoContact)
	case errors.Is(err, observe.ErrReplaced):
		return connect.NewError(connect.CodeAborted, err)
	}
	return err
}

// Answer takes a part of an answer of the calling node.
func (s *nodeService) Answer(ctx context.Context, req *connect.Request[weftv1.AnswerRequest]) (*connect.Response[weftv1.AnswerResponse], error) {
	stop, err := s.Observe.Hub.Answer(ctx, node(ctx), req.Msg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("question %.40q: %w", req.Msg.Id, err))
	}
	return connect.NewResponse(&weftv1.AnswerResponse{Stop: stop}), nil
}
