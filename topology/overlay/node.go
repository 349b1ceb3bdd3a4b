package overlay

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Name is short for the name of a node.
type Name = fabric.NodeName

// Node is what the overlay needs to know of a node.
type Node struct {
	// Core says that the node relays: it is a hub, or a gateway of its zone.
	Core bool
	// Zone is empty but in an overlay of zones.
	Zone string
	// NAT says that others can't reach the node first. Two such nodes can't have a tunnel.
	NAT bool
}

// Role returns what an overlay makes of a node with a name and labels.
func Role(o topology.Overlay, name Name, labels fabric.Labels) Node {
	switch o.Type {
	case topology.OverlayHub:
		h := o.Hub
		return Node{Core: h != nil && (slices.Contains(h.Nodes, string(name)) || h.Selector != nil && h.Selector.Matches(labels))}
	case topology.OverlayZones:
		if z := o.Zones; z != nil && labels[z.Label] != "" {
			return Node{Zone: labels[z.Label], Core: z.Gateways.Matches(labels)}
		}
	}
	return Node{}
}

// Link is a pair of nodes, the smaller name first.
type Link struct{ A, B Name }

// LinkOf returns the link between two nodes.
func LinkOf(a, b Name) Link {
	if b < a {
		a, b = b, a
	}
	return Link{a, b}
}

// Compare orders links.
func (l Link) Compare(o Link) int { return cmp.Or(cmp.Compare(l.A, o.A), cmp.Compare(l.B, o.B)) }

// The cost of a path is its number of tunnels times tunnelCost, and the sum of their hashes of hashBits bits. A
// path of up to 63 tunnels can't have hashes that weigh more than one tunnel.
const (
	hashBits   = 46
	tunnelCost = 1 << (hashBits + 6)
)

// hashOf spreads names over all numbers.
func hashOf(name Name) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(h.Sum64())
}

// cost returns what the tunnel between two nodes with these hashes costs, in either direction.
func cost(a, b uint64) uint64 {
	if b < a {
		a, b = b, a
	}
	return tunnelCost + mix(mix(a)+b)>>(64-hashBits)
}

// mix is the finalizer of MurmurHash3: every bit of the result depends on every bit of x.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
