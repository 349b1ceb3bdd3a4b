package firewall_test

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// The generators' world: two networks with a block of identities each, and few addresses and ports, so that
// rules and packets meet. Values lie on the boundaries of ranges, prefixes and masks.
var (
	blocks   = map[fabric.NetworkID]fabric.VNIBlock{1: {Base: 0x100, Bits: 16}, 2: {Base: 0x200, Bits: 16}}
	ports    = []uint16{1, 2, 79, 80, 81, 127, 128, 1023, 1024, 8080, 32767, 32768, 65534, 65535}
	prefixes = prefixList("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25", "10.0.0.4/30",
		"10.0.0.5/32", "10.0.0.6/31", "192.168.0.0/16", "::/0", "fd00::/16", "fd00::/64", "fd00::/65", "fd00::8/125", "fd00::9/128")
	addrs4 = addrList("10.0.0.0", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.127", "10.0.0.128", "10.0.1.0", "192.168.255.255", "255.255.255.255")
	addrs6 = addrList("::", "fd00::", "fd00::7", "fd00::8", "fd00::9", "fd00::f", "fd00::10", "fd00::8000:0:0:0", "fd01::", "ffff::1")
)

func prefixList(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrList(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func drawIDs(t *rapid.T, networks ...fabric.NetworkID) []fabric.Identity {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fabric.Identity {
		n := rapid.SampledFrom(networks).Draw(t, "network")
		return blocks[n].Base + fabric.Identity(rapid.SampledFrom([]int{1, 2, 3, 4, 255}).Draw(t, "identity"))
	}), 0, 4).Draw(t, "ids")
}

func drawPeers(t *rapid.T) firewall.Peers {
	if rapid.IntRange(0, 3).Draw(t, "anyPeer") == 0 {
		return firewall.Peers{Any: true}
	}
	var p firewall.Peers
	p.IDs = drawIDs(t, 1, 2)
	if rapid.IntRange(0, 3).Draw(t, "withBlock") == 0 {
		p.Blocks = append(p.Blocks, blocks[rapid.SampledFrom([]fabric.NetworkID{1, 2}).Draw(t, "block")])
	}
	p.CIDRs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.CIDR {
		return firewall.CIDR{
			Prefix: rapid.SampledFrom(prefixes).Draw(t, "prefix"),
			Except: rapid.SliceOfN(rapid.SampledFrom(prefixes), 0, 3).Draw(t, "except"),
		}
	}), 0, 3).Draw(t, "cidrs")
	return p
}

func drawService(t *rapid.T) firewall.Service {
	s := firewall.Service{Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, firewall.ICMPv6}).Draw(t, "protocol")}
	switch s.Protocol {
	case firewall.ICMP, firewall.ICMPv6:
		s.Type, s.Code = int16(rapid.SampledFrom([]int{-1, 0, 8, 255}).Draw(t, "type")), int16(rapid.SampledFrom([]int{-1, 0, 1}).Draw(t, "code"))
	default:
		if rapid.Bool().Draw(t, "withPorts") {
			a, b := rapid.SampledFrom(ports).Draw(t, "first"), rapid.SampledFrom(ports).Draw(t, "last")
			s.Ports = firewall.PortRange{First: min(a, b), Last: max(a, b)}
		}
	}
	return s
}

func drawTable(t *rapid.T, network fabric.NetworkID) firewall.Table {
	id := firewall.RuleID(0)
	return firewall.Table{Network: network, Rules: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.Rule {
		id++
		r := firewall.Rule{
			ID:        id,
			Tier:      rapid.SampledFrom([]firewall.Tier{firewall.Platform, firewall.Tenant, firewall.Baseline, firewall.Posture}).Draw(t, "tier"),
			Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
			Action:    rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
			Order:     firewall.Order{Last: rapid.IntRange(0, 5).Draw(t, "last") == 0, Priority: rapid.IntRange(1, 3).Draw(t, "priority"), Index: int(id)},
			Subject:   firewall.Workloads{Any: rapid.Bool().Draw(t, "anySubject")},
			Peers:     drawPeers(t),
			Services:  rapid.SliceOfN(rapid.Custom(drawService), 0, 3).Draw(t, "services"),
		}
		if !r.Subject.Any {
			r.Subject.IDs = drawIDs(t, network)
		}
		return r
	}), 0, 12).Draw(t, fmt.Sprintf("table%d", network))}
}

