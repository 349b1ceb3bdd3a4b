package planwire

import (
	"math"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func encryptionToProto(e plan.Encryption) *weftv1.PlanEncryption {
	if !e.WireGuard {
		return nil
	}
	return &weftv1.PlanEncryption{Required: e.Required, Port: uint32(e.Port), Vteps: prefixText(e.VTEPs), Probe: addrText(e.Probe), Relay: e.Relay}
}

// underlayText is empty when the underlay address is the VTEP, as it was before there was encryption.
func underlayText(s *plan.Settings) string {
	if s.Underlay == s.VTEP {
		return ""
	}
	return addrText(s.Underlay)
}

func (r *reader) encryption(m *weftv1.PlanEncryption) plan.Encryption {
	if m == nil {
		return plan.Encryption{}
	}
	e := plan.Encryption{
		WireGuard: true, Required: m.GetRequired(), Relay: m.GetRelay(),
		Port:  uint16(r.number("encryption: port", m.GetPort(), 1, math.MaxUint16)),
		VTEPs: r.prefix("encryption: vteps", m.GetVteps()),
	}
	if m.GetProbe() != "" {
		e.Probe = r.addr("encryption: probe", m.GetProbe())
		r.check(e.VTEPs.Contains(e.Probe), "encryption: probe %s is not in %s", e.Probe, e.VTEPs)
	}
	return e
}

func tunnelToProto(t *plan.Tunnel) *weftv1.PlanTunnel {
	return &weftv1.PlanTunnel{
		Name: string(t.Name), Vtep: addrText(t.VTEP), Probe: addrText(t.Probe),
		End: endToProto(t.End), Next: endToProto(t.Next), KeepaliveSeconds: uint32(t.Keepalive), Mtu: uint32(t.MTU),
	}
}

func endToProto(e plan.TunnelEnd) *weftv1.PlanTunnelEnd {
	if e.Key.IsZero() {
		return nil
	}
	out := &weftv1.PlanTunnelEnd{Key: e.Key[:]}
	if e.Endpoint.IsValid() {
		out.Endpoint = e.Endpoint.String()
	}
	return out
}

func (r *reader) tunnel(m *weftv1.PlanTunnel) *plan.Tunnel {
	t := &plan.Tunnel{
		Name: r.node("name", m.GetName()), VTEP: r.addr("vtep", m.GetVtep()), Probe: r.addr("probe", m.GetProbe()),
		Keepalive: uint16(r.number("keepalive_seconds", m.GetKeepaliveSeconds(), 0, math.MaxUint16)),
		MTU:       int(r.number("mtu", m.GetMtu(), 0, math.MaxUint16)),
	}
	t.End = r.end("end", m.GetEnd())
	if m.GetNext() != nil {
		t.Next = r.end("next", m.GetNext())
		r.check(t.Next.Key != t.End.Key, "next: the key is that of end")
	}
	r.check(t.VTEP != t.Probe, "probe: %s is the vtep", t.Probe)
	return t
}

func (r *reader) end(what string, m *weftv1.PlanTunnelEnd) plan.TunnelEnd {
	var e plan.TunnelEnd
	if len(m.GetKey()) != len(e.Key) || fabric.PublicKey(m.GetKey()).IsZero() {
		r.check(false, "%s: no key of %d bytes", what, len(e.Key))
		return e
	}
	e.Key = fabric.PublicKey(m.GetKey())
	if text := m.GetEndpoint(); text != "" {
		a, err := netip.ParseAddrPort(text)
		r.check(err == nil && a.String() == text && a.Addr().Zone() == "" && !a.Addr().Is4In6() && a.Port() != 0,
			"%s: endpoint %q is not an address and a port in canonical form", what, text)
		e.Endpoint = a
	}
	return e
}

func (r *reader) hop(m *weftv1.PlanHop) *plan.Hop {
	h := &plan.Hop{Node: r.node("node", m.GetNode()), VTEP: r.addr("vtep", m.GetVtep()), Via: r.node("via", m.GetVia())}
	r.check(h.Via != h.Node, "via: %s can't be its own relay", h.Via)
	return h
}

func (r *reader) placement(m *weftv1.PlanPlacement) *plan.Placement {
	return &plan.Placement{Node: r.node("node", m.GetNode()), Identity: r.identity("identity", m.GetIdentity())}
}
