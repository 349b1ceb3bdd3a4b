package agent_test

import (
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
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

// TestSizesOfNetworksAndWays: a workload of a network with an MTU of its own gets that, and what is sent to it, here and
// elsewhere, is answered with it; so are packets for a node to which the way carries less than the fabric's MTU.
func TestSizesOfNetworksAndWays(t *testing.T) {
	r := newRealRig(t)
	small := plan.Network{
		ID: 2, Ref: fabric.NetworkRef{Tenant: "acme", Name: "small"}, Hosted: true, Blocks: []fabric.VNIBlock{{Base: 0x000200, Bits: 16}}, MTU: 1300,
		Subnets: []plan.Subnet{{
			Name: "all", IPv4: netip.MustParsePrefix("10.2.0.0/24"), Gateway4: netip.MustParseAddr("10.2.0.1"),
			IPv6: netip.MustParsePrefix("fd00:2::/64"), Gateway6: netip.MustParseAddr("fd00:2::1"),
		}},
		Peers: []fabric.NetworkID{1}, Reserved: []netip.Addr{netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("fd00:2::1")},
	}
	prod := r.controller.networks["acme/prod"]
	prod.Peers = []fabric.NetworkID{2}
	r.controller.networks["acme/prod"], r.controller.networks["acme/small"] = prod, small
	posture := r.controller.tables[0]
	r.controller.tables = append(r.controller.tables, firewall.Table{Network: 2, Rules: posture.Rules})
	r.run()
	r.ready()
	ns, path := namespace(t)
	r.add("c1", path, fabric.Labels{"app": "web"})
	nsSmall, pathSmall := namespace(t)
	add := addOf("c2", pathSmall, fabric.Labels{"app": "db"})
	add.Network = small.Ref
	there := r.mustAsk(cniwire.Request{Add: add}).Interface
	if link := command(t, "ip", "-n", nsSmall, "link", "show", "eth0"); there.MTU != 1300 || !strings.Contains(link, "mtu 1300") {
		t.Errorf("the result says %d, the interface %s", there.MTU, link)
	}
	vtep := netip.MustParseAddr("192.0.2.99")
	if err := r.controller.change("a far node", func() error {
		n := &r.controller.plan
		n.Peers = append(n.Peers, plan.Peer{Name: "far", VTEP: vtep})
		for _, far := range []plan.Route{
			{Network: 1, Prefix: netip.MustParsePrefix("10.1.0.128/25"), MTU: 1350, Subnet: "web"}, {Network: 1, Prefix: netip.MustParsePrefix("fd00:1::8000/113"), MTU: 1350, Subnet: "web"},
			{Network: 2, Prefix: netip.MustParsePrefix("10.2.0.128/25"), MTU: 1300, Subnet: "all"}, {Network: 2, Prefix: netip.MustParsePrefix("fd00:2::8000/113"), MTU: 1280, Subnet: "all"},
		} {
			far.Node, far.VTEP, far.Lease = "far", vtep, true
			n.Routes = append(n.Routes, far)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.eventually("flows to the far node", func() bool {
		return strings.Count(r.server.OFCtl(t, "dump-flows", "br-int", "table=51"), "check_pkt_larger(1314)") == 3
	})
	for _, tt := range []struct {
		name, to      string
		size          int // of the IP packet
		mtu           string
		answer, fails bool
	}{
		{"to a small network, exactly", there.Addresses[0].Addr().String(), 1300, "", true, false},
		{"to a small network", there.Addresses[0].Addr().String(), 1301, "1300", false, true},
		{"to a small network, IPv6, exactly", there.Addresses[1].Addr().String(), 1300, "", true, false},
		{"to a small network, IPv6", there.Addresses[1].Addr().String(), 1301, "1300", false, true},
		{"a narrow way, exactly", "10.1.0.210", 1350, "", false, false},
		{"a narrow way", "10.1.0.211", 1351, "1350", false, true},
		{"a narrow way, IPv6, exactly", "fd00:1::8001", 1350, "", false, false},
		{"a narrow way, IPv6", "fd00:1::8002", 1351, "1350", false, true},
		{"a small network far away", "10.2.0.211", 1301, "1300", false, true},
		{"a small network far away, IPv6, the way is narrower", "fd00:2::8002", 1281, "1280", false, true},
	} {
		header := 28
		if strings.Contains(tt.to, ":") {
			header = 48
		}
		out, err := exec.Command("ip", "netns", "exec", ns, "ping", "-c", "1", "-W", "1", "-M", "do", "-s", strconv.Itoa(tt.size-header), tt.to).CombinedOutput()
		if told := strings.Contains(string(out), "mtu"); told != tt.fails || tt.answer != (err == nil) {
			t.Errorf("%s: %v: %s", tt.name, err, out)
		}
		if route := command(t, "ip", "-n", ns, "route", "get", tt.to); tt.mtu != "" && !strings.Contains(route, "mtu "+tt.mtu) {
			t.Errorf("%s: the route's MTU was not learnt: %s", tt.name, route)
		}
	}
	r.eventually("six packets that were too large", func() bool {
		s := r.ready()
		return s.Drops["too-large"] == 6 && s.Questions["too-large"] == 6
	})
}
