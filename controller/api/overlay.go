package api

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Overlay returns the nodes' tunnels and relays, as their plans have them.
func (s *intentService) Overlay(ctx context.Context, req *connect.Request[weftv1.OverlayRequest]) (*connect.Response[weftv1.OverlayResponse], error) {
	v := s.Store.View()
	if err := s.Planner.Wait(ctx, v.Revision); err != nil {
		return nil, toConnect(err)
	}
	settings := v.Intent.Settings()
	names := slices.Sorted(maps.Keys(v.Nodes))
	resp := &weftv1.OverlayResponse{
		Revision: v.Revision, Type: string(settings.Overlay.Type), Encrypted: settings.Encryption.Mode == topology.EncryptionWireGuard,
		Required: settings.Encryption.Required,
	}
	if resp.Encrypted {
		resp.Vteps = settings.Overlay.VTEPs.String()
		for _, f := range overlay.Check(settings.Overlay, known(v)) {
			resp.Problems = append(resp.Problems, f.Field+" "+f.Message)
		}
	}
	for _, name := range names {
		if p := edit.LinkProblem(v, name); p != "" {
			resp.Problems = append(resp.Problems, fmt.Sprintf("node %s: %s", name, p))
		}
	}
	if len(req.Msg.Nodes) > 0 {
		names = nil
		for _, n := range req.Msg.Nodes {
			if _, err := registered(v, n); err != nil {
				return nil, err
			}
			names = append(names, fabric.NodeName(n))
		}
	}
	for _, name := range names {
		if p, ok := s.Planner.Planned(name); ok {
			resp.Nodes = append(resp.Nodes, s.overlayNode(v, p.Plan))
		}
	}
	for _, n := range resp.Nodes {
		resp.Problems = append(resp.Problems, narrowTunnels(n)...)
	}
	return connect.NewResponse(resp), nil
}

// narrowTunnels says which of a node's tunnels carry less than planned.
func narrowTunnels(n *weftv1.OverlayNode) []string {
	var out []string
	for _, t := range n.Tunnels {
		if h := t.GetHealth(); h.GetNarrow() {
			out = append(out, fmt.Sprintf("the tunnel from %s to %s carries packets of %d bytes, but %d are planned: the underlay carries less than spec.underlayMTU", n.Name, t.Node, h.GetMtu(), h.GetPlannedMtu()))
		}
	}
	return out
}

func known(v *state.View) map[fabric.NodeName]overlay.Known {
	out := make(map[fabric.NodeName]overlay.Known, len(v.Nodes))
	for name, n := range v.Nodes {
		out[name] = overlay.Known{Labels: n.Labels, NAT: n.NAT}
	}
	return out
}

func registered(v *state.View, name string) (fabric.NodeName, error) {
	if _, ok := v.Nodes[fabric.NodeName(name)]; !ok {
		return "", connect.NewError(connect.CodeNotFound, fmt.Errorf("node %.63q does not exist", name))
	}
	return fabric.NodeName(name), nil
}

func (s *intentService) overlayNode(v *state.View, n plan.Node) *weftv1.OverlayNode {
	node, wireGuard := v.Nodes[n.Name], s.wireGuard(n.Name)
	out := &weftv1.OverlayNode{
		Name: string(n.Name), Vtep: n.Settings.VTEP.String(), Underlay: n.Settings.Underlay.String(),
		Rotating: !node.Next.Key.IsZero(), Nat: node.NAT, Relay: n.Settings.Encryption.Relay,
		Zone: overlay.Role(v.Intent.Settings().Overlay, n.Name, node.Labels).Zone, Implementation: wireGuard.GetImplementation(),
	}
	if !node.WireGuard.Key.IsZero() {
		out.Key = node.WireGuard.Key[:]
	}
	for _, p := range n.Peers {
		out.Peers = append(out.Peers, string(p.Name))
	}
	for _, t := range n.Tunnels {
		out.Tunnels = append(out.Tunnels, &weftv1.OverlayTunnel{
			Node: string(t.Name), Failed: v.Failed[overlay.LinkOf(n.Name, t.Name)], Health: healthOf(wireGuard, t.Name),
		})
	}
	for _, h := range n.Hops {
		out.Hops = append(out.Hops, &weftv1.OverlayHop{Node: string(h.Node), Via: string(h.Via)})
	}
	return out
}

// wireGuard returns what a node reported of its WireGuard last, or nil.
func (s *intentService) wireGuard(name fabric.NodeName) *weftv1.WireGuardReport {
	var r weftv1.NodeReport
	if err := proto.Unmarshal(s.Store.Status(name).Report, &r); err != nil {
		return nil
	}
	return r.GetWireguard()
}