func drawPacket(t *rapid.T) firewall.Packet {
	addrs := rapid.SampledFrom([][]netip.Addr{addrs4, addrs6}).Draw(t, "family")
	end := func(label string) firewall.Endpoint {
		n := rapid.SampledFrom([]fabric.NetworkID{1, 2}).Draw(t, label)
		return firewall.Endpoint{
			Network:  n,
			Identity: blocks[n].Base + fabric.Identity(rapid.SampledFrom([]int{1, 2, 3, 4, 5, 255}).Draw(t, label+"Identity")),
			Addr:     rapid.SampledFrom(addrs).Draw(t, label+"Addr"),
		}
	}
	return firewall.Packet{
		Src: end("src"), Dst: end("dst"),
		Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, firewall.ICMPv6, 47}).Draw(t, "packetProtocol"),
		DstPort:  rapid.SampledFrom(ports).Draw(t, "dstPort"),
		Type:     rapid.SampledFrom([]uint8{0, 8, 128, 255}).Draw(t, "packetType"),
		Code:     rapid.SampledFrom([]uint8{0, 1, 2}).Draw(t, "packetCode"),
	}
}

func checkCompileAgreesWithDecide(t *rapid.T) {
	tables := map[fabric.NetworkID]firewall.Table{1: drawTable(t, 1), 2: drawTable(t, 2)}
	entries := make(map[fabric.NetworkID][]firewall.Entry)
	for n, table := range tables {
		entries[n] = firewall.Compile(table)
		checkInvariants(t, entries[n])
	}
	for range 20 {
		p := drawPacket(t)
		if got, want := evaluate(entries, p), firewall.Decide(tables, p); got != want.Allowed {
			t.Fatalf("packet %+v: the entries allow: %v, the rules: %v (egress %+v, ingress %+v)", p, got, want.Allowed, want.Egress, want.Ingress)
		}
	}
}

func TestCompileAgreesWithDecide(t *testing.T) { rapid.Check(t, checkCompileAgreesWithDecide) }

func FuzzCompile(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkCompileAgreesWithDecide)) }

// checkInvariants asserts what Compile's comment promises.
func checkInvariants(t interface{ Fatalf(string, ...any) }, entries []firewall.Entry) {
	type stage struct {
		direction firewall.Direction
		tier      firewall.Tier
		level     uint16
	}
	type match struct {
		stage
		subject firewall.SubjectMatch
		peer    firewall.PeerMatch
		service firewall.ServiceMatch
	}
	type clause struct {
		stage
		rule firewall.RuleID
	}
	actions := make(map[stage]firewall.Action)
	plain := make(map[match]bool)
	clauses := make(map[clause]map[uint8]bool)
	counts := make(map[clause]uint8)
	results := make(map[clause]int)
	for _, e := range entries {
		s := stage{e.Direction, e.Tier, e.Level}
		m := match{s, e.Subject, e.Peer, e.Service}
		c := clause{s, e.Rule}
		if a, ok := actions[s]; ok && a != e.Action {
			t.Fatalf("%+v: a level with two actions", e)
		}
		actions[s] = e.Action
		if conjunctive := e.Conjunction || e.Clause.Count > 0; conjunctive != (e.Level%2 == 1) || e.Level < 2 {
			t.Fatalf("%+v: wrong kind of level", e)
		}
		switch {
		case e.Conjunction:
			results[c]++
			if (m != match{stage: s}) || e.Clause != (firewall.Clause{}) {
				t.Fatalf("%+v: a result row that matches more than its conjunction", e)
			}
		case e.Clause.Count > 0:
			if m == (match{stage: s}) || e.Clause.Index < 1 || e.Clause.Index > e.Clause.Count || counts[c] != 0 && counts[c] != e.Clause.Count {
				t.Fatalf("%+v: bad clause", e)
			}
			counts[c] = e.Clause.Count
			if clauses[c] == nil {
				clauses[c] = make(map[uint8]bool)
			}
			clauses[c][e.Clause.Index] = true
		default:
			if plain[m] {
				t.Fatalf("%+v: the same plain row twice", e)
			}
			plain[m] = true
		}
		if p := e.Peer.Prefix; p.IsValid() && (e.Service.Protocol == firewall.ICMP && p.Addr().Is6() || e.Service.Protocol == firewall.ICMPv6 && p.Addr().Is4()) {
			t.Fatalf("%+v: two IP families in one row", e)
		}
	}
	for c, n := range counts {
		if n < 2 || n > 3 || len(clauses[c]) != int(n) || results[c] != 1 {
			t.Fatalf("rule %d at %+v: %d clauses of %d, %d results", c.rule, c.stage, len(clauses[c]), n, results[c])
		}
	}
	if len(results) != len(counts) {
		t.Fatalf("%d results for %d conjunctions", len(results), len(counts))
	}
}

