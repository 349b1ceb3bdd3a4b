package reach_test

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// The world of the random tables is small, so that rules and packets meet: two networks with few identities, addresses
// and ports on the boundaries of ranges.
var (
	blocks   = map[fabric.NetworkID]fabric.VNIBlock{1: {Base: 0x100, Bits: 16}, 2: {Base: 0x200, Bits: 16}}
	ports    = []uint16{1, 79, 80, 81, 1024, 65535}
	prefixes = []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.128/25", "10.0.0.4/30", "10.0.0.5/32", "255.255.255.255/32", "::/0", "fd00::/64", "fd00::8/125", "fd00::9/128"}
	addrs    = []string{"10.0.0.0", "10.0.0.4", "10.0.0.5", "10.0.0.127", "10.0.0.128", "10.0.1.0", "255.255.255.255", "::", "fd00::7", "fd00::8", "fd00::9", "fd00::10", "ffff::1"}
)

func drawIDs(t *rapid.T, networks ...fabric.NetworkID) []fabric.Identity {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fabric.Identity {
		return blocks[rapid.SampledFrom(networks).Draw(t, "network")].Base + fabric.Identity(rapid.IntRange(0, 4).Draw(t, "identity"))
	}), 0, 3).Draw(t, "ids")
}

func drawPrefix(t *rapid.T) netip.Prefix {
	return netip.MustParsePrefix(rapid.SampledFrom(prefixes).Draw(t, "prefix"))
}

func drawPeers(t *rapid.T) firewall.Peers {
	if rapid.IntRange(0, 3).Draw(t, "anyPeer") == 0 {
		return firewall.Peers{Any: true}
	}
	p := firewall.Peers{IDs: drawIDs(t, 1, 2)}
	if rapid.IntRange(0, 3).Draw(t, "withBlock") == 0 {
		p.Blocks = append(p.Blocks, blocks[rapid.SampledFrom([]fabric.NetworkID{1, 2}).Draw(t, "block")])
	}
	p.CIDRs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.CIDR {
		return firewall.CIDR{Prefix: drawPrefix(t), Except: rapid.SliceOfN(rapid.Custom(drawPrefix), 0, 2).Draw(t, "except")}
	}), 0, 2).Draw(t, "cidrs")
	return p
}

func drawService(t *rapid.T) firewall.Service {
	s := firewall.Service{Protocol: rapid.SampledFrom([]firewall.Protocol{0, firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, firewall.ICMPv6, 47}).Draw(t, "protocol")}
	s.Type, s.Code = int16(rapid.SampledFrom([]int{-1, 0, 8, 255}).Draw(t, "type")), int16(rapid.SampledFrom([]int{-1, 0, 1}).Draw(t, "code"))
	if rapid.Bool().Draw(t, "withPorts") {
		s.Ports = firewall.PortRange{First: rapid.SampledFrom(ports).Draw(t, "first"), Last: rapid.SampledFrom(ports).Draw(t, "last")}
	}
	return s
}

func drawTable(t *rapid.T, network fabric.NetworkID) firewall.Table {
	id := firewall.RuleID(0)
	return firewall.Table{Network: network, Rules: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.Rule {
		id++
		r := firewall.Rule{
			ID: id, Tier: firewall.Tier(rapid.IntRange(0, 5).Draw(t, "tier")),
			Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
			Action:    rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
			Order:     firewall.Order{Last: rapid.IntRange(0, 5).Draw(t, "last") == 0, Priority: rapid.IntRange(1, 3).Draw(t, "priority")},
			Subject:   firewall.Workloads{Any: rapid.Bool().Draw(t, "anySubject")},
			Peers:     drawPeers(t), Services: rapid.SliceOfN(rapid.Custom(drawService), 0, 3).Draw(t, "services"),
		}
		if !r.Subject.Any {
			r.Subject.IDs = drawIDs(t, network)
		}
		return r
	}), 0, 12).Draw(t, fmt.Sprintf("table%d", network))}
}

// classes are all workloads of the small world, network 3 without a table, an unknown one, and the outside.
func classes() (out []reach.Class) {
	for n := range fabric.NetworkID(3) {
		for i := range fabric.Identity(4) {
			out = append(out, reach.Class{Network: n + 1, Identity: fabric.Identity(n+1)<<8 + i, Addresses: reach.Everywhere()})
		}
	}
	return append(out, reach.Class{Network: 1, Addresses: reach.Everywhere()}, reach.Class{Addresses: reach.Everywhere()})
}

// TestAgreesWithDecide asks both about random packets: each lies in exactly one part, and that part has the verdict
// and the rules that Decide names.
func TestAgreesWithDecide(t *testing.T) { rapid.Check(t, checkAgreesWithDecide) }

func FuzzReach(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkAgreesWithDecide)) }

