package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/health"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// identityWait is how long ResolveIdentity waits for the nodes that need to know a new identity.
const identityWait = 5 * time.Second

// nodeService implements weft.v1.NodeService: each call acts for the node that the certificate names.
type nodeService struct {
	Config
	streams  *streams
	judge    *health.Judge
	absences *health.Absences
	links    *linkBatch
}

// commit runs an edit as one transaction for the calling node, and returns the revision of the node's plan that
// reflects it. That is the revision at which the plan last changed, so that a node that waits for it never waits in
// vain.
func (s *nodeService) commit(ctx context.Context, change func(*state.View) (state.Batch, error)) (revision uint64, view *state.View, err error) {
	name := node(ctx)
	view, err = s.Store.Update(ctx, func(v *state.View) (state.Batch, error) {
		b, err := change(v)
		b.Member = name
		return b, err
	})
	if err != nil {
		return 0, nil, toConnect(err)
	}
	revision, err = s.planRevision(ctx, view)
	return revision, view, err
}

// planRevision returns the revision of the calling node's plan that reflects a view.
func (s *nodeService) planRevision(ctx context.Context, view *state.View) (uint64, error) {
	if err := s.Planner.Wait(ctx, view.Revision); err != nil {
		return 0, toConnect(err)
	}
	p, _ := s.Planner.Planned(node(ctx))
	return p.Revision, nil
}

func (s *nodeService) Register(ctx context.Context, req *connect.Request[weftv1.RegisterRequest]) (*connect.Response[weftv1.RegisterResponse], error) {
	vtep, err := netip.ParseAddr(req.Msg.Vtep)
	if err != nil {
		return nil, badArgument("the tunnel address %.60q is not an IP address", req.Msg.Vtep)
	}
	name := node(ctx)
	n := compile.NodeState{VTEP: vtep.Unmap(), Labels: req.Msg.Labels, NAT: req.Msg.Nat, MTU: int(min(req.Msg.UnderlayMtu, math.MaxUint16))}
	if n.WireGuard, err = wireGuard(req.Msg.Wireguard); err != nil {
		return nil, err
	}
	if n.Next, err = wireGuard(req.Msg.WireguardNext); err != nil {
		return nil, err
	}
	if n.Clients, err = clientGateway(req.Msg.Clients); err != nil {
		return nil, err
	}
	revision, view, turn, err := s.register(ctx, name, n)
	if err != nil {
		return nil, err
	}
	err = s.Store.UpdateStatus(ctx, name, func(st *store.Status) bool {
		st.Version, st.LastSeen = req.Msg.Version, s.Now()
		return true
	})
	if err != nil {
		return nil, toConnect(err)
	}
	s.Log.Info("node registered", "node", name, "vtep", vtep, "version", req.Msg.Version)
	known := turn && s.waitKeys(ctx, view.Revision)
	return connect.NewResponse(&weftv1.RegisterResponse{Revision: revision, Known: known}), nil
}

