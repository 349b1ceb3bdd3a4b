package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/firewalltest"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/verify"
)

// ruleWorld is what rules of the tests that use wideFixture are about.
var ruleWorld = firewalltest.World{
	Identities: map[fabric.NetworkID][]fabric.Identity{prod: {0x101, 0x102, 0x103, 0x104, 0x105}, shared: {0x201, 0x202, 0x203}},
	Blocks:     map[fabric.NetworkID]fabric.VNIBlock{prod: {Base: 0x100, Bits: 16}, shared: {Base: 0x200, Bits: 16}},
	Prefixes: []netip.Prefix{
		prefix("0.0.0.0/0"), prefix("10.0.0.0/16"), prefix("10.0.0.0/24"), prefix("10.0.0.0/26"), prefix("10.0.0.16/30"), prefix("10.0.0.64/26"),
		prefix("10.0.0.66/31"), prefix("10.0.1.0/24"), prefix("10.0.1.18/32"), prefix("10.9.0.0/24"), prefix("10.9.0.64/27"),
		prefix("::/0"), prefix("fd00:1::/64"), prefix("fd00:1::10/124"), prefix("fd00:1::40/122"), prefix("fd00:1::42/127"),
	},
	Ports: []uint16{1, 79, 80, 127, 128, 1023, 1024, 8080, 32768, 65535},
	Rules: 14,
}

// wideFixture is the fixture with the identities of ruleWorld, and a workload on this node for most of them.
func wideFixture() pipeline.Input {
	in := fixture()
	for n, ids := range ruleWorld.Identities {
		for _, id := range ids {
			if id != webID && id != dbID && id != sharedID {
				in.Plan.Identities = append(in.Plan.Identities, plan.Identity{ID: id, Network: n, Labels: fabric.Labels{"n": fmt.Sprint(id)}})
			}
		}
	}
	in.Plan.Tables = nil
	in.Attachments = append(in.Attachments[:4:4],
		pipeline.Attachment{Interface: "v7", OFPort: 7, Network: prod, Identity: 0x103, MAC: mac(7), Addresses: addrs("10.0.0.17", "fd00:1::17")},
		pipeline.Attachment{Interface: "v8", OFPort: 8, Network: prod, Identity: 0x104, MAC: mac(8), Addresses: addrs("10.0.1.18")},
		pipeline.Attachment{Interface: "v9", OFPort: 9, Network: shared, Identity: 0x202, MAC: mac(9), Addresses: addrs("10.9.0.19")},
	)
	return in
}

// placesOf returns where packets can come from, local workloads and every identity behind the tunnel, and where on this
// node they can go.
func placesOf(in pipeline.Input) (sources []place, targets []firewall.Endpoint) {
	for _, a := range in.Attachments {
		frame := fmt.Sprintf("in_port=%d,dl_src=%s,dl_dst=%s,", a.OFPort, a.MAC, vmac)
		for _, at := range a.Addresses {
			end := firewall.Endpoint{Network: a.Network, Identity: a.Identity, Addr: at}
			sources, targets = append(sources, place{frame, end}), append(targets, end)
		}
	}
	remote := map[fabric.NetworkID][]netip.Addr{
		prod:   addrs("10.0.0.65", "10.0.0.67", "fd00:1::41", "fd00:1::43"),
		shared: addrs("10.9.0.65", "10.9.0.100"),
	}
	for _, n := range []fabric.NetworkID{prod, shared} {
		for _, id := range ruleWorld.Identities[n] {
			for _, at := range remote[n] {
				sources = append(sources, place{fmt.Sprintf("%stun_id=%#x,", fromB, uint32(id)), firewall.Endpoint{Network: n, Identity: id, Addr: at}})
			}
		}
	}
	return sources, targets
}