func healthOf(r *weftv1.WireGuardReport, tunnel fabric.NodeName) *weftv1.TunnelHealth {
	for _, t := range r.GetTunnels() {
		if t.Node == string(tunnel) {
			return t
		}
	}
	return nil
}

// OverlayPath follows the plans from one node to another, as packets do.
func (s *intentService) OverlayPath(ctx context.Context, req *connect.Request[weftv1.OverlayPathRequest]) (*connect.Response[weftv1.OverlayPathResponse], error) {
	v := s.Store.View()
	if err := s.Planner.Wait(ctx, v.Revision); err != nil {
		return nil, toConnect(err)
	}
	from, err := registered(v, req.Msg.From)
	if err != nil {
		return nil, err
	}
	to, err := registered(v, req.Msg.To)
	if err != nil {
		return nil, err
	}
	resp := &weftv1.OverlayPathResponse{Revision: v.Revision}
	start, _ := s.Planner.Planned(from)
	peer, talks := find(start.Plan.Peers, func(p plan.Peer) bool { return p.Name == to })
	switch {
	case from == to:
		resp.Problem = fmt.Sprintf("%s is where the way begins: name two nodes", from)
	case !talks:
		resp.Problem = fmt.Sprintf("%s doesn't talk with %s: they share no network and no peering%s", from, to, keyless(v, from, to))
	case start.Plan.Settings.Encryption.Plain(peer.VTEP):
		resp.Steps = append(resp.Steps, &weftv1.OverlayStep{From: string(from), To: string(to)})
	default:
		resp.Encrypted = true
		s.follow(resp, from, to)
	}
	return connect.NewResponse(resp), nil
}

// keyless says which of two nodes lack a key, where that keeps them apart.
func keyless(v *state.View, nodes ...fabric.NodeName) string {
	s := v.Intent.Settings()
	if s.Encryption.Mode != topology.EncryptionWireGuard {
		return ""
	}
	for _, n := range nodes {
		if v.Nodes[n].WireGuard.Key.IsZero() {
			return fmt.Sprintf(", or need encryption, for which %s has no key", n)
		}
	}
	return ""
}

// follow adds the tunnels from a node to another.
func (s *intentService) follow(resp *weftv1.OverlayPathResponse, from, to fabric.NodeName) {
	for at, seen := from, map[fabric.NodeName]bool{}; at != to; {
		if seen[at] {
			resp.Problem = fmt.Sprintf("the way is being changed: %s comes twice; ask again", at)
			return
		}
		seen[at] = true
		p, _ := s.Planner.Planned(at)
		next := to
		if h, ok := find(p.Plan.Hops, func(h plan.Hop) bool { return h.Node == to }); ok {
			next = h.Via
		}
		if _, ok := find(p.Plan.Tunnels, func(t plan.Tunnel) bool { return t.Name == next }); !ok {
			resp.Problem = fmt.Sprintf("%s has no way to %s: see weft topology validate", at, to)
			return
		}
		resp.Steps = append(resp.Steps, &weftv1.OverlayStep{From: string(at), To: string(next), Health: healthOf(s.wireGuard(at), next)})
		at = next
	}
}

func find[T any](s []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(s, is); i >= 0 {
		return s[i], true
	}
	var none T
	return none, false
}

// addOverlay adds what a node's plan and the state say of its tunnels.
func addOverlay(info *weftv1.NodeInfo, v *state.View, n plan.Node) {
	info.Vtep, info.Relay, info.Tunnels = n.Settings.VTEP.String(), n.Settings.Encryption.Relay, uint32(len(n.Tunnels))
	for _, t := range n.Tunnels {
		if v.Failed[overlay.LinkOf(n.Name, t.Name)] {
			info.FailedTunnels++
		}
	}
}

// DrainNode keeps further workloads away from a node, or lets them come again.
func (s *intentService) DrainNode(ctx context.Context, req *connect.Request[weftv1.DrainNodeRequest]) (*connect.Response[weftv1.DrainNodeResponse], error) {
	name := fabric.NodeName(req.Msg.Name)
	view, err := s.Store.Update(ctx, func(v *state.View) (state.Batch, error) { return edit.Drain(v, name, !req.Msg.Undo) })
	if err != nil {
		return nil, toConnect(err)
	}
	resp := &weftv1.DrainNodeResponse{
		Revision: view.Revision, Leases: leasesByNode(view)[name], Attachments: report(s.Store.Status(name)).GetAttachments(),
	}
	for port, on := range view.Bindings {
		if on == name {
			resp.Ports = append(resp.Ports, port.String())
		}
	}
	slices.Sort(resp.Ports)
	s.Log.Info("node drained", "node", name, "undone", req.Msg.Undo, "by", callerFrom(ctx).name)
	return connect.NewResponse(resp), nil
}
