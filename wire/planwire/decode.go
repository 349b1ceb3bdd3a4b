package planwire

import (
	"fmt"
	"math"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// FromProto returns the entry of a message, or says which part of it is malformed.
func FromProto(m *weftv1.PlanEntry) (plan.Entry, error) {
	e := plan.Entry{Key: m.GetKey()}
	r := &reader{}
	switch v := m.GetEntry().(type) {
	case *weftv1.PlanEntry_Settings:
		e.Settings = r.settings(v.Settings)
	case *weftv1.PlanEntry_Peer:
		e.Peer = &plan.Peer{Name: r.node("name", v.Peer.GetName()), VTEP: r.addr("vtep", v.Peer.GetVtep())}
	case *weftv1.PlanEntry_Tunnel:
		e.Tunnel = r.tunnel(v.Tunnel)
	case *weftv1.PlanEntry_Hop:
		e.Hop = r.hop(v.Hop)
	case *weftv1.PlanEntry_Placement:
		e.Placement = r.placement(v.Placement)
	case *weftv1.PlanEntry_Network:
		e.Network = r.network(v.Network)
	case *weftv1.PlanEntry_Identity:
		e.Identity = r.identityEntry(v.Identity)
	case *weftv1.PlanEntry_Route:
		e.Route = r.route(v.Route)
	case *weftv1.PlanEntry_Port:
		e.Port = r.port(v.Port)
	case *weftv1.PlanEntry_Rule:
		e.Rule = r.rule(v.Rule)
	default:
		return plan.Entry{}, fmt.Errorf("plan entry %q: no content that this version knows", m.GetKey())
	}
	if r.err != nil {
		return plan.Entry{}, fmt.Errorf("plan entry %q: %w", m.GetKey(), r.err)
	}
	switch key, err := e.DeriveKey(); {
	case err != nil:
		return plan.Entry{}, err
	case key != e.Key:
		return plan.Entry{}, fmt.Errorf("plan entry %q has the content of %q", e.Key, key)
	}
	return e, nil
}

// FromProtos returns the entries of messages; it stops at the first malformed one.
func FromProtos(messages []*weftv1.PlanEntry) ([]plan.Entry, error) {
	out := make([]plan.Entry, 0, len(messages))
	for _, m := range messages {
		e, err := FromProto(m)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (r *reader) settings(m *weftv1.PlanSettings) *plan.Settings {
	s := &plan.Settings{
		VTEP:          r.addr("vtep", m.GetVtep()),
		VXLANPort:     uint16(r.number("vxlan_port", m.GetVxlanPort(), 1, math.MaxUint16)),
		VirtualMAC:    r.mac("virtual_mac", m.GetVirtualMac()),
		WorkloadMTU:   int(r.number("workload_mtu", m.GetWorkloadMtu(), 1, math.MaxUint16)),
		IgnoredLabels: m.GetIgnoredLabels(), LogDenials: m.GetLogDenials(),
	}
	s.Encryption, s.StrictIdentity = r.encryption(m.GetEncryption()), m.GetStrictIdentity()
	if s.Underlay = s.VTEP; m.GetUnderlay() != "" {
		s.Underlay = r.addr("underlay", m.GetUnderlay())
	}
	for _, key := range s.IgnoredLabels {
		r.check(key != "", "ignored_labels: an empty key")
	}
	return s
}

func (r *reader) network(m *weftv1.PlanNetwork) *plan.Network {
	n := &plan.Network{
		ID:     r.networkID("id", m.GetId()),
		Ref:    fabric.NetworkRef{Tenant: r.name("tenant", m.GetTenant()), Name: r.name("name", m.GetName())},
		Hosted: m.GetHosted(), Encrypted: m.GetEncrypted(),
		Blocks: r.blocks("blocks", m.GetBlocks()),
		MTU:    int(r.number("mtu", m.GetMtu(), 0, math.MaxUint16)),
	}
	for _, id := range m.GetPeers() {
		n.Peers = append(n.Peers, r.networkID("peers", id))
	}
	for _, a := range m.GetReserved() {
		n.Reserved = append(n.Reserved, r.addr("reserved", a))
	}
	for _, s := range m.GetSubnets() {
		n.Subnets = append(n.Subnets, r.subnet(s))
	}
	return n
}

func (r *reader) subnet(m *weftv1.PlanSubnet) plan.Subnet {
	s := plan.Subnet{Name: r.name("subnets: name", m.GetName())}
	r.check(m.GetIpv4() != "" || m.GetIpv6() != "", "subnet %s has no addresses", s.Name)
	if m.GetIpv4() != "" {
		s.IPv4, s.Gateway4 = r.prefix("ipv4", m.GetIpv4()), r.addr("gateway4", m.GetGateway4())
		r.check(s.IPv4.Addr().Is4() && s.IPv4.Contains(s.Gateway4), "subnet %s: gateway4 %s is not in %s", s.Name, s.Gateway4, s.IPv4)
	}
	if m.GetIpv6() != "" {
		s.IPv6, s.Gateway6 = r.prefix("ipv6", m.GetIpv6()), r.addr("gateway6", m.GetGateway6())
		r.check(s.IPv6.Addr().Is6() && s.IPv6.Contains(s.Gateway6), "subnet %s: gateway6 %s is not in %s", s.Name, s.Gateway6, s.IPv6)
	}
	r.check(m.GetIpv4() != "" || m.GetGateway4() == "", "subnet %s: a gateway4 without ipv4", s.Name)
	r.check(m.GetIpv6() != "" || m.GetGateway6() == "", "subnet %s: a gateway6 without ipv6", s.Name)
	for _, text := range m.GetDns() {
		a := r.addr("dns", text)
		r.check(a.Is4(), "subnet %s: dns %s is not an IPv4 address", s.Name, text)
		s.DNS = append(s.DNS, a)
	}
	return s
}

func (r *reader) identityEntry(m *weftv1.PlanIdentity) *plan.Identity {
	i := &plan.Identity{ID: r.identity("id", m.GetId()), Network: r.networkID("network", m.GetNetwork())}
	if len(m.GetLabels()) > 0 {
		i.Labels = m.GetLabels()
	}
	return i
}

func (r *reader) route(m *weftv1.PlanRoute) *plan.Route {
	return &plan.Route{
		Network: r.networkID("network", m.GetNetwork()),
		Prefix:  r.prefix("prefix", m.GetPrefix()),
		Node:    r.node("node", m.GetNode()),
		VTEP:    r.addr("vtep", m.GetVtep()),
		Lease:   m.GetLease(),
		Subnet:  r.name("subnet", m.GetSubnet()),
		MTU:     int(r.number("mtu", m.GetMtu(), 0, math.MaxUint16)),
	}
}

func (r *reader) port(m *weftv1.PlanPort) *plan.Port {
	p := &plan.Port{
		Ref:      fabric.PortRef{Tenant: r.name("tenant", m.GetTenant()), Name: r.name("name", m.GetName())},
		UID:      m.GetUid(),
		Network:  r.networkID("network", m.GetNetwork()),
		Subnet:   r.name("subnet", m.GetSubnet()),
		Identity: r.identity("identity", m.GetIdentity()),
		MAC:      r.mac("mac", m.GetMac()),
	}
	r.check(p.UID != "", "uid is missing")
	for _, a := range m.GetAddresses() {
		p.Addresses = append(p.Addresses, r.addr("addresses", a))
	}
	if m.GetClient() != nil {
		p.Client = r.client(m.GetClient())
	}
	return p
}