func TestCompileCost(t *testing.T) {
	ids := func(n int) (out []fabric.Identity) {
		for i := range n {
			out = append(out, fabric.Identity(0x101+i))
		}
		return out
	}
	tcp := func(first, last uint16) firewall.Service {
		return firewall.Service{Protocol: firewall.TCP, Ports: firewall.PortRange{First: first, Last: last}}
	}
	rows := []struct {
		name string
		rule firewall.Rule
		want int
	}{
		{"everything", firewall.Rule{Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}}, 1},
		{"no peers at all", firewall.Rule{Subject: firewall.Workloads{Any: true}}, 0},
		{"one of each", firewall.Rule{Subject: firewall.Workloads{IDs: ids(1)}, Peers: firewall.Peers{IDs: ids(1)}, Services: []firewall.Service{tcp(80, 80)}}, 1},
		{"one list is no conjunction", firewall.Rule{Subject: firewall.Workloads{IDs: ids(1)}, Peers: firewall.Peers{IDs: ids(50)}}, 50},
		{"the sum, not the product", firewall.Rule{Subject: firewall.Workloads{IDs: ids(50)}, Peers: firewall.Peers{IDs: ids(50)}, Services: []firewall.Service{tcp(80, 80), tcp(443, 443)}}, 103},
		{"adjacent ranges merge before masking", firewall.Rule{Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}, Services: []firewall.Service{tcp(80, 81), tcp(82, 87), tcp(88, 95)}}, 1},
		{"worst port range", firewall.Rule{Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}, Services: []firewall.Service{tcp(1, 65534)}}, 30},
		{"exception", firewall.Rule{Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{CIDRs: []firewall.CIDR{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: prefixList("10.1.0.0/16")}}}}, 8},
		{"identity inside a block", firewall.Rule{Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{IDs: ids(9), Blocks: []fabric.VNIBlock{blocks[1]}}}, 1},
	}
	for _, row := range rows {
		row.rule.Tier, row.rule.Direction, row.rule.Action = firewall.Tenant, firewall.Ingress, firewall.Allow
		if got := firewall.Compile(firewall.Table{Network: 1, Rules: []firewall.Rule{row.rule}}); len(got) != row.want {
			t.Errorf("%s: %d entries, want %d: %+v", row.name, len(got), row.want, got)
		}
	}
}

func TestCompileFailsClosedWhenLevelsRunOut(t *testing.T) {
	table := firewall.Table{Network: 1}
	for i := range 40000 {
		a := firewall.Allow
		if i%2 == 0 {
			a = firewall.Pass
		}
		table.Rules = append(table.Rules, firewall.Rule{ID: firewall.RuleID(i + 1), Tier: firewall.Tenant, Direction: firewall.Ingress, Action: a,
			Order: firewall.Order{Index: i}, Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true},
			Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: uint16(i + 1), Last: uint16(i + 1)}}}})
	}
	entries := firewall.Compile(table)
	last := entries[len(entries)-1]
	if last.Action != firewall.Deny || last.Level != 2 || last.Service != (firewall.ServiceMatch{}) {
		t.Errorf("last entry is %+v, want a denial of everything at level 2", last)
	}
}
