package planwire

import (
	"math"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (r *reader) rule(m *weftv1.PlanRule) *plan.TableRule {
	out := firewall.Rule{
		ID:        firewall.RuleID(r.number("id", m.GetId(), 1, math.MaxUint32)),
		Tier:      firewall.Tier(r.number("tier", m.GetTier(), uint32(firewall.Platform), uint32(firewall.Posture))),
		Direction: firewall.Direction(r.number("direction", m.GetDirection(), uint32(firewall.Ingress), uint32(firewall.Egress))),
		Action:    firewall.Action(r.number("action", m.GetAction(), uint32(firewall.Allow), uint32(firewall.Pass))),
		Order:     firewall.Order{Last: m.GetLast(), Priority: int(m.GetPriority()), Policy: m.GetPolicy(), Index: int(r.number("index", m.GetIndex(), 0, math.MaxInt32))},
		Subject:   firewall.Workloads{Any: m.GetSubjectAny(), IDs: r.identities("subject_ids", m.GetSubjectIds())},
		Peers:     r.peers(m),
		Log:       m.GetLog(),
	}
	r.check(!out.Subject.Any || len(out.Subject.IDs) == 0, "subject_any with subject_ids")
	for _, s := range m.GetServices() {
		out.Services = append(out.Services, r.service(s))
	}
	if o := m.GetOrigin(); o != nil {
		out.Origin = firewall.Origin{Policy: o.GetPolicy(), Rule: o.GetRule(), File: o.GetFile(), Line: int(o.GetLine())}
	}
	return &plan.TableRule{Network: r.networkID("network", m.GetNetwork()), Rule: out}
}

func (r *reader) peers(m *weftv1.PlanRule) firewall.Peers {
	p := firewall.Peers{Any: m.GetPeersAny(), IDs: r.identities("peer_ids", m.GetPeerIds()), Blocks: r.blocks("peer_blocks", m.GetPeerBlocks())}
	for _, c := range m.GetPeerCidrs() {
		cidr := firewall.CIDR{Prefix: r.prefix("peer_cidrs", c.GetPrefix())}
		for _, e := range c.GetExcept() {
			cidr.Except = append(cidr.Except, r.prefix("peer_cidrs: except", e))
		}
		p.CIDRs = append(p.CIDRs, cidr)
	}
	r.check(!p.Any || len(p.IDs)+len(p.Blocks)+len(p.CIDRs) == 0, "peers_any with other peers")
	return p
}

func (r *reader) service(m *weftv1.Service) firewall.Service {
	s := firewall.Service{
		Protocol: firewall.Protocol(r.number("services: protocol", m.GetProtocol(), 1, math.MaxUint8)),
		Ports: firewall.PortRange{
			First: uint16(r.number("services: first_port", m.GetFirstPort(), 0, math.MaxUint16)),
			Last:  uint16(r.number("services: last_port", m.GetLastPort(), 0, math.MaxUint16)),
		},
		Type: r.icmp("services: type", m.GetType()),
		Code: r.icmp("services: code", m.GetCode()),
	}
	r.check(s.Ports.First <= s.Ports.Last, "services: ports %d-%d are in the wrong order", s.Ports.First, s.Ports.Last)
	r.check(s.Ports.First > 0 || s.Ports.Last == 0, "services: first_port is missing")
	switch s.Protocol {
	case firewall.TCP, firewall.UDP, firewall.SCTP:
		r.check(s.Type <= 0 && s.Code <= 0, "services: protocol %d has no ICMP type", s.Protocol)
	case firewall.ICMP, firewall.ICMPv6:
		r.check(s.Ports == firewall.PortRange{}, "services: protocol %d has no ports", s.Protocol)
	default:
		r.check(false, "services: protocol %d is not supported", s.Protocol)
	}
	return s
}

func (r *reader) identities(what string, ids []uint32) []fabric.Identity {
	var out []fabric.Identity
	for _, id := range ids {
		out = append(out, r.identity(what, id))
	}
	return out
}

func (r *reader) blocks(what string, blocks []*weftv1.VNIBlock) []fabric.VNIBlock {
	var out []fabric.VNIBlock
	for _, m := range blocks {
		b := fabric.VNIBlock{
			Base: fabric.Identity(r.number(what, m.GetBase(), 0, uint32(fabric.MaxIdentity))),
			Bits: uint8(r.number(what, m.GetBits(), 1, 24)),
		}
		if r.err == nil {
			r.check(b.Contains(b.Base), "%s: %s has bits outside its mask", what, b)
		}
		out = append(out, b)
	}
	return out
}
