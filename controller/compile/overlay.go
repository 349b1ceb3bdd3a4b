package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// natKeepalive is the interval at which nodes behind NAT keep their mappings, in seconds: below the 30 that are
// the least in use for UDP (RFC 4787, section 4.3, asks for 120).
const natKeepalive = 25

// WireGuard is a node's key and where it listens.
type WireGuard struct {
	Key fabric.PublicKey `json:"key"`
	// Port is 0 for the fabric's.
	Port uint16 `json:"port,omitzero"`
}

// Probe returns the probe address that belongs to a VTEP: the one as far into the upper half of the range as the VTEP
// is into the lower.
func Probe(vteps netip.Prefix, vtep netip.Addr) netip.Addr {
	b := vtep.As4()
	bit := vteps.Bits() // the first one that is the node's
	b[bit/8] |= 0x80 >> (bit % 8)
	return netip.AddrFrom4(b)
}

// encrypted reports whether the fabric's tunnels are.
func (x *index) encrypted() bool { return x.settings.Encryption.Mode == topology.EncryptionWireGuard }

// keyed reports whether a node takes part in encrypted tunnels.
func (x *index) keyed(name fabric.NodeName) bool { return x.keyedState(x.nodes[name]) }

func (x *index) keyedState(n NodeState) bool {
	return x.encrypted() && !n.WireGuard.Key.IsZero() && x.settings.Overlay.VTEPs.Contains(n.Overlay)
}

// vtep returns the tunnel address of a node, as nodes with a key know it.
func (x *index) vtep(n NodeState) netip.Addr {
	if x.keyedState(n) {
		return n.Overlay
	}
	return n.VTEP
}

// requires reports whether a network's packets must not travel in the plain.
func (x *index) requires(ref fabric.NetworkRef) bool {
	n := x.intent.Network(ref)
	return x.encrypted() && (x.settings.Encryption.Required || n != nil && n.Spec.Encryption.Required)
}

// reached is how a node reaches another for a network: at which tunnel address, or not at all.
func (x *index) reached(from, to fabric.NodeName, required bool) (netip.Addr, bool) {
	switch {
	case from == to || x.keyed(from) && x.keyed(to):
		return x.vtep(x.nodes[to]), true
	case x.encrypted() && required:
		return netip.Addr{}, false
	}
	return x.nodes[to].VTEP, true
}

// routesFor returns a view's routes as a node has them, and the nodes that they lead to. The view has them as they are
// among nodes with keys, so only in company of nodes without is there something to do.
func (x *index) routesFor(name fabric.NodeName, v *view) ([]plan.Route, []plan.Peer) {
	routes := v.routes.of(name)
	if !x.encrypted() || x.keyed(name) && !v.plain {
		return routes, v.holders
	}
	required := x.requires(v.network.Ref)
	var out []plan.Route
	for _, r := range routes {
		if vtep, ok := x.reached(name, r.Node, required); ok {
			r.VTEP = vtep
			out = append(out, r)
		}
	}
	var holders []plan.Peer
	for _, p := range v.holders {
		if vtep, ok := x.reached(name, p.Name, required); ok {
			holders = append(holders, plan.Peer{Name: p.Name, VTEP: vtep})
		}
	}
	return out, holders
}

// newNet returns the overlay of the nodes that are there, without who must talk.
func (x *index) newNet() *overlay.Net {
	net := overlay.New(x.settings.Overlay)
	for l := range x.failed {
		net.SetFailed(l, true)
	}
	for name := range x.nodes {
		x.setNetNode(net, name)
	}
	return net
}

// setNetNode tells an overlay what a node is to it.
func (x *index) setNetNode(net *overlay.Net, name fabric.NodeName) {
	n, ok := x.nodes[name]
	if !ok || !x.keyed(name) {
		net.RemoveNode(name)
		return
	}
	role := overlay.Role(x.settings.Overlay, name, n.Labels)
	role.NAT = n.NAT
	net.SetNode(name, role)
}

