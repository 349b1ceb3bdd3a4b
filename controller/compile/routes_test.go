package compile_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

// routesWorld is a network whose nodes lease its blocks, and three fixed addresses in them.
func routesWorld() compile.State {
	s := after(startState(nil))
	clear(s.Leases)
	s.Bindings[worldPorts[0]] = "n3" // 10.0.0.200
	return s
}

// TestRoutesCoverExactlyTheLeases lets nodes lease and release blocks at random. In each node's plan an address leads
// to the node that leases it, or to the one that its Port is on, and to nobody else; a node's own blocks stand one
// by one; no two routes of another node could be one; and a step changes routes of the lessee alone.
func TestRoutesCoverExactlyTheLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := routesWorld()
		e := compile.NewEngine(s)
		e.Flush()
		before := routesToOthers(s, "n4")
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			change := drawLease(t, s)
			lessee := s.Leases[change.Lease.Key].Node
			if change.Lease.Lease != nil {
				lessee = change.Lease.Lease.Node
			}
			s = after(s, change)
			e.Apply(change)
			e.Flush()
			for _, node := range worldNodes {
				n, _ := e.Plan(node)
				checkRoutes(t, s, n)
			}
			now := routesToOthers(s, "n4")
			for p, node := range before {
				if now[p] != node && node != lessee {
					t.Fatalf("%v moved route %s of %s", change.Lease, p, node)
				}
			}
			before = now
		}
	})
}

// drawLease draws the lease of a free block, or the end of a lease. n4 sees them all by its own lease.
func drawLease(t *rapid.T, s compile.State) compile.Change {
	var held []compile.LeaseKey
	for k := range s.Leases {
		held = append(held, k)
	}
	slices.SortFunc(held, func(a, b compile.LeaseKey) int { return a.Prefix.Compare(b.Prefix) })
	if len(held) > 0 && rapid.IntRange(0, 2).Draw(t, "release") == 0 {
		return compile.Change{Lease: &compile.LeaseChange{Key: rapid.SampledFrom(held).Draw(t, "held")}}
	}
	bits := rapid.SampledFrom([]int{26, 28, 30, 32}).Draw(t, "bits")
	node := rapid.SampledFrom(worldNodes).Draw(t, "node")
	subnet := netip.MustParsePrefix("10.0.0.0/24")
	for {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "addr")}), bits).Masked()
		if i := slices.IndexFunc(held, func(k compile.LeaseKey) bool { return k.Prefix.Overlaps(p) }); i >= 0 {
			return compile.Change{Lease: &compile.LeaseChange{Key: held[i]}}
		}
		if subnet.Overlaps(p) {
			return compile.Change{Lease: &compile.LeaseChange{Key: compile.LeaseKey{Network: netAX, Prefix: p}, Lease: &compile.Lease{Node: node, Subnet: "main"}}}
		}
	}
}

func checkRoutes(t *rapid.T, s compile.State, n plan.Node) {
	routes := slices.DeleteFunc(slices.Clone(n.Routes), func(r plan.Route) bool { return r.Network != 1 })
	if len(routes) == 0 {
		return // it doesn't host the network
	}
	port := netip.MustParseAddr("10.0.0.200")
	for a := netip.MustParseAddr("10.0.0.0"); a != netip.MustParseAddr("10.0.1.0"); a = a.Next() {
		var want fabric.NodeName
		for k, l := range s.Leases {
			if k.Network == netAX && k.Prefix.Contains(a) {
				want = l.Node
			}
		}
		if a == port {
			want = "n3"
		}
		var got plan.Route
		for _, r := range routes { // the longest prefix decides
			if r.Prefix.Contains(a) && (got.Node == "" || r.Prefix.Bits() > got.Prefix.Bits()) {
				got = r
			}
		}
		if got.Node != want {
			t.Fatalf("in the plan of %s %s is on %q, want %q: %v", n.Name, a, got.Node, want, routes)
		}
	}
	var own []netip.Prefix
	for _, r := range routes {
		if r.Node == n.Name && r.Lease {
			own = append(own, r.Prefix)
		}
		for _, o := range routes {
			if r.Node == o.Node && r.Node != n.Name && r.Lease && o.Lease && o.Prefix == fabric.Buddy(r.Prefix) {
				t.Fatalf("the plan of %s has %s and %s of %s, which are one range", n.Name, r.Prefix, o.Prefix, r.Node)
			}
		}
	}
	var leased []netip.Prefix
	for k, l := range s.Leases {
		if k.Network == netAX && l.Node == n.Name && k.Prefix != netip.PrefixFrom(port, 32) {
			leased = append(leased, k.Prefix)
		}
	}
	slices.SortFunc(leased, netip.Prefix.Compare)
	if !slices.Equal(own, leased) {
		t.Fatalf("the plan of %s names its blocks as %v, it leases %v", n.Name, own, leased)
	}
}

// routesToOthers returns where a network's ranges are, as a node sees them that leases none.
func routesToOthers(s compile.State, node fabric.NodeName) map[netip.Prefix]fabric.NodeName {
	s.Leases = maps.Clone(s.Leases)
	for k, l := range s.Leases {
		if l.Node == node {
			delete(s.Leases, k)
		}
	}
	out := make(map[netip.Prefix]fabric.NodeName)
	for _, r := range compile.Plans(s)["n3"].Routes { // n3 has a Port of the network
		if r.Network == 1 && r.Node != "n3" {
			out[r.Prefix] = r.Node
		}
	}
	return out
}

// TestOneRoutePerNode has nodes lease by turns in a subnet with room: their routes stay one each.
func TestOneRoutePerNode(t *testing.T) {
	s := routesWorld()
	subnet := netip.MustParsePrefix("10.0.0.0/16")
	held := make(map[fabric.NodeName][]netip.Prefix)
	var taken []netip.Prefix
	for round := range 7 { // 64 times the first block: the room that each has
		for _, node := range worldNodes {
			block, err := topology.BlockLease{Blocks: topology.NodeBlock{IPv4: 26, IPv6: 122}, Subnet: subnet, Held: held[node], Taken: taken}.Next()
			if err != nil {
				t.Fatal(err)
			}
			held[node], taken = append(held[node], block), append(taken, block)
			s.Leases[compile.LeaseKey{Network: netAX, Prefix: block}] = compile.Lease{Node: node, Subnet: "main"}
		}
		for name, n := range compile.Plans(s) {
			others := slices.DeleteFunc(slices.Clone(n.Routes), func(r plan.Route) bool { return r.Network != 1 || r.Node == name || !r.Lease })
			if len(others) != len(worldNodes)-1 {
				t.Fatalf("round %d: %s has %d routes to %d other nodes: %v", round, name, len(others), len(worldNodes)-1, others)
			}
		}
	}
}
