package agent_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// TestTooLarge: a container whose interface was set to more than the fabric's MTU sends packets of 1500 octets to another
// node. It learns the size that fits, of both families; what may be fragmented is dropped; and all of it is counted.
func TestTooLarge(t *testing.T) {
	r := newRealRig(t)
	vtep := netip.MustParseAddr("192.0.2.99")
	r.run()
	r.ready()
	ns, path := namespace(t)
	r.add("c1", path, fabric.Labels{"app": "web"})
	if err := r.controller.change("a far node", func() error {
		n := &r.controller.plan
		n.Peers = append(n.Peers, plan.Peer{Name: "far", VTEP: vtep})
		for _, p := range []string{"10.1.0.128/25", "fd00:1::8000/113"} {
			n.Routes = append(n.Routes, plan.Route{Network: n.Networks[0].ID, Prefix: netip.MustParsePrefix(p), Node: "far", VTEP: vtep, Lease: true, Subnet: "web"})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.eventually("flows to the far node", func() bool {
		return strings.Contains(r.server.OFCtl(t, "dump-flows", "br-int", "table=51"), "fd00:1::8000/113")
	})
	for _, args := range [][]string{{"link", "set", "eth0", "mtu", "1500"}, {"route", "flush", "cache"}} {
		command(t, "ip", append([]string{"-n", ns}, args...)...)
	}
	for _, route := range strings.Split(strings.TrimSpace(command(t, "ip", "-n", ns, "route")), "\n") {
		if rest, ok := strings.CutSuffix(strings.TrimSpace(route), " mtu 1400"); ok {
			command(t, "ip", append([]string{"-n", ns, "route", "replace"}, strings.Fields(rest)...)...)
		}
	}
	ping := func(args ...string) string {
		// It gets no echo: the other node doesn't exist.
		out, _ := exec.Command("ip", append([]string{"netns", "exec", ns, "ping", "-c", "1", "-W", "1"}, args...)...).CombinedOutput()
		return string(out)
	}
	if out := ping("-M", "do", "-s", "1472", "10.1.0.210"); !strings.Contains(out, "From 10.1.0.1") || !strings.Contains(out, "mtu = 1400") && !strings.Contains(out, "mtu=1400") {
		t.Errorf("1500 octets of IPv4: %s", out)
	}
	if out := command(t, "ip", "-n", ns, "route", "get", "10.1.0.210"); !strings.Contains(out, "mtu 1400") {
		t.Errorf("the route's MTU was not learnt: %s", out)
	}
	if out := ping("-M", "do", "-s", "1452", "fd00:1::8001"); !strings.Contains(out, "From fd00:1::") || !strings.Contains(out, "mtu") {
		t.Errorf("1500 octets of IPv6: %s", out)
	}
	if out := command(t, "ip", "-n", ns, "-6", "route", "get", "fd00:1::8001"); !strings.Contains(out, "mtu 1400") {
		t.Errorf("the route's MTU was not learnt: %s", out)
	}

	for _, tt := range []struct {
		name, size, to, fragment string
		told                     bool
	}{
		{"exactly the MTU", "1372", "10.1.0.201", "do", false},
		{"one octet more", "1373", "10.1.0.202", "do", true},
		{"may be fragmented", "1472", "10.1.0.203", "dont", false},
	} {
		if out := ping("-M", tt.fragment, "-s", tt.size, tt.to); strings.Contains(out, "mtu") != tt.told {
			t.Errorf("%s: %s", tt.name, out)
		}
	}
	// The packet that fits is not among them, although the switch counts it for both rows of table Fit.
	r.eventually("four packets that were too large", func() bool {
		s := r.ready()
		return s.Drops["too-large"] == 4 && s.Questions["too-large"] == 4
	})
}
