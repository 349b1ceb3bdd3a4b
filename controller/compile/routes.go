package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// routes are the routes of a network: one for each range that a node leases, whatever number of blocks it is
// made of, and one for each fixed address of a bound Port. A range holds what is leased and nothing else, so what a node
// may send from is as exact as it is with a route for each block.
type routes struct {
	merged []plan.Route // as all nodes see them that lease no part of them
	// blocks are a node's own leases one by one, where merged has fewer: the node allocates from them and gives them
	// back, so its own plan names each.
	blocks map[fabric.NodeName][]plan.Route
}

// lessor is whose leases make ranges with each other.
type lessor struct {
	node   fabric.NodeName
	subnet string
}

// routesOf returns the routes of leases and of the fixed addresses of ports; were two ports to have one address, the
// first one's stands.
func routesOf(leases, fixed []plan.Route) routes {
	r := routes{blocks: make(map[fabric.NodeName][]plan.Route)}
	by := make(map[lessor][]plan.Route)
	for _, l := range leases {
		by[lessor{l.Node, l.Subnet}] = append(by[lessor{l.Node, l.Subnet}], l)
	}
	taken := make(map[netip.Prefix]bool, len(fixed))
	for _, f := range fixed {
		if !taken[f.Prefix] {
			taken[f.Prefix] = true
			r.merged = append(r.merged, f)
		}
	}
	// A block of a single address may also be a port's: the port's route stands.
	add := func(to []plan.Route, l plan.Route) []plan.Route {
		if taken[l.Prefix] {
			return to
		}
		return append(to, l)
	}
	split := make(map[fabric.NodeName]bool)
	for k, blocks := range by {
		prefixes := make([]netip.Prefix, len(blocks))
		for i, b := range blocks {
			prefixes[i] = b.Prefix
		}
		ranges := fabric.Aggregate(prefixes)
		split[k.node] = split[k.node] || len(ranges) != len(blocks)
		for _, p := range ranges {
			l := blocks[0]
			l.Prefix = p
			r.merged = add(r.merged, l)
		}
	}
	for _, l := range leases {
		if split[l.Node] {
			r.blocks[l.Node] = add(r.blocks[l.Node], l)
		}
	}
	sortRoutes(r.merged)
	for _, blocks := range r.blocks {
		sortRoutes(blocks)
	}
	return r
}

// of returns the routes as a node's plan has them.
func (r routes) of(node fabric.NodeName) []plan.Route {
	blocks := r.blocks[node]
	if blocks == nil {
		return r.merged
	}
	out := make([]plan.Route, 0, len(r.merged)+len(blocks))
	for _, m := range r.merged {
		if !m.Lease || m.Node != node {
			out = append(out, m)
		}
	}
	out = append(out, blocks...)
	sortRoutes(out)
	return out
}

func sortRoutes(rs []plan.Route) {
	slices.SortFunc(rs, func(a, b plan.Route) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
}