// setNetPeers tells an overlay whom a node must talk with, by its plan.
func (x *index) setNetPeers(net *overlay.Net, n plan.Node) {
	var peers []fabric.NodeName
	if x.keyed(n.Name) {
		for _, p := range n.Peers {
			if x.keyed(p.Name) {
				peers = append(peers, p.Name)
			}
		}
	}
	net.SetPeers(n.Name, peers)
}

// withOverlay returns a plan with the node's share of an overlay.
func (x *index) withOverlay(n plan.Node, net *overlay.Net) plan.Node {
	n.Tunnels, n.Hops = nil, nil
	n.Settings.Encryption.Relay = false
	if !x.keyed(n.Name) {
		return n
	}
	share := net.Share(n.Name)
	n.Settings.Encryption.Relay = share.Relay
	for _, name := range share.Tunnels {
		n.Tunnels = append(n.Tunnels, x.tunnel(n.Name, name))
	}
	for _, h := range share.Hops {
		n.Hops = append(n.Hops, plan.Hop{Node: h.Node, VTEP: x.vtep(x.nodes[h.Node]), Via: h.Via})
	}
	return n
}

func (x *index) tunnel(own, name fabric.NodeName) plan.Tunnel {
	self := x.nodes[own]
	other := x.nodes[name]
	t := plan.Tunnel{
		Name: name, VTEP: other.Overlay, Probe: Probe(x.settings.Overlay.VTEPs, other.Overlay),
		End: x.end(other, other.WireGuard), Next: x.end(other, other.Next),
	}
	if self.NAT {
		t.Keepalive = natKeepalive
	}
	if mtu := x.directMTU(own, name, true); mtu < x.settings.WorkloadMTU(self.VTEP.Is6()) {
		t.MTU = topology.Tunnel(mtu)
	}
	return t
}

func (x *index) end(n NodeState, w WireGuard) plan.TunnelEnd {
	e := plan.TunnelEnd{Key: w.Key}
	if w.Key.IsZero() || n.NAT {
		return e
	}
	port := w.Port
	if port == 0 {
		port = x.settings.Encryption.Port
	}
	e.Endpoint = netip.AddrPortFrom(n.VTEP, port)
	return e
}

// planEncryption returns the settings of encryption of a node, but for what the overlay makes of it.
func (x *index) planEncryption(name fabric.NodeName) plan.Encryption {
	if !x.encrypted() {
		return plan.Encryption{}
	}
	s := x.settings
	e := plan.Encryption{WireGuard: true, Required: s.Encryption.Required, Port: s.Encryption.Port, VTEPs: s.Overlay.VTEPs}
	if x.keyed(name) {
		e.Probe = Probe(s.Overlay.VTEPs, x.nodes[name].Overlay)
	}
	return e
}

// placements returns where the identities of a network are, for fabrics that hold nodes to it.
func (x *index) placements(ref fabric.NetworkRef, ports map[fabric.NodeName][]plan.Port) []plan.Placement {
	if !x.settings.StrictIdentity {
		return nil
	}
	var out []plan.Placement
	for id := range x.identities[ref] {
		for node := range x.placed[id] {
			out = append(out, plan.Placement{Node: node, Identity: id})
		}
	}
	for node, bound := range ports {
		for _, p := range bound {
			out = append(out, plan.Placement{Node: node, Identity: p.Identity})
		}
	}
	return sortPlacements(out)
}

// placementsFrom returns those of placements that are on a node or on one of its peers, in order.
func placementsFrom(self fabric.NodeName, peers []plan.Peer, placements []plan.Placement) []plan.Placement {
	var out []plan.Placement
	for _, p := range placements {
		if _, ok := slices.BinarySearchFunc(peers, p.Node, func(p plan.Peer, n fabric.NodeName) int { return cmp.Compare(p.Name, n) }); ok || p.Node == self {
			out = append(out, p)
		}
	}
	return sortPlacements(out)
}

func sortPlacements(ps []plan.Placement) []plan.Placement {
	slices.SortFunc(ps, func(a, b plan.Placement) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Identity, b.Identity))
	})
	return slices.Compact(ps)
}
