package cli_test

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// fakeAudit tells what the fake controller declared at each revision. It has forgotten revision 1 once there are three.
type fakeAudit struct {
	weftv1connect.UnimplementedAuditServiceHandler
	*fakeController
}

// keep remembers what is declared now.
func (f *fakeController) keep() {
	if f.past == nil {
		f.past = make(map[uint64]*weftv1.DeclaredResponse)
	}
	res := &weftv1.DeclaredResponse{Revision: f.revision, Version: "test"}
	for _, k := range f.sorted() {
		o := f.objects[k]
		res.Objects = append(res.Objects, &weftv1.DeclaredObject{Json: o.GetJson(), File: o.GetFile(), Line: o.GetLine(), Revision: o.GetRevision()})
	}
	for _, n := range f.nodes {
		if n.GetReport() != nil {
			res.Nodes = append(res.Nodes, &weftv1.NodeAttachments{Node: n.GetName(), Reported: timestamppb.New(fakeNow), Connected: n.GetConnected(), Attachments: n.GetReport().GetAttachments()})
		}
	}
	f.past[f.revision] = res
	if f.revision > 2 {
		delete(f.past, 1)
	}
}

func (f fakeAudit) Declared(_ context.Context, req *connect.Request[weftv1.DeclaredRequest]) (*connect.Response[weftv1.DeclaredResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	revision := req.Msg.GetRevision()
	if revision == 0 {
		revision = f.revision
	}
	res := f.past[revision]
	switch {
	case revision == 0:
		return connect.NewResponse(&weftv1.DeclaredResponse{Version: "test"}), nil
	case revision > f.revision:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("revision %d does not exist yet: the newest is %d", revision, f.revision))
	case res == nil:
		return nil, connect.NewError(connect.CodeOutOfRange, fmt.Errorf("revision %d is not kept any more", revision))
	}
	return connect.NewResponse(res), nil
}
