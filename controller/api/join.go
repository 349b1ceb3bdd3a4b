package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/join"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// joinService implements weft.v1.JoinService.
type joinService struct{ Config }

// errToken is the one answer to every wrong token, so that nothing can be learned from it.
var errToken = errors.New("the join token is not valid: it may have expired, been revoked, or be for another node; ask for a new one")

// Join makes the caller a member. A node that is a member already is let in again with the key that it had, or with
// a token that names it.
func (s *joinService) Join(ctx context.Context, req *connect.Request[weftv1.JoinRequest]) (*connect.Response[weftv1.JoinResponse], error) {
	name := fabric.NodeName(req.Msg.Node)
	if err := fabric.CheckName(string(name)); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("node: %w", err))
	}
	text, err := join.ParseToken(req.Msg.Token)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	token, ok, err := s.Store.Token(ctx, text.ID)
	if err != nil {
		return nil, toConnect(err)
	}
	if !ok || !pki.CheckToken(text, token.Hash) || !s.Now().Before(token.Expires) || token.Node != "" && token.Node != name {
		s.Log.Warn("join refused: wrong token", "node", name, "token", text.ID, "peer", req.Peer().Addr)
		return nil, connect.NewError(connect.CodeUnauthenticated, errToken)
	}
	public, err := pki.ParseRequest(req.Msg.Csr)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	key, err := pki.KeySum(public)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := s.Store.Admit(ctx, name, key, token.Node == name); errors.Is(err, store.ErrJoined) {
		return nil, connect.NewError(connect.CodeAlreadyExists,
			fmt.Errorf("%w with another key: use a token that is made for this node, delete the node first, or give this machine another name", err))
	} else if err != nil {
		return nil, toConnect(err)
	}
	cert, err := s.CA.Issue(pki.Request{
		Subject: pki.Subject{Role: pki.RoleNode, Name: string(name)}, Public: public, Now: s.Now(), Validity: pki.NodeValidity}, rand.Reader)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	s.Log.Info("node joined", "node", name, "token", text.ID, "peer", req.Peer().Addr)
	return connect.NewResponse(&weftv1.JoinResponse{Certificate: cert, Ca: s.CA.Certificate.Raw}), nil
}