func (s *nodeService) LeaseBlock(ctx context.Context, req *connect.Request[weftv1.LeaseBlockRequest]) (*connect.Response[weftv1.LeaseBlockResponse], error) {
	network, err := fabric.ParseNetworkRef(req.Msg.Network)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	r := edit.LeaseRequest{Network: network, Subnet: req.Msg.Subnet}
	switch req.Msg.Family {
	case weftv1.LeaseBlockRequest_FAMILY_IPV4:
	case weftv1.LeaseBlockRequest_FAMILY_IPV6:
		r.IPv6 = true
	default:
		return nil, badArgument("a lease needs a family, IPv4 or IPv6")
	}
	var block netip.Prefix
	revision, _, err := s.commit(ctx, func(v *state.View) (b state.Batch, err error) {
		block, b, err = edit.LeaseBlock(v, node(ctx), r)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.LeaseBlockResponse{Prefix: block.String(), Revision: revision}), nil
}

func (s *nodeService) ReleaseBlock(ctx context.Context, req *connect.Request[weftv1.ReleaseBlockRequest]) (*connect.Response[weftv1.ReleaseBlockResponse], error) {
	network, err := fabric.ParseNetworkRef(req.Msg.Network)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	block, err := netip.ParsePrefix(req.Msg.Prefix)
	if err != nil {
		return nil, badArgument("%.60q is not a prefix", req.Msg.Prefix)
	}
	revision, _, err := s.commit(ctx, func(v *state.View) (state.Batch, error) {
		return edit.ReleaseBlock(v, node(ctx), compile.LeaseKey{Network: network, Prefix: block}), nil
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.ReleaseBlockResponse{Revision: revision}), nil
}

func (s *nodeService) ResolveIdentity(ctx context.Context, req *connect.Request[weftv1.ResolveIdentityRequest]) (*connect.Response[weftv1.ResolveIdentityResponse], error) {
	network, err := fabric.ParseNetworkRef(req.Msg.Network)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	// A label set that is known, as almost all are, writes nothing and waits for nobody who writes.
	view := s.Store.View()
	id, b, err := edit.ResolveIdentity(view, network, req.Msg.Labels)
	if err == nil && !b.Empty() {
		_, view, err = s.commit(ctx, func(v *state.View) (b state.Batch, err error) {
			id, b, err = edit.ResolveIdentity(v, network, req.Msg.Labels)
			return b, err
		})
	}
	made := view.IdentityRevisions[id]
	if err == nil {
		view, made, err = s.place(ctx, view, id, made)
	}
	if err != nil {
		return nil, toConnect(err)
	}
	revision, err := s.planRevision(ctx, view)
	if err != nil {
		return nil, err
	}
	s.waitKnown(ctx, network, made)
	return connect.NewResponse(&weftv1.ResolveIdentityResponse{Identity: uint32(id), Revision: revision}), nil
}

// waitKnown returns once every other connected node that has the network in its plan acts on a revision, or the time
// for that is up.
func (s *nodeService) waitKnown(ctx context.Context, network fabric.NetworkRef, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, identityWait)
	defer cancel()
	for {
		statuses, changed := s.Store.Statuses()
		waiting := s.unaware(statuses, node(ctx), network, revision)
		if waiting == "" {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.Log.Warn("a node is slow to learn a new identity, and denies it until then", "node", waiting, "network", network)
			return
		}
	}
}

// unaware returns a connected node that needs to know a revision and doesn't act on it yet, or "".
func (s *nodeService) unaware(statuses map[fabric.NodeName]store.Status, self fabric.NodeName, network fabric.NetworkRef, revision uint64) fabric.NodeName {
	now := s.Now()
	for name, st := range statuses {
		if name == self || !st.Connected(now) {
			continue
		}
		if p, ok := s.Planner.Planned(name); ok && hasNetwork(p.Plan, network) && !enforces(p, st, revision) {
			return name
		}
	}
	return ""
}

func (s *nodeService) BindPort(ctx context.Context, req *connect.Request[weftv1.BindPortRequest]) (*connect.Response[weftv1.BindPortResponse], error) {
	binding := edit.Binding{Port: req.Msg.Port}
	if text := req.Msg.Mac; text != "" {
		mac, err := fabric.ParseMAC(text)
		if err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		binding.MAC = mac
	}
	for _, text := range req.Msg.Addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, badArgument("%.60q is not an IP address", text)
		}
		binding.Addresses = append(binding.Addresses, addr)
	}
	var ref fabric.PortRef
	revision, _, err := s.commit(ctx, func(v *state.View) (b state.Batch, err error) {
		ref, b, err = edit.BindPort(v, node(ctx), binding)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.BindPortResponse{Port: ref.String(), Revision: revision}), nil
}

func (s *nodeService) ReleasePort(ctx context.Context, req *connect.Request[weftv1.ReleasePortRequest]) (*connect.Response[weftv1.ReleasePortResponse], error) {
	revision, _, err := s.commit(ctx, func(v *state.View) (state.Batch, error) {
		return edit.ReleasePort(v, node(ctx), req.Msg.Port), nil
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&weftv1.ReleasePortResponse{Revision: revision}), nil
}

// RenewCertificate signs a new certificate, perhaps of a new key. The key in use stays good until the next renewal.
func (s *nodeService) RenewCertificate(ctx context.Context, req *connect.Request[weftv1.RenewCertificateRequest]) (*connect.Response[weftv1.RenewCertificateResponse], error) {
	public, err := pki.ParseRequest(req.Msg.Csr)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	key, err := pki.KeySum(public)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	c := callerFrom(ctx)
	if err := s.Store.AddKey(ctx, fabric.NodeName(c.name), c.key, key); err != nil {
		return nil, toConnect(err)
	}
	cert, err := s.CA.Issue(pki.Request{
		Subject: pki.Subject{Role: pki.RoleNode, Name: c.name}, Public: public, Now: s.Now(), Validity: pki.NodeValidity}, rand.Reader)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&weftv1.RenewCertificateResponse{Certificate: cert}), nil
}

func badArgument(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}
