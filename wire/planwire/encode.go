package planwire

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ToProto returns the message of an entry.
func ToProto(e plan.Entry) *weftv1.PlanEntry {
	out := &weftv1.PlanEntry{Key: e.Key}
	switch {
	case e.Settings != nil:
		s := e.Settings
		out.Entry = &weftv1.PlanEntry_Settings{Settings: &weftv1.PlanSettings{
			Vtep: addrText(s.VTEP), VxlanPort: uint32(s.VXLANPort), VirtualMac: s.VirtualMAC.String(),
			WorkloadMtu: uint32(s.WorkloadMTU), IgnoredLabels: s.IgnoredLabels,
			Underlay: underlayText(s), Encryption: encryptionToProto(s.Encryption), StrictIdentity: s.StrictIdentity, LogDenials: s.LogDenials,
		}}
	case e.Peer != nil:
		out.Entry = &weftv1.PlanEntry_Peer{Peer: &weftv1.PlanPeer{Name: string(e.Peer.Name), Vtep: addrText(e.Peer.VTEP)}}
	case e.Tunnel != nil:
		out.Entry = &weftv1.PlanEntry_Tunnel{Tunnel: tunnelToProto(e.Tunnel)}
	case e.Hop != nil:
		out.Entry = &weftv1.PlanEntry_Hop{Hop: &weftv1.PlanHop{Node: string(e.Hop.Node), Vtep: addrText(e.Hop.VTEP), Via: string(e.Hop.Via)}}
	case e.Placement != nil:
		out.Entry = &weftv1.PlanEntry_Placement{Placement: &weftv1.PlanPlacement{Node: string(e.Placement.Node), Identity: uint32(e.Placement.Identity)}}
	case e.Network != nil:
		out.Entry = &weftv1.PlanEntry_Network{Network: networkToProto(e.Network)}
	case e.Identity != nil:
		i := e.Identity
		out.Entry = &weftv1.PlanEntry_Identity{Identity: &weftv1.PlanIdentity{Id: uint32(i.ID), Network: uint32(i.Network), Labels: i.Labels}}
	case e.Route != nil:
		r := e.Route
		out.Entry = &weftv1.PlanEntry_Route{Route: &weftv1.PlanRoute{
			Network: uint32(r.Network), Prefix: r.Prefix.String(), Node: string(r.Node), Vtep: addrText(r.VTEP), Lease: r.Lease, Subnet: r.Subnet, Mtu: uint32(r.MTU),
		}}
	case e.Port != nil:
		p := e.Port
		out.Entry = &weftv1.PlanEntry_Port{Port: &weftv1.PlanPort{
			Tenant: p.Ref.Tenant, Name: p.Ref.Name, Uid: p.UID, Network: uint32(p.Network), Subnet: p.Subnet,
			Identity: uint32(p.Identity), Mac: p.MAC.String(), Addresses: texts(p.Addresses), Client: clientToProto(p.Client),
		}}
	case e.Rule != nil:
		out.Entry = &weftv1.PlanEntry_Rule{Rule: ruleToProto(e.Rule)}
	}
	return out
}

// ToProtos returns the messages of entries.
func ToProtos(entries []plan.Entry) []*weftv1.PlanEntry {
	out := make([]*weftv1.PlanEntry, 0, len(entries))
	for _, e := range entries {
		out = append(out, ToProto(e))
	}
	return out
}

func networkToProto(n *plan.Network) *weftv1.PlanNetwork {
	out := &weftv1.PlanNetwork{
		Id: uint32(n.ID), Tenant: n.Ref.Tenant, Name: n.Ref.Name, Hosted: n.Hosted, Encrypted: n.Encrypted,
		Blocks: blocksToProto(n.Blocks), Peers: numbers(n.Peers), Reserved: texts(n.Reserved), Mtu: uint32(n.MTU),
	}
	for _, s := range n.Subnets {
		out.Subnets = append(out.Subnets, &weftv1.PlanSubnet{
			Name: s.Name, Ipv4: prefixText(s.IPv4), Ipv6: prefixText(s.IPv6), Gateway4: addrText(s.Gateway4), Gateway6: addrText(s.Gateway6),
			Dns: texts(s.DNS),
		})
	}
	return out
}

func ruleToProto(t *plan.TableRule) *weftv1.PlanRule {
	r := &t.Rule
	out := &weftv1.PlanRule{
		Network: uint32(t.Network), Id: uint32(r.ID),
		Tier: uint32(r.Tier), Direction: uint32(r.Direction), Action: uint32(r.Action),
		Last: r.Order.Last, Priority: int32(r.Order.Priority), Policy: r.Order.Policy, Index: uint32(r.Order.Index),
		SubjectAny: r.Subject.Any, SubjectIds: numbers(r.Subject.IDs),
		PeersAny: r.Peers.Any, PeerIds: numbers(r.Peers.IDs), PeerBlocks: blocksToProto(r.Peers.Blocks), Log: r.Log,
		Origin: &weftv1.RuleOrigin{Policy: r.Origin.Policy, Rule: r.Origin.Rule, File: r.Origin.File, Line: int32(r.Origin.Line)},
	}
	for _, c := range r.Peers.CIDRs {
		out.PeerCidrs = append(out.PeerCidrs, &weftv1.CIDR{Prefix: c.Prefix.String(), Except: texts(c.Except)})
	}
	for _, s := range r.Services {
		out.Services = append(out.Services, serviceToProto(s))
	}
	return out
}

func serviceToProto(s firewall.Service) *weftv1.Service {
	return &weftv1.Service{
		Protocol: uint32(s.Protocol), FirstPort: uint32(s.Ports.First), LastPort: uint32(s.Ports.Last),
		Type: int32(s.Type), Code: int32(s.Code),
	}
}

func blocksToProto(blocks []fabric.VNIBlock) []*weftv1.VNIBlock {
	var out []*weftv1.VNIBlock
	for _, b := range blocks {
		out = append(out, &weftv1.VNIBlock{Base: uint32(b.Base), Bits: uint32(b.Bits)})
	}
	return out
}

func numbers[T ~uint16 | ~uint32](ids []T) []uint32 {
	var out []uint32
	for _, id := range ids {
		out = append(out, uint32(id))
	}
	return out
}

func texts[T interface{ String() string }](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

// addrText is empty for "none".
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// prefixText is empty for "none".
func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
