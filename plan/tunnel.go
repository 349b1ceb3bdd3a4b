package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// Encryption says how tunnel packets travel between nodes. The zero value: plain, over the underlay.
//
// With WireGuard the agent has a WireGuard device with the addresses Settings.VTEP and Probe, and everything for
// VTEPs is routed into it. Tenants' packets are VXLAN from VTEP to VTEP, so WireGuard vouches for the outer source: a
// peer can't use the VTEP of another. What WireGuard accepts from and sends to each tunnel follows from Tunnels and
// Hops: see Node.Allowed.
type Encryption struct {
	// WireGuard says that the fabric's tunnels are encrypted. Peers outside VTEPs, if the plan names any, have no key
	// and are reached in the plain, at their underlay addresses.
	WireGuard bool
	// Required says that there are no such peers: no VXLAN packet may leave or be accepted outside the device. It holds
	// from the first plan that says so on, and from the saved plan on at a start.
	Required bool
	// Port is the UDP port on which the node listens, unless its own configuration names another.
	Port uint16
	// VTEPs is the range of all VTEPs and probe addresses.
	VTEPs netip.Prefix
	// Probe is the node's own probe address; invalid while the node has no key.
	Probe netip.Addr
	// Relay says that the node forwards packets between its tunnels, and only between them, by their outer destination.
	Relay bool
}

// Tunnel is a node that this one shares a WireGuard tunnel with. Key: Name. Tunnels and Peers are different
// sets: a Peer may be reached over a relay, and a relay need not be a Peer.
//
// A tunnel is measured with probes between the two nodes' probe addresses, which always go through the tunnel itself,
// never over a relay. The results go into the node's report; a change between up and down is reported at once. When a
// tunnel is down, the controller leads the pair over a relay by Hops in the plans of both ends, and back once the
// probes say that the tunnel heals. An agent never changes the way by itself: WireGuard takes a source from one tunnel only,
// so both ends and the relay have to agree.
type Tunnel struct {
	Name fabric.NodeName
	// VTEP and Probe are the node's addresses within WireGuard.
	VTEP, Probe netip.Addr
	// End is the node's key and where it is reached.
	End TunnelEnd
	// Next is the key that the node is about to use; the zero value when there is none.
	//
	// A key is replaced in two steps. First the node announces Next by Register, which returns when every connected node
	// with this tunnel has acknowledged a plan with it: each has by then a second WireGuard peer of that key, without
	// allowed IPs, or on a device of its own with them. Then the node uses the new key and registers it as its key,
	// which makes it End in all plans; the allowed IPs move to it, and the old key is removed. A receiver that sees a handshake
	// with Next may move the allowed IPs at once, before the plan says so.
	Next TunnelEnd
	// Keepalive is the interval in seconds at which this node sends empty packets to keep the mapping of the NAT that it
	// is behind; 0 for none.
	Keepalive uint16
	// MTU is the largest packet that the tunnel carries, in bytes; 0 for as much as Settings.WorkloadMTU needs with VXLAN.
	MTU int
}

// TunnelEnd is a key and the address at which its owner listens.
type TunnelEnd struct {
	Key fabric.PublicKey
	// Endpoint is invalid when the owner is behind NAT: wait for its handshake, and answer where it comes from.
	Endpoint netip.AddrPort
}

// Hop says that a node's VTEP is reached, and its packets arrive, through the tunnel to another: a relay. Without a
// Hop a VTEP is reached through the tunnel to its own node. Key: Node.
type Hop struct {
	Node fabric.NodeName
	VTEP netip.Addr
	// Via is one of the plan's Tunnels, and not Node.
	Via fabric.NodeName
}

// Placement says that a node has workloads with an identity, so that packets with the identity are accepted from there.
// Plans hold them only with Settings.StrictIdentity: for every Peer, and for the plan's own node, which asks for the
// identity of a workload unless it has such a placement. Key: Node, Identity.
type Placement struct {
	Node     fabric.NodeName
	Identity fabric.Identity
}

// Allowed returns WireGuard's allowed IPs of each tunnel, in order: the node's probe address, its VTEP unless that
// has a Hop elsewhere, and the VTEPs whose Hops lead through it.
func (n *Node) Allowed() map[fabric.NodeName][]netip.Prefix {
	out := make(map[fabric.NodeName][]netip.Prefix, len(n.Tunnels))
	add := func(tunnel fabric.NodeName, a netip.Addr) {
		if a.IsValid() {
			out[tunnel] = append(out[tunnel], netip.PrefixFrom(a, a.BitLen()))
		}
	}
	relayed := make(map[fabric.NodeName]bool, len(n.Hops))
	for _, h := range n.Hops {
		relayed[h.Node] = true
		add(h.Via, h.VTEP)
	}
	for _, t := range n.Tunnels {
		add(t.Name, t.Probe)
		if !relayed[t.Name] {
			add(t.Name, t.VTEP)
		}
	}
	for _, allowed := range out {
		slices.SortFunc(allowed, comparePrefixes)
	}
	return out
}

// Plain reports whether tunnel packets to and from a VTEP travel unencrypted.
func (e Encryption) Plain(vtep netip.Addr) bool { return !e.WireGuard || !e.VTEPs.Contains(vtep) }

func tunnelEntry(t *Tunnel) Entry       { return Entry{Tunnel: t} }
func hopEntry(h *Hop) Entry             { return Entry{Hop: h} }
func placementEntry(p *Placement) Entry { return Entry{Placement: p} }

func compareTunnels(a, b *Tunnel) int { return cmp.Compare(a.Name, b.Name) }
func compareHops(a, b *Hop) int       { return cmp.Compare(a.Node, b.Node) }

func comparePlacements(a, b *Placement) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Identity, b.Identity))
}

func (p Placement) key() string { return fmt.Sprintf("placement/%s/%s", p.Node, p.Identity) }

func (e *encoder) encryption(v Encryption) {
	e.bool(v.WireGuard)
	e.bool(v.Required)
	e.number(uint64(v.Port))
	e.prefix(v.VTEPs)
	e.addr(v.Probe)
	e.bool(v.Relay)
}

func (e *encoder) tunnel(t *Tunnel) {
	e.text(string(t.Name))
	e.addr(t.VTEP)
	e.addr(t.Probe)
	e.end(t.End)
	e.end(t.Next)
	e.number(uint64(t.Keepalive))
	e.mtu(t.MTU)
}

func (e *encoder) end(v TunnelEnd) {
	e.b = append(e.b, v.Key[:]...)
	e.addr(v.Endpoint.Addr())
	e.number(uint64(v.Endpoint.Port()))
}

func (e *encoder) hop(h *Hop) {
	e.text(string(h.Node))
	e.addr(h.VTEP)
	e.text(string(h.Via))
}

func (e *encoder) placement(p *Placement) {
	e.text(string(p.Node))
	e.identity(p.Identity)
}
