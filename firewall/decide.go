package firewall

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// Decide returns what policy decides for the first packet of a connection: allowed when egress of the source
// and ingress of the destination both allow it.
//
// An Endpoint without a Network lies outside the fabric: no table governs it. Everything unknown is denied: an
// endpoint with a network but without an identity, a network without a table, a direction that no rule
// decides. Addresses are plain IPv4 or IPv6, never IPv4-mapped, and both of one family.
func Decide(tables map[fabric.NetworkID]Table, p Packet) Verdict {
	var v Verdict
	if unknown(p.Src) || unknown(p.Dst) || p.Src.Network == 0 && p.Dst.Network == 0 {
		return v
	}
	if p.Src.Network != 0 {
		v.Egress = decideDirection(tables[p.Src.Network], Egress, p)
		if v.Egress == nil || v.Egress.Action != Allow {
			return v
		}
	}
	if p.Dst.Network != 0 {
		v.Ingress = decideDirection(tables[p.Dst.Network], Ingress, p)
		if v.Ingress == nil || v.Ingress.Action != Allow {
			return v
		}
	}
	v.Allowed = true
	return v
}

// unknown reports whether e is a workload whose labels nobody knows.
func unknown(e Endpoint) bool { return e.Network != 0 && e.Identity == 0 }

// decideDirection asks the tiers in turn. It returns the rule that allows or denies, or nil.
func decideDirection(t Table, d Direction, p Packet) *Rule {
	for _, tier := range []Tier{Platform, Tenant, Baseline, Posture} {
		if r := firstMatch(t, d, tier, p); r != nil && r.Action != Pass {
			return r
		}
	}
	return nil
}

// firstMatch returns the first rule of a tier and direction, in their order, that matches p, or nil.
func firstMatch(t Table, d Direction, tier Tier, p Packet) *Rule {
	var first *Rule
	for i := range t.Rules {
		r := &t.Rules[i]
		if r.Direction != d || r.Tier != tier || !r.Matches(p) {
			continue
		}
		if first == nil || r.Order.Compare(first.Order) < 0 {
			first = r
		}
	}
	return first
}

// Matches reports whether r's subject, peers and services match p. It doesn't look at the subject's network:
// that one chose the table.
func (r *Rule) Matches(p Packet) bool {
	subject, peer := p.Dst, p.Src
	if r.Direction == Egress {
		subject, peer = p.Src, p.Dst
	}
	return r.Subject.contain(subject.Identity) && r.Peers.contain(peer) && matchAny(r.Services, p)
}

func (w Workloads) contain(id fabric.Identity) bool {
	return w.Any || id != 0 && slices.Contains(w.IDs, id)
}

func (ps Peers) contain(e Endpoint) bool {
	return ps.Any ||
		e.Identity != 0 && slices.Contains(ps.IDs, e.Identity) ||
		e.Identity != 0 && slices.ContainsFunc(ps.Blocks, func(b fabric.VNIBlock) bool { return b.Contains(e.Identity) }) ||
		slices.ContainsFunc(ps.CIDRs, func(c CIDR) bool { return c.Contains(e.Addr) })
}

// matchAny reports whether one of the services matches p; no services match every packet.
func matchAny(services []Service, p Packet) bool {
	return len(services) == 0 || slices.ContainsFunc(services, func(s Service) bool { return s.matches(p) })
}

func (s Service) matches(p Packet) bool {
	if s.Protocol == 0 || s.Protocol != p.Protocol || !s.Protocol.of(p.Src.Addr) {
		return false
	}
	switch s.Protocol {
	case TCP, UDP, SCTP:
		return s.Ports.First == 0 || s.Ports.First <= p.DstPort && p.DstPort <= s.Ports.Last
	case ICMP, ICMPv6:
		return (s.Type < 0 || s.Type == int16(p.Type)) && (s.Code < 0 || s.Code == int16(p.Code))
	}
	return true
}

// of reports whether packets of the protocol can have the address a: ICMP is for IPv4, ICMPv6 for IPv6, the
// others for both.
func (pr Protocol) of(a netip.Addr) bool {
	switch pr {
	case ICMP:
		return a.Is4()
	case ICMPv6:
		return a.Is6()
	}
	return true
}
