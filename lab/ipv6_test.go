package lab

import "testing"

// TestIPv6Underlay: nodes that reach each other by IPv6 alone carry both families of workloads, as predicted.
func TestIPv6Underlay(t *testing.T) {
	r, topo := testLabWith(t, func(o *Options) { o.IPv6Underlay, o.SkipVMs = true, true }, "../examples/dual-stack")
	for _, n := range r.Nodes {
		if !n.VTEP.Is6() {
			t.Errorf("%s has the tunnel address %s", n.Name, n.VTEP)
		}
	}
	for _, w := range r.Workloads {
		if w.MTU != 1430 { // 1500 without the 70 octets of VXLAN over IPv6
			t.Errorf("%s has an MTU of %d", w.Ref(), w.MTU)
		}
	}
	wantPredicted(t, r, topo.Intent)
}
