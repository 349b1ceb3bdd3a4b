package lab

import (
	"strconv"
	"testing"
)

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

// TestEncryptedIPv6Underlay: WireGuard's packets travel by IPv6, and a workload's largest packet fills the underlay's. Meanwhile
// a node gets another underlay address, and leaves and comes back.
func TestEncryptedIPv6Underlay(t *testing.T) {
	r, topo := testLabWith(t, func(o *Options) { o.IPv6Underlay = true }, "testdata/mesh")
	c := startCapture(t, r.underlayNamespace(), underlayBridge)
	for _, w := range r.Workloads {
		if w.MTU != 1370 { // 1500 without WireGuard's 80 octets and VXLAN's 50
			t.Errorf("%s has an MTU of %d", w.Ref(), w.MTU)
		}
	}
	wantPredicted(t, r, topo.Intent)
	from, to := r.find(t, "mint/cleaner"), r.find(t, "mint/guard")
	for size, fits := range map[int]bool{1370: true, 1371: false} {
		_, err := command(t.Context(), within(from.Namespace, "ping", "-q", "-M", "do", "-c", "1", "-w", "5", "-s", strconv.Itoa(size-28), to.Addresses[0].Addr().String())...)
		if (err == nil) != fits {
			t.Errorf("a ping of %d bytes that fits: %v, got %v", size, fits, err)
		}
	}
	t.Run("another underlay address", func(t *testing.T) { testMovedNode(t, r, topo) })
	t.Run("deleted and back", func(t *testing.T) { testReturn(t, r, topo) })
	c.stop()
	const fragment, other = 44, "ip6 and not udp port 51820 and not icmp6 and not dst net ff00::/8"
	if got := c.count("ip6 and udp port 51820"); got < 100 {
		t.Errorf("%d packets of WireGuard over IPv6 only: the capture doesn't see the traffic", got)
	}
	if got := c.count("ip6 and greater 1514"); got == 0 {
		t.Error("no packet fills the underlay's MTU")
	}
	for _, filter := range []string{"udp port 4789", "ip6 and greater 1515", "ip6[6] == " + strconv.Itoa(fragment), other} {
		if got := c.count(filter); got != 0 {
			t.Errorf("%d packets of %q:\n%s", got, filter, c.text(filter))
		}
	}
}