func checkAgreesWithDecide(t *rapid.T) {
	tables := map[fabric.NetworkID]firewall.Table{1: drawTable(t, 1), 2: drawTable(t, 2)}
	all := classes()
	e := reach.New(tables, all)
	for range 30 {
		from, to := rapid.IntRange(0, len(all)-1).Draw(t, "from"), rapid.IntRange(0, len(all)-1).Draw(t, "to")
		src, dst := netip.MustParseAddr(rapid.SampledFrom(addrs).Draw(t, "src")), netip.MustParseAddr(rapid.SampledFrom(addrs).Draw(t, "dst"))
		if src.Is4() != dst.Is4() {
			continue
		}
		p := firewall.Packet{
			Src:      firewall.Endpoint{Network: all[from].Network, Identity: all[from].Identity, Addr: src},
			Dst:      firewall.Endpoint{Network: all[to].Network, Identity: all[to].Identity, Addr: dst},
			Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, firewall.ICMPv6, 47, 255}).Draw(t, "protocol"),
			DstPort:  rapid.SampledFrom(ports).Draw(t, "port"),
			Type:     rapid.SampledFrom([]uint8{0, 8, 255}).Draw(t, "type"), Code: rapid.SampledFrom([]uint8{0, 1, 255}).Draw(t, "code"),
		}
		want := firewall.Decide(tables, p)
		var hits []reach.Part
		for _, part := range e.Between(from, to) {
			if part.Services.Contains(reach.PointOf(p)) && e.Addresses(from, part.Family, part.Src).Contains(e.Atoms.Of(src)) && e.Addresses(to, part.Family, part.Dst).Contains(e.Atoms.Of(dst)) {
				hits = append(hits, part)
			}
		}
		if len(hits) != 1 {
			t.Fatalf("packet %+v lies in %d parts: %+v", p, len(hits), hits)
		}
		if h := hits[0]; h.Allowed != want.Allowed || !sameRule(h.Egress, want.Egress) || !sameRule(h.Ingress, want.Ingress) {
			t.Fatalf("packet %+v: part %+v, Decide %+v", p, h, want)
		}
	}
}

func sameRule(a, b *firewall.Rule) bool {
	return a == nil && b == nil || a != nil && b != nil && a.ID == b.ID && a.Direction == b.Direction
}

// TestSets holds the set operations against single numbers.
func TestSets(t *testing.T) {
	draw := func(t *rapid.T, name string) reach.Set {
		var s reach.Set
		for range rapid.IntRange(0, 4).Draw(t, name) {
			a, b := rapid.Uint32Range(0, 20).Draw(t, "a"), rapid.Uint32Range(0, 20).Draw(t, "b")
			s = s.Union(reach.Set{{First: min(a, b), Last: max(a, b)}})
		}
		return s
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "first"), draw(t, "second")
		union, both, rest := a.Union(b), a.Intersect(b), a.Subtract(b)
		for x := range uint32(22) {
			inA, inB := a.Contains(x), b.Contains(x)
			if union.Contains(x) != (inA || inB) || both.Contains(x) != (inA && inB) || rest.Contains(x) != (inA && !inB) {
				t.Fatalf("%d: %v and %v: union %v, both %v, rest %v", x, a, b, union, both, rest)
			}
		}
		if !both.Union(rest).Equal(a) {
			t.Fatalf("%v and %v: %v with %v isn't the first again", a, b, both, rest)
		}
	})
}

func TestRangeWithout(t *testing.T) {
	r := reach.RangeOf(netip.MustParsePrefix("10.0.0.0/29"))
	got := fmt.Sprint(r.Without(netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::1")))
	if want := "[10.0.0.1-10.0.0.3 10.0.0.5-10.0.0.6]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDescribe(t *testing.T) {
	rows := []struct {
		services []firewall.Service
		family   reach.Family
		want     string
	}{
		{nil, reach.IPv4, "[any]"},
		{nil, reach.IPv6, "[any]"},
		{[]firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 443, Last: 444}}, {Protocol: firewall.TCP, Ports: firewall.PortRange{First: 445, Last: 445}}, {Protocol: firewall.TCP, Ports: firewall.PortRange{First: 80, Last: 80}}}, reach.IPv4, "[tcp/80,443-445]"},
		{[]firewall.Service{{Protocol: firewall.UDP}}, reach.IPv4, "[udp]"},
		{[]firewall.Service{{Protocol: firewall.ICMP, Type: 8, Code: -1}, {Protocol: firewall.ICMP, Type: 3, Code: 1}}, reach.IPv4, "[icmp/3/1,8]"},
		{[]firewall.Service{{Protocol: firewall.ICMP, Type: 8, Code: -1}}, reach.IPv6, "[]"},
		{[]firewall.Service{{Protocol: 47}}, reach.IPv6, "[other/47]"},
	}
	for _, row := range rows {
		if got := fmt.Sprint(reach.Describe(reach.ServicesOf(row.services, row.family))); got != row.want {
			t.Errorf("%+v: got %s, want %s", row.services, got, row.want)
		}
	}
}
