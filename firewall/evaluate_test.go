package firewall_test

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// evaluate decides as a switch does that holds only the entries: per tier, the highest level that has a
// matching row or a complete conjunction acts (ovs-actions(7), "conjunction").
func evaluate(tables map[fabric.NetworkID][]firewall.Entry, p firewall.Packet) bool {
	return evaluateDirection(tables[p.Src.Network], firewall.Egress, p) &&
		evaluateDirection(tables[p.Dst.Network], firewall.Ingress, p)
}

func evaluateDirection(entries []firewall.Entry, d firewall.Direction, p firewall.Packet) bool {
	for tier := firewall.Platform; tier <= firewall.Posture; tier++ {
		switch act(entries, d, tier, p) {
		case firewall.Allow:
			return true
		case firewall.Deny:
			return false
		}
	}
	return false
}

// act returns the action of the winning entry, or 0.
func act(entries []firewall.Entry, d firewall.Direction, tier firewall.Tier, p firewall.Packet) firewall.Action {
	type conjunction struct {
		level uint16
		rule  firewall.RuleID
	}
	held := make(map[conjunction]map[uint8]bool)
	complete := func(e firewall.Entry, count uint8) bool { return len(held[conjunction{e.Level, e.Rule}]) == int(count) }
	var best uint16
	var action firewall.Action
	for _, e := range entries {
		if e.Direction != d || e.Tier != tier || e.Conjunction || !matches(e, d, p) {
			continue
		}
		won := e.Clause.Count == 0
		if !won {
			c := conjunction{e.Level, e.Rule}
			if held[c] == nil {
				held[c] = make(map[uint8]bool)
			}
			held[c][e.Clause.Index] = true
			won = complete(e, e.Clause.Count) && slices.ContainsFunc(entries, func(r firewall.Entry) bool {
				return r.Conjunction && r.Direction == d && r.Tier == tier && r.Level == e.Level && r.Rule == e.Rule && r.Action == e.Action
			})
		}
		if won && e.Level > best {
			best, action = e.Level, e.Action
		}
	}
	return action
}

func matches(e firewall.Entry, d firewall.Direction, p firewall.Packet) bool {
	subject, peer := p.Dst, p.Src
	if d == firewall.Egress {
		subject, peer = p.Src, p.Dst
	}
	m := e.Peer
	switch {
	case e.Network != subject.Network,
		e.Subject.Identity != 0 && e.Subject.Identity != subject.Identity,
		m.Identity != 0 && m.Identity != peer.Identity,
		m.Block != fabric.VNIBlock{} && !m.Block.Contains(peer.Identity),
		m.Prefix != netip.Prefix{} && !m.Prefix.Contains(peer.Addr):
		return false
	}
	s := e.Service
	if s == (firewall.ServiceMatch{}) {
		return true
	}
	switch {
	case s.Protocol != p.Protocol:
		return false
	case s.Protocol == firewall.ICMP && !peer.Addr.Is4(), s.Protocol == firewall.ICMPv6 && !peer.Addr.Is6():
		return false
	case s.Protocol == firewall.ICMP, s.Protocol == firewall.ICMPv6:
		return (s.Type < 0 || s.Type == int16(p.Type)) && (s.Code < 0 || s.Code == int16(p.Code))
	}
	return p.DstPort&s.PortMask == s.Port
}
