package api

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/store"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Watch sends the present objects, or what changed since a revision, then the mark that this is complete, and then
// every change. A watcher that reads too slowly to be served from the history is told to start again.
func (s *intentService) Watch(ctx context.Context, req *connect.Request[weftv1.WatchRequest], stream *connect.ServerStream[weftv1.WatchResponse]) error {
	f := filter{kind: req.Msg.Kind, tenant: req.Msg.Tenant}
	lost, err := s.Store.Contact()
	if err != nil {
		return toConnect(err)
	}
	at := req.Msg.FromRevision
	if at == 0 {
		view := s.Store.View()
		for _, o := range view.Intent.Objects() {
			if !f.accepts(o.Key) {
				continue
			}
			p, err := objectToProto(view, o, nil)
			if err != nil {
				return err
			}
			if err := stream.Send(&weftv1.WatchResponse{Verb: weftv1.Change_VERB_ADDED, Object: p}); err != nil {
				return err
			}
		}
		at = view.Revision
	} else if have := s.Store.View().Revision; at > have {
		return connect.NewError(connect.CodeOutOfRange, fmt.Errorf("revision %d is in the future: the store is at %d", at, have))
	}
	for synced := false; ; synced = true {
		events, view, changed, ok := s.History.after(at)
		if !ok {
			return connect.NewError(connect.CodeOutOfRange, fmt.Errorf("the changes since revision %d are forgotten: watch again from 0", at))
		}
		for _, e := range events {
			if !f.accepts(e.key) {
				continue
			}
			if err := stream.Send(eventToProto(e)); err != nil {
				return err
			}
		}
		at = max(at, view.Revision)
		if !synced {
			if err := stream.Send(&weftv1.WatchResponse{Synced: true}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-lost:
			return toConnect(store.ErrNoContact)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func eventToProto(e objectEvent) *weftv1.WatchResponse {
	p := &weftv1.Object{Key: keyToProto(e.key), Revision: e.revision}
	if e.verb != edit.Removed {
		// An object of the store has been encoded before.
		p.Json, _ = e.object.MarshalJSON()
		p.ApplySet, p.File, p.Line = e.meta.ApplySet, e.object.Origin.File, int32(e.object.Origin.Line)
	}
	return &weftv1.WatchResponse{Verb: verbToProto(e.verb), Object: p}
}