// packetText writes a packet for ofproto/trace.
func packetText(p firewall.Packet) string {
	six, family := "", "nw_src=%s,nw_dst=%s"
	if p.Src.Addr.Is6() {
		six, family = "6", "ipv6_src=%s,ipv6_dst=%s"
	}
	ends := "nw_ttl=64," + fmt.Sprintf(family, p.Src.Addr, p.Dst.Addr)
	switch p.Protocol {
	case firewall.TCP:
		return fmt.Sprintf("tcp%s,tcp_src=9,tcp_dst=%d,%s", six, p.DstPort, ends)
	case firewall.UDP:
		return fmt.Sprintf("udp%s,udp_src=9,udp_dst=%d,%s", six, p.DstPort, ends)
	case firewall.SCTP:
		return fmt.Sprintf("sctp%s,sctp_src=9,sctp_dst=%d,%s", six, p.DstPort, ends)
	case firewall.ICMP:
		return fmt.Sprintf("icmp,icmp_type=%d,icmp_code=%d,%s", p.Type, p.Code, ends)
	case firewall.ICMPv6:
		return fmt.Sprintf("icmp6,icmpv6_type=%d,icmpv6_code=%d,%s", p.Type, p.Code, ends)
	}
	return fmt.Sprintf("ip%s,nw_proto=%d,%s", map[string]string{"6": "v6"}[six], p.Protocol, ends)
}

// TestThreeWay holds the reference, the set engine and a switch against each other: random rules, rendered and installed,
// and random packets near what the rules name. -rapid.checks=10000 makes it a long run of 250,000 packets.
func TestThreeWay(t *testing.T) {
	s := startOVS(t, 9)
	in := wideFixture()
	sources, targets := placesOf(in)
	var classes []reach.Class
	class := make(map[firewall.Endpoint]int)
	add := func(e firewall.Endpoint) {
		if _, known := class[e]; !known {
			class[e] = len(classes)
			classes = append(classes, reach.Class{Network: e.Network, Identity: e.Identity, Addresses: []reach.Range{{First: e.Addr, Last: e.Addr}}})
		}
	}
	for _, src := range sources {
		add(src.Endpoint)
	}
	for _, dst := range targets {
		add(dst)
	}
	traced, allowed := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		tables := ruleWorld.Tables(rt)
		in.Plan.Tables = []firewall.Table{tables[prod], tables[shared]}
		s.install(t, pipeline.Render(in))
		engine := reach.New(tables, classes)
		for range 25 {
			src := rapid.SampledFrom(sources).Draw(rt, "from")
			dst := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(targets), func(e firewall.Endpoint) bool {
				return e.Addr.Is6() != src.Addr.Is6() || e.Addr == src.Addr
			})).Draw(rt, "to")
			p := ruleWorld.Packet(rt, src.Endpoint, dst)
			want := firewall.Decide(tables, p)
			computed := false
			for _, part := range engine.Between(class[src.Endpoint], class[dst]) {
				if part.Services.Contains(reach.PointOf(p)) {
					computed = part.Allowed
				}
			}
			if computed != want.Allowed {
				rt.Fatalf("%+v: Decide says %v, the set engine %v", p, want.Allowed, computed)
			}
			text := src.frame + packetText(p)
			got := s.trace(t, text, "trk,new", "trk,new")
			if diff := disagreement(tables, p, want, got); diff != "" {
				rt.Fatalf("%s: %s\n%s", text, diff, got.text)
			}
			traced++
			if want.Allowed {
				allowed++
			}
		}
	})
	t.Logf("%d packets traced, %d allowed", traced, allowed)
}

// checkRendered proves, for all packets at once, that flows rendered from random rules decide as the rules do: package
// verify runs the flows symbolically and shares no code with what rendered them.
func checkRendered(t *rapid.T) {
	in, world := wideFixture(), ruleWorld
	world.Rules = 6 // a proof takes longer than a packet
	tables := world.Tables(t)
	in.Plan.Tables = []firewall.Table{tables[prod], tables[shared]}
	question := verify.Input{Plan: in.Plan, TunnelPort: in.TunnelPort, Flows: pipeline.Render(in)}
	for _, a := range in.Attachments {
		question.Attachments = append(question.Attachments, verify.Attachment{Interface: a.Interface, OFPort: a.OFPort, Network: a.Network, Identity: a.Identity, MAC: a.MAC, Addresses: a.Addresses})
	}
	for _, f := range verify.Verify(question).Findings {
		t.Errorf("%+v", f)
	}
}

// FuzzRender starts from a few worlds at random, which every run of the tests proves.
func FuzzRender(f *testing.F) {
	for seed := range 4 {
		b := make([]byte, 1<<15)
		_, _ = rand.NewChaCha8([32]byte{byte(seed + 1)}).Read(b)
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(checkRendered))
}
