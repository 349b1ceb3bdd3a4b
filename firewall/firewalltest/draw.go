// Package firewalltest draws random rules from a small world, so that they meet often, for tests that hold what is made
// of rules against what they mean. It imports fabric, firewall and rapid only.
package firewalltest

import (
	"maps"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// World is what rules may name.
type World struct {
	Identities map[fabric.NetworkID][]fabric.Identity
	Blocks     map[fabric.NetworkID]fabric.VNIBlock
	Prefixes   []netip.Prefix
	Ports      []uint16 // the ends of ranges
	Rules      int      // at most so many in a table
}

// Tables draws a table for each network, with a default for each direction. No two rules share an id.
func (w World) Tables(t *rapid.T) map[fabric.NetworkID]firewall.Table {
	out := make(map[fabric.NetworkID]firewall.Table)
	id := firewall.RuleID(1)
	for _, n := range slices.Sorted(maps.Keys(w.Identities)) {
		table := firewall.Table{Network: n}
		for i := range rapid.IntRange(0, w.Rules).Draw(t, "rules") {
			table.Rules = append(table.Rules, w.rule(t, n, id, i))
			id++
		}
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			table.Rules = append(table.Rules, firewall.Rule{
				ID: id, Tier: firewall.Posture, Direction: d, Order: firewall.Order{Last: true},
				Action:  rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Allow, firewall.Deny}).Draw(t, "posture"),
				Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true},
			})
			id++
		}
		slices.SortStableFunc(table.Rules, firewall.CompareRules)
		out[n] = table
	}
	return out
}

// rule draws a rule of any tier but the posture.
func (w World) rule(t *rapid.T, n fabric.NetworkID, id firewall.RuleID, index int) firewall.Rule {
	r := firewall.Rule{
		ID:        id,
		Tier:      rapid.SampledFrom([]firewall.Tier{firewall.Platform, firewall.Tenant, firewall.Baseline}).Draw(t, "tier"),
		Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
		Action:    rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
		Order:     firewall.Order{Priority: rapid.IntRange(0, 2).Draw(t, "priority"), Policy: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "policy"), Index: index},
	}
	if r.Subject.Any = one(t, 4, "any subject"); !r.Subject.Any {
		r.Subject.IDs = w.identities(t, n)
	}
	if r.Peers.Any = one(t, 5, "any peer"); !r.Peers.Any {
		r.Peers = w.peers(t)
	}
	if !one(t, 4, "every service") {
		for range rapid.IntRange(1, 3).Draw(t, "services") {
			r.Services = append(r.Services, w.service(t))
		}
	}
	return r
}

// one is true once in n times.
func one(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

// identities draws some identities of networks.
func (w World) identities(t *rapid.T, networks ...fabric.NetworkID) []fabric.Identity {
	var out []fabric.Identity
	for _, n := range networks {
		for _, id := range w.Identities[n] {
			if rapid.Bool().Draw(t, "identity") {
				out = append(out, id)
			}
		}
	}
	return out
}

func (w World) peers(t *rapid.T) firewall.Peers {
	var p firewall.Peers
	networks := slices.Sorted(maps.Keys(w.Identities))
	if !one(t, 3, "no identities") {
		p.IDs = w.identities(t, networks...)
	}
	if one(t, 4, "block") {
		p.Blocks = []fabric.VNIBlock{w.Blocks[rapid.SampledFrom(networks).Draw(t, "of")]}
	}
	if one(t, 2, "ranges") {
		for range rapid.IntRange(1, 2).Draw(t, "number of ranges") {
			c := firewall.CIDR{Prefix: rapid.SampledFrom(w.Prefixes).Draw(t, "range")}
			for _, e := range w.Prefixes {
				if e.Bits() > c.Prefix.Bits() && c.Prefix.Contains(e.Addr()) && one(t, 4, "exception") {
					c.Except = append(c.Except, e)
				}
			}
			p.CIDRs = append(p.CIDRs, c)
		}
	}
	return p
}

func (w World) service(t *rapid.T) firewall.Service {
	s := firewall.Service{Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, firewall.ICMPv6}).Draw(t, "protocol")}
	switch s.Protocol {
	case firewall.ICMP, firewall.ICMPv6:
		s.Type, s.Code = int16(rapid.SampledFrom([]int{-1, 3, 8, 128}).Draw(t, "type")), -1
		if s.Type >= 0 {
			s.Code = int16(rapid.IntRange(-1, 1).Draw(t, "code"))
		}
	default:
		if !one(t, 4, "every port") {
			a, b := rapid.SampledFrom(w.Ports).Draw(t, "port"), rapid.SampledFrom(w.Ports).Draw(t, "port")
			s.Ports = firewall.PortRange{First: min(a, b), Last: max(a, b)}
		}
	}
	return s
}

// Packet draws what a packet between two ends carries: near the ports that rules name.
func (w World) Packet(t *rapid.T, src, dst firewall.Endpoint) firewall.Packet {
	protocols := []firewall.Protocol{firewall.TCP, firewall.TCP, firewall.UDP, firewall.SCTP, firewall.ICMP, 47}
	if src.Addr.Is6() {
		protocols[4] = firewall.ICMPv6
	}
	p := firewall.Packet{Src: src, Dst: dst, Protocol: rapid.SampledFrom(protocols).Draw(t, "packet")}
	switch p.Protocol {
	case firewall.TCP, firewall.UDP, firewall.SCTP:
		at := int(rapid.SampledFrom(w.Ports).Draw(t, "to port")) + rapid.IntRange(-1, 1).Draw(t, "beside")
		p.DstPort = uint16(min(max(at, 1), 65535))
	case firewall.ICMP:
		p.Type, p.Code = rapid.SampledFrom([]uint8{3, 8, 13}).Draw(t, "type"), uint8(rapid.IntRange(0, 2).Draw(t, "code"))
	case firewall.ICMPv6:
		p.Type, p.Code = rapid.SampledFrom([]uint8{3, 128, 200}).Draw(t, "type"), uint8(rapid.IntRange(0, 2).Draw(t, "code"))
	}
	return p
}
