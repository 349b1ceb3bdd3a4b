package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ListNodes returns the registered nodes in order. The plans that it tells of stand for the revision of the answer:
// otherwise a node could seem to enforce a change that its plan doesn't hold yet.
func (s *intentService) ListNodes(ctx context.Context, _ *connect.Request[weftv1.ListNodesRequest]) (*connect.Response[weftv1.ListNodesResponse], error) {
	v, now := s.Store.View(), s.Now()
	if err := s.Planner.Wait(ctx, v.Revision); err != nil {
		return nil, toConnect(err)
	}
	statuses, _ := s.Store.Statuses()
	leases := leasesByNode(v)
	resp := &weftv1.ListNodesResponse{Revision: v.Revision}
	for _, name := range slices.Sorted(maps.Keys(v.Nodes)) {
		n, st := v.Nodes[name], statuses[name]
		info := &weftv1.NodeInfo{
			Name: string(name), Vtep: n.VTEP.String(), Underlay: n.VTEP.String(), Labels: n.Labels,
			Keyed: !n.WireGuard.Key.IsZero(), Nat: n.NAT, Drained: n.Drained, Connected: st.Connected(now),
			EnforcedRevision: st.Enforced, Report: report(st), Leases: leases[name],
		}
		if p := edit.LinkProblem(v, name); p != "" {
			if info.Report == nil {
				info.Report = &weftv1.NodeReport{}
			}
			info.Report.Problems = append(info.Report.Problems, p)
		}
		if p, ok := s.Planner.Planned(name); ok {
			info.PlannedRevision = p.Revision
			addOverlay(info, v, p.Plan)
			info.EnforcedRevision = enforcedRevision(p, st)
		}
		if !st.LastSeen.IsZero() {
			info.LastSeen = timestamppb.New(st.LastSeen)
			if !info.Connected && len(info.Leases) > 0 {
				info.ReclaimedAt = timestamppb.New(st.LastSeen.Add(time.Duration(v.Intent.Settings().ReclaimHours) * time.Hour))
			}
		}
		resp.Nodes = append(resp.Nodes, info)
	}
	return connect.NewResponse(resp), nil
}

func leasesByNode(v *state.View) map[fabric.NodeName][]string {
	keys := slices.SortedFunc(maps.Keys(v.Leases), func(a, b compile.LeaseKey) int {
		if c := a.Network.Compare(b.Network); c != 0 {
			return c
		}
		return a.Prefix.Compare(b.Prefix)
	})
	out := map[fabric.NodeName][]string{}
	for _, k := range keys {
		n := v.Leases[k].Node
		out[n] = append(out[n], k.Network.String()+" "+k.Prefix.String())
	}
	return out
}

// report returns a node's last report; one that can't be read any more counts as none.
func report(st store.Status) *weftv1.NodeReport {
	r := &weftv1.NodeReport{}
	if err := proto.Unmarshal(st.Report, r); err != nil || r.Version == "" && st.Version == "" && len(st.Report) == 0 {
		return nil
	}
	if r.Version == "" {
		r.Version = st.Version
	}
	return r
}

// workloads returns those that the nodes reported.
func (c Config) workloads() []edit.Workload {
	statuses, _ := c.Store.Statuses()
	var out []edit.Workload
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		for _, a := range report(statuses[name]).GetAttachments() {
			network, err := fabric.ParseNetworkRef(a.Network)
			if err != nil {
				continue
			}
			w := edit.Workload{Node: name, Network: network, Identity: fabric.Identity(a.Identity)}
			for _, text := range a.Addresses {
				text, _, _ = strings.Cut(text, "/")
				if addr, err := netip.ParseAddr(text); err == nil {
					w.Addresses = append(w.Addresses, addr)
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// DeleteNode ends a node's membership, and frees what it held. Its certificate is worth nothing from then on.
func (s *intentService) DeleteNode(ctx context.Context, req *connect.Request[weftv1.DeleteNodeRequest]) (*connect.Response[weftv1.DeleteNodeResponse], error) {
	name := fabric.NodeName(req.Msg.Name)
	if err := fabric.CheckName(string(name)); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	m, err := s.Store.Member(ctx, name)
	if err != nil {
		return nil, toConnect(err)
	}
	view, err := s.Store.Update(ctx, func(v *state.View) (state.Batch, error) {
		if _, ok := v.Nodes[name]; !ok && len(m.Keys) == 0 {
			return state.Batch{}, connect.NewError(connect.CodeNotFound, fmt.Errorf("node %s does not exist", name))
		}
		return edit.DeleteNode(v, name)
	})
	if err != nil {
		return nil, toConnect(err)
	}
	s.Log.Info("node deleted", "node", name, "by", callerFrom(ctx).name)
	return connect.NewResponse(&weftv1.DeleteNodeResponse{Revision: view.Revision}), nil
}

// CreateToken makes a join token. One that names a node also lets a machine take that node's place; any number of
// nodes may join with one that names none, until it expires.
func (s *intentService) CreateToken(ctx context.Context, req *connect.Request[weftv1.CreateTokenRequest]) (*connect.Response[weftv1.CreateTokenResponse], error) {
	ttl := pki.DefaultTokenTTL
	if n := req.Msg.TtlSeconds; n != 0 {
		ttl = time.Duration(n) * time.Second
		if n < 1 || n > int64(pki.MaxTokenTTL/time.Second) {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("a token can live from 1 second to %d days", pki.MaxTokenTTL/(24*time.Hour)))
		}
	}
	if name := req.Msg.Node; name != "" {
		if err := fabric.CheckName(name); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	token, err := s.CA.NewToken(rand.Reader)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	expires := s.Now().Add(ttl)
	err = s.Store.AddToken(ctx, store.Token{ID: token.ID, Hash: pki.HashToken(token), Node: fabric.NodeName(req.Msg.Node), Expires: expires}, ttl)
	if err != nil {
		return nil, toConnect(err)
	}
	s.Log.Info("join token created", "id", token.ID, "node", req.Msg.Node, "expires", expires, "by", callerFrom(ctx).name)
	return connect.NewResponse(&weftv1.CreateTokenResponse{Token: token.String(), Id: token.ID, Expires: timestamppb.New(expires)}), nil
}

// ListTokens returns the tokens that have not expired.
func (s *intentService) ListTokens(ctx context.Context, _ *connect.Request[weftv1.ListTokensRequest]) (*connect.Response[weftv1.ListTokensResponse], error) {
	tokens, err := s.Store.Tokens(ctx)
	if err != nil {
		return nil, toConnect(err)
	}
	resp := &weftv1.ListTokensResponse{}
	for _, t := range tokens {
		if t.Expires.After(s.Now()) {
			resp.Tokens = append(resp.Tokens, &weftv1.TokenInfo{Id: t.ID, Node: string(t.Node), Expires: timestamppb.New(t.Expires)})
		}
	}
	return connect.NewResponse(resp), nil
}

// RevokeToken makes a token worthless. Nodes that joined with it stay.
func (s *intentService) RevokeToken(ctx context.Context, req *connect.Request[weftv1.RevokeTokenRequest]) (*connect.Response[weftv1.RevokeTokenResponse], error) {
	ok, err := s.Store.RevokeToken(ctx, req.Msg.Id)
	if err != nil {
		return nil, toConnect(err)
	}
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no token %.40q", req.Msg.Id))
	}
	s.Log.Info("join token revoked", "id", req.Msg.Id, "by", callerFrom(ctx).name)
	return connect.NewResponse(&weftv1.RevokeTokenResponse{}), nil
}
