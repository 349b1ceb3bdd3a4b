package compile

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// lowering is the surroundings of a rule that is lowered.
type lowering struct {
	policy  policy
	subject fabric.NetworkRef
	// reach are the networks that the subject's traffic can reach or come from: its own, and its peers.
	reach []fabric.NetworkRef
}

// rulePeers returns a rule's other side.
func (x *index) rulePeers(l lowering, r topology.Rule, d firewall.Direction) firewall.Peers {
	declared := r.From
	if d == firewall.Egress {
		declared = r.To
	}
	if declared == nil {
		return firewall.Peers{Any: true}
	}
	var out firewall.Peers
	for _, p := range declared {
		switch {
		case p.Workloads != nil:
			x.addWorkloads(&out, l, *p.Workloads)
		case p.CIDR != nil:
			out.CIDRs = append(out.CIDRs, firewall.CIDR{Prefix: p.CIDR.CIDR, Except: p.CIDR.Except})
		case p.AddressGroup != "":
			if g := x.intent.AddressGroup(l.policy.key.Tenant, p.AddressGroup); g != nil {
				for _, prefix := range g.Spec.Prefixes {
					out.CIDRs = append(out.CIDRs, firewall.CIDR{Prefix: prefix})
				}
			}
		}
	}
	slices.Sort(out.IDs)
	out.IDs = slices.Compact(out.IDs)
	return out
}

// addWorkloads adds the workloads that w names, of the networks within reach. The empty selector stands for
// whole networks, whose blocks don't change with their workloads.
func (x *index) addWorkloads(to *firewall.Peers, l lowering, w topology.WorkloadPeer) {
	for _, ref := range l.reach {
		if !l.names(w, ref) {
			continue
		}
		if !w.Selector.IsZero() {
			to.IDs = append(to.IDs, x.selectIdentities(ref, w.Selector)...)
			continue
		}
		for _, b := range x.allocs[ref].Blocks {
			if !slices.Contains(to.Blocks, b) {
				to.Blocks = append(to.Blocks, b)
			}
		}
	}
}

// names reports whether w means the network ref. In a tenant's policy the subject's tenant and network are
// the defaults; in a platform's policy what is absent means any.
func (l lowering) names(w topology.WorkloadPeer, ref fabric.NetworkRef) bool {
	if l.policy.tier == firewall.Tenant {
		if w.Tenant == "" {
			w.Tenant = l.subject.Tenant
		}
		if w.Network == "" {
			w.Network = l.subject.Name
		}
	}
	return (w.Tenant == "" || w.Tenant == ref.Tenant) && (w.Network == "" || w.Network == ref.Name)
}

// services returns a rule's services; none means every packet.
func services(r topology.Rule) []firewall.Service {
	var out []firewall.Service
	for _, p := range r.Ports {
		s := firewall.Service{Protocol: protocol(p.Protocol)}
		if p.Port != 0 {
			s.Ports = firewall.PortRange{First: p.Port, Last: max(p.Port, p.EndPort)}
		}
		out = append(out, s)
	}
	for _, i := range r.ICMP {
		s := firewall.Service{Protocol: firewall.ICMP, Type: -1, Code: -1}
		if i.Family == topology.IPv6 {
			s.Protocol = firewall.ICMPv6
		}
		if i.Type != nil {
			s.Type = int16(*i.Type)
		}
		if i.Code != nil {
			s.Code = int16(*i.Code)
		}
		out = append(out, s)
	}
	return out
}

// protocol translates; what it doesn't know is 0, which no packet has.
func protocol(p topology.Protocol) firewall.Protocol {
	switch p {
	case topology.TCP:
		return firewall.TCP
	case topology.UDP:
		return firewall.UDP
	case topology.SCTP:
		return firewall.SCTP
	}
	return 0
}
