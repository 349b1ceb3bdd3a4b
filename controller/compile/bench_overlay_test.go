package compile_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// nodesPerZone is how many nodes a zone has; two of them are its gateways.
const nodesPerZone = 100

var benchOverlays = []topology.Overlay{
	{Type: topology.OverlayMesh},
	{Type: topology.OverlayZones, Zones: &topology.ZonesOverlay{Label: "zone", Gateways: topology.Selector{MatchLabels: fabric.Labels{"role": "gw"}}}},
}

// encryptedBench is benchState with encrypted tunnels.
func encryptedBench(n int, o topology.Overlay) compile.State {
	s := after(benchState(n), encrypted(o, nil))
	for i := range n {
		name := benchNode(i)
		node := s.Nodes[name]
		node.Overlay = netip.AddrFrom4([4]byte{100, 92, byte(i >> 8), byte(i)})
		node.WireGuard.Key = fabric.PublicKey{1, byte(i >> 8), byte(i)}
		node.Labels = fabric.Labels{"zone": fmt.Sprint(i / nodesPerZone)}
		if i%nodesPerZone < 2 {
			node.Labels["role"] = "gw"
		}
		s.Nodes[name] = node
	}
	return s
}

func BenchmarkOverlayPlans(b *testing.B) {
	for _, o := range benchOverlays {
		s := encryptedBench(5000, o)
		b.Run(string(o.Type), func(b *testing.B) {
			for b.Loop() {
				compile.Plans(s)
			}
		})
	}
}

// BenchmarkOverlayChange measures one change with its Flush, among few nodes and among many.
func BenchmarkOverlayChange(b *testing.B) {
	ref := fabric.NetworkRef{Tenant: "t0", Name: "net0"}
	key := benchLease(ref, 0, 99)
	rekeyed := func(s compile.State, key byte) compile.Change {
		n := s.Nodes["node7"]
		n.WireGuard.Key[0] = key
		return compile.Change{Node: &compile.NodeChange{Name: "node7", State: &n}}
	}
	link := func(failed bool) func(compile.State) compile.Change {
		return func(compile.State) compile.Change {
			return compile.Change{Link: &compile.LinkChange{Link: overlay.LinkOf("node7", "node0"), Failed: failed}}
		}
	}
	rows := []struct {
		name     string
		do, undo func(compile.State) compile.Change
	}{
		{"lease", func(compile.State) compile.Change {
			return compile.Change{Lease: &compile.LeaseChange{Key: key, Lease: &compile.Lease{Node: "node7", Subnet: "main"}}}
		}, func(compile.State) compile.Change { return compile.Change{Lease: &compile.LeaseChange{Key: key}} }},
		{"key", func(s compile.State) compile.Change { return rekeyed(s, 2) }, func(s compile.State) compile.Change { return rekeyed(s, 1) }},
		{"failed tunnel", link(true), link(false)},
	}
	for _, o := range benchOverlays {
		for _, n := range []int{1000, 5000} {
			s := encryptedBench(n, o)
			e := compile.NewEngine(s)
			e.Flush()
			for _, row := range rows {
				b.Run(fmt.Sprintf("%s/%s/nodes=%d", o.Type, row.name, n), func(b *testing.B) {
					plans := 0
					for i := 0; b.Loop(); i++ {
						c := row.do
						if i%2 == 1 {
							c = row.undo
						}
						e.Apply(c(s))
						changed, _ := e.Flush()
						plans += len(changed)
					}
					b.ReportMetric(float64(plans)/float64(b.N), "plans/op")
				})
			}
		}
	}
}
