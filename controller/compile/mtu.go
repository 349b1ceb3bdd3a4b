package compile

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// Ways: what a packet may have on its way to another node is what is left by the tunnel headers of the smallest link on it.
// Plans hold it where it is less than what the fabric's underlayMTU leaves to all.

// LinkMTU returns the largest IP packet that the underlay carries to and from a node, by what is declared and by what the node
// has registered.
func LinkMTU(s topology.FabricSpec, n NodeState) int {
	if n.MTU > 0 {
		return min(n.MTU, s.UnderlayMTU)
	}
	return s.UnderlayMTU
}

// NodeMTU returns what a node's link leaves to workloads on the node, as far as they send to others.
func NodeMTU(s topology.FabricSpec, n NodeState) int {
	return s.Underlay(n.VTEP.Is6()).Leaves(LinkMTU(s, n), s.UnderlayMTU)
}

// anyNarrow reports whether a node's link carries less than is declared.
func (x *index) anyNarrow() bool {
	for _, n := range x.nodes {
		if LinkMTU(x.settings, n) < x.settings.UnderlayMTU {
			return true
		}
	}
	return false
}

// directMTU returns the largest IP packet of a workload that gets from one node to another without relays.
func (x *index) directMTU(a, b fabric.NodeName, encrypted bool) int {
	from, to := x.nodes[a], x.nodes[b]
	u := topology.Underlay{IPv6: from.VTEP.Is6() || to.VTEP.Is6(), Encrypted: encrypted}
	return u.Leaves(min(LinkMTU(x.settings, from), LinkMTU(x.settings, to)), x.settings.UnderlayMTU)
}

// wayMTU returns the largest IP packet of a workload that the way between two nodes carries. With keys it leads over the
// tunnels of the overlay, each of which has headers of its own.
func (x *index) wayMTU(net *overlay.Net, a, b fabric.NodeName) int {
	nodes, encrypted := []fabric.NodeName{a, b}, x.keyed(a) && x.keyed(b)
	if encrypted {
		if p := net.Path(a, b); p != nil {
			nodes = p
		}
	}
	least := x.settings.UnderlayMTU
	for i := range nodes[1:] {
		least = min(least, x.directMTU(nodes[i], nodes[i+1], encrypted))
	}
	return least
}

// withWays returns a plan whose routes say what the ways to their nodes carry; narrow is what anyNarrow says.
func (x *index) withWays(n plan.Node, net *overlay.Net, narrow bool) plan.Node {
	own := make(map[fabric.NetworkID]int, len(n.Networks))
	for _, v := range n.Networks {
		own[v.ID] = v.MTU
	}
	ways := make(map[fabric.NodeName]int)
	if narrow {
		for _, p := range n.Peers {
			ways[p.Name] = x.wayMTU(net, n.Name, p.Name)
		}
	}
	copied := false
	for i, r := range n.Routes {
		mtu := own[r.Network]
		if way, ok := ways[r.Node]; ok && way < n.Settings.MTU(mtu) {
			mtu = way
		}
		if r.MTU == mtu {
			continue
		}
		if !copied { // plans share the routes of views
			n.Routes, copied = slices.Clone(n.Routes), true
		}
		n.Routes[i].MTU = mtu
	}
	return n
}
