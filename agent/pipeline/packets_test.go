package pipeline_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// The addresses of nodes in an underlay of IPv4 as in the fixture, and of IPv6.
func underlay4(vtep netip.Addr) netip.Addr { return vtep }

func underlay6(vtep netip.Addr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 15: vtep.As4()[3]})
}

// twoNodes starts node-a with the fixture's v1 (web), v2 and v3, and node-b with w1, a db in the web subnet, on
// one underlay with the addresses that it gives. UDP is denied to web from everyone, and UDP 2000 to db; the rest is allowed.
func twoNodes(t *testing.T, underlay func(netip.Addr) netip.Addr) (a, b *realNode) {
	t.Helper()
	ovstest.Require(t)
	deny := func(id firewall.RuleID, subject fabric.Identity, ports firewall.PortRange) firewall.Rule {
		return firewall.Rule{
			ID: id, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Deny,
			Order:   firewall.Order{Policy: "acme/udp", Index: int(id)},
			Subject: firewall.Workloads{IDs: []fabric.Identity{subject}}, Peers: firewall.Peers{Any: true},
			Services: []firewall.Service{{Protocol: firewall.UDP, Ports: ports}},
		}
	}
	input := func(self fabric.NodeName) pipeline.Input {
		in := fixture()
		in.Plan.Name = self
		rules := &in.Plan.Tables[0].Rules
		*rules = append((*rules)[:2:2], deny(50, webID, firewall.PortRange{}), deny(51, dbID, firewall.PortRange{First: 2000, Last: 2000}))
		in.Attachments = in.Attachments[:3]
		return in
	}
	ina, inb := input("node-a"), input("node-b")
	inb.Plan.Settings.VTEP = vtepB
	inb.Plan.Peers = []plan.Peer{{Name: "node-a", VTEP: vtepA}}
	for _, n := range []*plan.Node{&ina.Plan, &inb.Plan} {
		n.Settings.VTEP = underlay(n.Settings.VTEP)
		for i := range n.Peers {
			n.Peers[i].VTEP = underlay(n.Peers[i].VTEP)
		}
		for i := range n.Routes {
			n.Routes[i].VTEP = underlay(n.Routes[i].VTEP)
		}
	}
	inb.Attachments = []pipeline.Attachment{{Interface: "w1", OFPort: 1, Network: prod, Identity: dbID, MAC: mac(0x41), Addresses: addrs("10.0.0.65", "fd00:1::41")}}
	a, b = startNode(t, ina), startNode(t, inb)
	sh(t, "ip", "-n", a.ns, "link", "add", "ul", "type", "veth", "peer", "name", "ul", "netns", b.ns)
	for _, n := range []*realNode{a, b} {
		sh(t, "ip", "-n", n.ns, "link", "set", "ul", "up")
		n.VSCtl(t, "add-port", "br-ul", "ul")
	}
	return a, b
}

// TestPackets sends real packets through two nodes: the fabric answers ARP, ND and gateway pings, duplicate-address
// detection finds nobody, and traffic crosses the tunnel, over either IP.
func TestPackets(t *testing.T) {
	t.Run("IPv4 underlay", func(t *testing.T) { checkPackets(t, underlay4) })
	t.Run("IPv6 underlay", func(t *testing.T) { checkPackets(t, underlay6) })
}

func checkPackets(t *testing.T, underlay func(netip.Addr) netip.Addr) {
	t.Helper()
	a, b := twoNodes(t, underlay)
	for n, workload := range map[*realNode]string{a: "v1", b: "w1"} {
		until(t, "duplicate-address detection ends", func() bool {
			return !strings.Contains(n.in(t, workload, "ip", "-6", "addr", "show", "dev", "eth0"), "tentative")
		})
		if out := n.in(t, workload, "ip", "-6", "addr", "show", "dev", "eth0"); strings.Contains(out, "dadfailed") {
			t.Errorf("an address is taken for a duplicate:\n%s", out)
		}
	}
	until(t, "v3 has its address", func() bool {
		return !strings.Contains(a.in(t, "v3", "ip", "-6", "addr", "show", "dev", "eth0"), "tentative")
	})
	for _, to := range []string{
		"10.0.0.1", "10.0.1.1", "fd00:1::1", vmac.LinkLocal().String() + "%eth0", // the fabric
		"10.0.0.13", "10.0.1.12", "fd00:1::13", // this node
		"10.0.0.65", "fd00:1::41", // the other node
	} {
		a.in(t, "v1", "ping", "-c", "3", "-i", "0.2", "-w", "8", to)
	}
	b.in(t, "w1", "ping", "-c", "3", "-i", "0.2", "-w", "8", "10.0.1.12")
	for family, gateway := range map[string]string{"-4": "10.0.0.1", "-6": "fd00:1::1"} {
		if out := a.in(t, "v1", "ip", family, "neigh", "show", gateway); !strings.Contains(out, vmac.String()) {
			t.Errorf("the gateway's neighbour entry is %q", out)
		}
	}
	if out := a.in(t, "v1", "ip", "-6", "neigh", "show", "fd00:1::1"); !strings.Contains(out, "router") {
		t.Errorf("the gateway is no router: %q", out)
	}
	if out := a.in(t, "v1", "ip", "-6", "neigh", "show", "fd00:1::13"); !strings.Contains(out, vmac.String()) || strings.Contains(out, "router") {
		t.Errorf("a neighbour's entry is %q", out)
	}
}

// TestRepliesToDeniedConnections: what a peer sends as if it replied to a connection that its node has denied is
// denied, too; replies to allowed connections pass, although the replier might not open one.
func TestRepliesToDeniedConnections(t *testing.T) {
	a, b := twoNodes(t, underlay6)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	echo := b.talk(ctx, t, "w1", "echo 10.0.0.65:3000")
	if err := a.talk(ctx, t, "v1", "ask 10.0.0.11:1000 10.0.0.65:3000").Wait(); err != nil {
		t.Errorf("an allowed UDP query got no answer: %v", err)
	}
	tcpEcho := b.talk(ctx, t, "w1", "tcp-echo 10.0.0.65:4000")
	until(t, "w1 listens", func() bool { return strings.Contains(b.in(t, "w1", "ss", "-ltn"), ":4000") })
	if err := a.talk(ctx, t, "v1", "tcp-ask 10.0.0.11:1001 10.0.0.65:4000").Wait(); err != nil {
		t.Errorf("an allowed TCP connection fails: %v", err)
	}
	if n := a.drops(t)[pipeline.DropPolicyDeny]; n != 0 {
		t.Errorf("%d packets of an allowed connection were denied", n)
	}

	ask := a.talk(ctx, t, "v1", "send 10.0.0.11:1000 10.0.0.65:2000")
	until(t, "node-b denies", func() bool { return b.drops(t)[pipeline.DropPolicyDeny] > 0 })
	reply := b.talk(ctx, t, "w1", "send 10.0.0.65:2000 10.0.0.11:1000")
	until(t, "node-a denies the forged reply", func() bool { return a.drops(t)[pipeline.DropPolicyDeny] > 0 })
	cancel()
	for _, cmd := range []interface{ Wait() error }{echo, tcpEcho, ask, reply} {
		_ = cmd.Wait() // ended by cancel
	}
}
