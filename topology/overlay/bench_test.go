package overlay_test

import (
	"fmt"
	"testing"

	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// large returns a net of nodes in zones of 100 with 2 gateways each, each of which must talk with the 20 that follow it
// and 20 far away.
func large(kind topology.OverlayType, nodes int) (*overlay.Net, []overlay.Name) {
	n := overlay.New(topology.Overlay{Type: kind})
	all := make([]overlay.Name, nodes)
	for i := range all {
		all[i] = overlay.Name(fmt.Sprintf("n%d", i))
		x := overlay.Node{}
		if kind == topology.OverlayZones {
			x = overlay.Node{Zone: fmt.Sprint(i / 100), Core: i%100 < 2}
		}
		n.SetNode(all[i], x)
	}
	for i := range all {
		n.SetPeers(all[i], partners(all, i))
	}
	return n, all
}

func partners(all []overlay.Name, i int) []overlay.Name {
	var out []overlay.Name
	for k := range 20 {
		out = append(out, all[(i+k+1)%len(all)], all[(i*7+k*251)%len(all)])
	}
	return out
}

func BenchmarkAll(b *testing.B) {
	for _, kind := range []topology.OverlayType{topology.OverlayMesh, topology.OverlayZones} {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				n, all := large(kind, 5000)
				for _, name := range all {
					n.Share(name)
				}
			}
		})
	}
}

// BenchmarkPartner is what it costs when a node must talk with one more, and then no more.
func BenchmarkPartner(b *testing.B) {
	for _, kind := range []topology.OverlayType{topology.OverlayMesh, topology.OverlayZones} {
		for _, nodes := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", kind, nodes), func(b *testing.B) {
				n, all := large(kind, nodes)
				n.Dirty()
				few := partners(all, 505)
				more := append(partners(all, 505), all[150])
				touched := 0
				for b.Loop() {
					for _, peers := range [][]overlay.Name{more, few} {
						n.SetPeers(all[505], peers)
						for _, d := range n.Dirty() {
							n.Share(d)
							touched++
						}
					}
				}
				b.ReportMetric(float64(touched)/float64(2*b.N), "shares/op")
			})
		}
	}
}

// BenchmarkFailure is what it costs when a tunnel fails, and heals.
func BenchmarkFailure(b *testing.B) {
	for _, kind := range []topology.OverlayType{topology.OverlayMesh, topology.OverlayZones} {
		for _, nodes := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", kind, nodes), func(b *testing.B) {
				n, all := large(kind, nodes)
				n.Dirty()
				l := overlay.LinkOf(all[500], all[505])
				for b.Loop() {
					for _, failed := range []bool{true, false} {
						n.SetFailed(l, failed)
						for _, d := range n.Dirty() {
							n.Share(d)
						}
					}
				}
			})
		}
	}
}
