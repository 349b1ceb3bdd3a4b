package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/controller/store"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// auditService implements weft.v1.AuditService.
type auditService struct{ Config }

func auditHandler(cfg Config) (string, http.Handler) {
	path, h := weftv1connect.NewAuditServiceHandler(&auditService{cfg}, options(maxRequest))
	return path, guarded(inContact(cfg.Store, adminsOnly), h)
}

// Declared returns what the store held at a revision.
func (s *auditService) Declared(ctx context.Context, req *connect.Request[weftv1.DeclaredRequest]) (*connect.Response[weftv1.DeclaredResponse], error) {
	past, err := s.Store.At(ctx, req.Msg.Revision)
	switch {
	case errors.Is(err, store.ErrForgotten):
		return nil, connect.NewError(connect.CodeOutOfRange, err)
	case errors.Is(err, store.ErrNoRevision):
		return nil, connect.NewError(connect.CodeNotFound, err)
	case err != nil:
		return nil, toConnect(err)
	}
	newest := req.Msg.Revision == 0
	resp := &weftv1.DeclaredResponse{Revision: past.View.Revision, Version: s.Version}
	for _, o := range past.View.Intent.Objects() {
		body, err := o.MarshalJSON()
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		resp.Objects = append(resp.Objects, &weftv1.DeclaredObject{
			Json: body, Revision: past.View.Objects[o.Key].Revision, File: o.Origin.File, Line: int32(o.Origin.Line),
			IngressLines: int32s(o.RuleLines.Ingress), EgressLines: int32s(o.RuleLines.Egress),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(past.Statuses)) {
		st := past.Statuses[name]
		r := report(st)
		if r == nil {
			continue
		}
		resp.Nodes = append(resp.Nodes, &weftv1.NodeAttachments{
			Node: string(name), Reported: timestamppb.New(st.LastSeen), Connected: st.Open && (!newest || st.Connected(s.Now())), Attachments: r.Attachments,
		})
	}
	return connect.NewResponse(resp), nil
}

func int32s(list []int) []int32 {
	var out []int32
	for _, n := range list {
		out = append(out, int32(n))
	}
	return out
}
