package plan_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/plan/plantest"
)

func TestAllowed(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	n := plan.Node{
		Tunnels: []plan.Tunnel{
			{Name: "hub", VTEP: a("100.92.0.1"), Probe: a("100.92.128.1")},
			{Name: "far", VTEP: a("100.92.0.2"), Probe: a("100.92.128.2")},
			{Name: "near", VTEP: a("100.92.0.3"), Probe: a("100.92.128.3")},
		},
		Hops: []plan.Hop{
			{Node: "far", VTEP: a("100.92.0.2"), Via: "hub"}, // the tunnel is there, and down
			{Node: "beyond", VTEP: a("100.92.0.9"), Via: "hub"},
		},
	}
	want := map[fabric.NodeName][]netip.Prefix{
		"hub":  {p("100.92.0.1/32"), p("100.92.0.2/32"), p("100.92.0.9/32"), p("100.92.128.1/32")},
		"far":  {p("100.92.128.2/32")},
		"near": {p("100.92.0.3/32"), p("100.92.128.3/32")},
	}
	if diff := cmp.Diff(want, n.Allowed(), plain); diff != "" {
		t.Errorf("allowed IPs (-want +got):\n%s", diff)
	}
}

func TestAllowedIsOneTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := plantest.Draw(t, "n1")
		owner := map[netip.Prefix]fabric.NodeName{}
		for name, allowed := range n.Allowed() {
			for _, p := range allowed {
				if was, ok := owner[p]; ok {
					t.Fatalf("%s is allowed from %s and from %s", p, was, name)
				}
				owner[p] = name
			}
		}
	})
}
