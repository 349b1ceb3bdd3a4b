package reach_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// packets are one packet for each cell and service of the small world that rules can tell apart.
func packets() (out []firewall.Packet) {
	for _, src := range []fabric.Identity{0x101, 0x102, 0x103, 0x203} {
		for _, dst := range []fabric.Identity{0x101, 0x102, 0x103} {
			for _, a := range []string{"10.0.0.4", "10.0.0.128", "192.0.2.1"} {
				for port := uint16(1); port <= 5; port++ {
					end := func(id fabric.Identity) firewall.Endpoint {
						return firewall.Endpoint{Network: fabric.NetworkID(id >> 8), Identity: id, Addr: netip.MustParseAddr(a)}
					}
					out = append(out, firewall.Packet{Src: end(src), Dst: end(dst), Protocol: firewall.TCP, DstPort: port})
				}
				p := out[len(out)-1]
				p.Protocol, p.DstPort = 47, 0
				out = append(out, p)
			}
		}
	}
	return out
}

// TestFates holds the fates of ingress rules of one tier against packets, one by one, with rules left out.
func TestFates(t *testing.T) {
	all := packets()
	var classes []reach.Class
	for _, id := range []fabric.Identity{0x101, 0x102, 0x103, 0x203} {
		classes = append(classes, reach.Class{Network: fabric.NetworkID(id >> 8), Identity: id, Addresses: []reach.Range{
			{First: netip.MustParseAddr("10.0.0.4"), Last: netip.MustParseAddr("10.0.0.4")},
			{First: netip.MustParseAddr("10.0.0.128"), Last: netip.MustParseAddr("10.0.0.128")},
			{First: netip.MustParseAddr("192.0.2.1"), Last: netip.MustParseAddr("192.0.2.1")}}})
	}
	rapid.Check(t, func(t *rapid.T) {
		table := firewall.Table{Network: 1}
		for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
			r := firewall.Rule{
				ID: firewall.RuleID(i + 1), Tier: firewall.Tenant, Direction: firewall.Ingress,
				Action:  rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
				Order:   firewall.Order{Priority: i / 3, Policy: string(rune('a' + i)), Index: i},
				Subject: firewall.Workloads{Any: rapid.Bool().Draw(t, "anySubject"), IDs: []fabric.Identity{fabric.Identity(rapid.IntRange(0x101, 0x103).Draw(t, "subject"))}},
			}
			switch rapid.IntRange(0, 2).Draw(t, "peers") {
			case 0:
				r.Peers.Any = true
			case 1:
				r.Peers.IDs = []fabric.Identity{rapid.SampledFrom([]fabric.Identity{0x101, 0x203}).Draw(t, "peer")}
			default:
				r.Peers.CIDRs = []firewall.CIDR{{Prefix: drawPrefix(t)}}
			}
			if rapid.Bool().Draw(t, "withPorts") {
				first := uint16(rapid.IntRange(1, 3).Draw(t, "first"))
				r.Services = []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: first, Last: first + uint16(rapid.IntRange(0, 1).Draw(t, "more"))}}}
			}
			table.Rules = append(table.Rules, r)
		}
		tables := map[fabric.NetworkID]firewall.Table{1: table}
		fates := reach.New(tables, classes).Fates(tables, func(fabric.NetworkID, int) bool { return true })
		for _, f := range fates {
			var want reach.Fate
			for _, p := range all {
				first := firstOf(table.Rules, p, 0)
				own := first != nil && first.ID == f.Rule.ID
				want.Matches = want.Matches || f.Rule.Matches(p)
				want.Live = want.Live || own
				if own {
					other := firstOf(table.Rules, p, f.Rule.ID)
					same := other != nil && other.Action == f.Rule.Action || other == nil && f.Rule.Action == firewall.Pass
					want.Needed = want.Needed || !same
				}
			}
			if f.Matches != want.Matches || f.Live != want.Live || f.Needed != want.Needed {
				t.Fatalf("rule %+v: fate %+v, want %+v, among %+v", f.Rule, f, want, table.Rules)
			}
			if f.Matches && !f.Live && len(f.By) == 0 {
				t.Fatalf("rule %+v is covered by nothing", f.Rule)
			}
		}
	})
}

// firstOf returns the first matching rule that isn't left out.
func firstOf(rules []firewall.Rule, p firewall.Packet, without firewall.RuleID) *firewall.Rule {
	for i := range rules {
		if rules[i].ID != without && rules[i].Matches(p) {
			return &rules[i]
		}
	}
	return nil
}

// BenchmarkShadow10000 analyses 10,000 rules of one tier: wide ranges of ports, ranges of addresses from /8 to /24,
// everyone here and there.
func BenchmarkShadow10000(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	_, classes := benchWorld(50, 0, 1)
	classes = append(classes, reach.Class{Addresses: reach.Everywhere()})
	t := firewall.Table{Network: 1}
	for i := range 10_000 {
		rule := firewall.Rule{
			ID: firewall.RuleID(i + 1), Tier: firewall.Tenant, Direction: firewall.Ingress, Order: firewall.Order{Priority: i / 10, Policy: "p", Index: i},
			Action:  []firewall.Action{firewall.Allow, firewall.Deny}[r.IntN(2)],
			Subject: firewall.Workloads{Any: r.IntN(10) == 0, IDs: []fabric.Identity{fabric.Identity(0x10001 + r.IntN(50))}},
		}
		switch r.IntN(3) {
		case 0:
			rule.Peers.Any = r.IntN(10) == 0
			rule.Peers.IDs = []fabric.Identity{fabric.Identity(0x10001 + r.IntN(50))}
		default:
			bits := 8 + 8*r.IntN(3)
			rule.Peers.CIDRs = []firewall.CIDR{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(20)), byte(r.IntN(4)), byte(r.IntN(4)), 0}), bits).Masked()}}
		}
		first := uint16(1 + r.IntN(60000))
		rule.Services = []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: first, Last: first + uint16(r.IntN(5000))}}}
		t.Rules = append(t.Rules, rule)
	}
	tables := map[fabric.NetworkID]firewall.Table{1: t}
	shadowed := 0
	measure(b, 1, []any{tables, classes}, func() {
		shadowed = 0
		for _, f := range reach.New(tables, classes).Fates(tables, func(fabric.NetworkID, int) bool { return true }) {
			if f.Matches && !f.Live {
				shadowed++
			}
		}
	})
	b.ReportMetric(float64(shadowed), "shadowed")
}
