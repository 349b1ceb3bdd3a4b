package compile_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// workloadsPerNode is how many workloads each node of a benchmark runs: each network of a node has four, of
// four label sets.
const workloadsPerNode = 20

// nodesPerNetwork is over how many nodes a network's workloads are spread.
const nodesPerNetwork = 20

// benchState is a fabric of n nodes with 20 workloads each. A tenant has two peered networks, and policies for
// its tiers; a network spreads over 20 nodes, of each of which it leases a block.
func benchState(n int) compile.State {
	s := emptyState()
	tiers := []string{"web", "app", "db", "cache"}
	networks := n * (workloadsPerNode / len(tiers)) / nodesPerNetwork
	var objects []*topology.Object
	for i := range networks {
		ref := fabric.NetworkRef{Tenant: fmt.Sprintf("t%d", i/2), Name: fmt.Sprintf("net%d", i%2)}
		other := fabric.NetworkRef{Tenant: ref.Tenant, Name: fmt.Sprintf("net%d", 1-i%2)}
		if i%2 == 0 {
			objects = append(objects, tenant(ref.Tenant, "gold", ""), benchPolicy(ref.Tenant, "app", "web", 8080), benchPolicy(ref.Tenant, "db", "app", 5432))
		}
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % 2 * 16), 0, 0}), 16)
		objects = append(objects, peering(ref, other), object(&topology.Network{
			Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
			Spec:     topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "main", IPv4: subnet}}},
		}))
		base := fabric.Identity(i+1) << 8
		s.Networks[ref] = compile.NetworkAlloc{ID: fabric.NetworkID(i + 1), Blocks: []fabric.VNIBlock{{Base: base, Bits: 16}}}
		for j, tier := range tiers {
			s.Identities[base+fabric.Identity(j)] = compile.IdentityAlloc{Network: ref, Labels: fabric.Labels{"tier": tier}}
		}
		for j := range nodesPerNetwork {
			s.Leases[benchLease(ref, i, j)] = compile.Lease{Node: benchNode((i*4 + j) % n), Subnet: "main"}
		}
	}
	s.Intent = topology.NewIntent(objects...)
	for i := range n {
		s.Nodes[benchNode(i)] = compile.NodeState{VTEP: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})}
	}
	return s
}

func benchNode(i int) fabric.NodeName { return fabric.NodeName(fmt.Sprintf("node%d", i)) }

func benchLease(ref fabric.NetworkRef, network, block int) compile.LeaseKey {
	return compile.LeaseKey{Network: ref, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(network % 2 * 16), byte(block / 4), byte(block % 4 * 64)}), 26)}
}

func benchPolicy(tenant, subject, peer string, port uint16) *topology.Object {
	selector := func(tier string) topology.Selector {
		return topology.Selector{MatchLabels: fabric.Labels{"tier": tier}}
	}
	return object(&topology.FirewallPolicy{
		Metadata: topology.Metadata{Tenant: tenant, Name: subject},
		Spec: topology.FirewallPolicySpec{Subject: selector(subject), Ingress: []topology.Rule{{
			From: []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: selector(peer)}}}, Ports: []topology.PortRange{{Protocol: topology.TCP, Port: port}},
		}}},
	})
}

var benchSizes = []int{100, 1000, 5000}

func BenchmarkPlans(b *testing.B) {
	for _, n := range benchSizes {
		s := benchState(n)
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			for b.Loop() {
				compile.Plans(s)
			}
		})
	}
}

func BenchmarkEngineLease(b *testing.B) {
	ref := fabric.NetworkRef{Tenant: "t0", Name: "net0"}
	benchChange(b, compile.Change{Lease: &compile.LeaseChange{Key: benchLease(ref, 0, 99), Lease: &compile.Lease{Node: "node1", Subnet: "main"}}},
		compile.Change{Lease: &compile.LeaseChange{Key: benchLease(ref, 0, 99)}})
}

func BenchmarkEngineIdentity(b *testing.B) {
	alloc := &compile.IdentityAlloc{Network: fabric.NetworkRef{Tenant: "t0", Name: "net0"}, Labels: fabric.Labels{"tier": "web", "env": "test"}}
	benchChange(b, compile.Change{Identity: &compile.IdentityChange{ID: 0x1ff, Alloc: alloc}}, compile.Change{Identity: &compile.IdentityChange{ID: 0x1ff}})
}

func BenchmarkEnginePolicy(b *testing.B) {
	o := benchPolicy("t0", "cache", "app", 6379)
	benchChange(b, compile.Change{Object: o}, compile.Change{ObjectGone: &o.Key})
}

// benchChange measures one change with its Flush; every other time the change is taken back.
func benchChange(b *testing.B, change, back compile.Change) {
	for _, n := range benchSizes {
		e := compile.NewEngine(benchState(n))
		e.Flush()
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			nodes := 0
			for i := 0; b.Loop(); i++ {
				c := change
				if i%2 == 1 {
					c = back
				}
				e.Apply(c)
				changed, _ := e.Flush()
				nodes = len(changed)
			}
			b.ReportMetric(float64(nodes), "plans/op")
		})
	}
}
