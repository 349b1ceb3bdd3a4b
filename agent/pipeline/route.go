package pipeline

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Route and Locate: from a destination address to a network, and within it to a port or a peer.

// locatePriority is below every local address and the base of the remote prefixes.
const (
	locateLocal  = 1000
	locatePrefix = 100
)

func routeBase(o *flowsOf) {
	for _, f := range families() {
		for _, ttl := range []uint64{0, 1} {
			o.drop(TableRoute, 200, DropTTLExpired, flags(0, flagFromTunnel), f.any(), openflow.Exact(openflow.IPTTL, ttl))
		}
	}
	o.drop(TableRoute, 0, DropNoRoute)
	o.drop(TableLocate, 0, DropNoAddress)
}

// routeNetwork leads what the network's workloads send to the network itself and to those peered with it. peer
// returns a network of the plan.
func routeNetwork(o *flowsOf, n plan.Network, peer func(fabric.NetworkID) (plan.Network, bool)) {
	for _, prefix := range prefixes(n) {
		f := familyOf(prefix.Addr())
		// Neighbours in one subnet: no router between them, so the TTL stays (RFC 1812, section 5.3.1).
		o.add(TableRoute, 300, when(srcNetwork(n.ID), f.any(), openflow.Prefix(f.src, prefix), openflow.Prefix(f.dst, prefix)),
			openflow.Set(regDstNetwork, uint64(n.ID)), to(TableLocate))
		routePrefix(o, n.ID, n.ID, prefix)
	}
	for _, id := range n.Peers {
		p, ok := peer(id)
		if !ok || id == n.ID || !slices.Contains(p.Peers, n.ID) {
			continue // a peering that one side alone names carries nothing
		}
		for _, prefix := range prefixes(p) {
			routePrefix(o, n.ID, id, prefix)
		}
	}
}

// routePrefix leads from one network to a prefix of another or the same. The node that a workload is on lowers the
// TTL and tracks in both networks' zones; the one that receives from a tunnel does neither.
func routePrefix(o *flowsOf, src, dst fabric.NetworkID, prefix netip.Prefix) {
	f := familyOf(prefix.Addr())
	match := when(srcNetwork(src), f.any(), openflow.Prefix(f.dst, prefix))
	arrived := []openflow.Action{openflow.Set(regDstNetwork, uint64(dst)), to(TableLocate)}
	sent := slices.Insert(slices.Clone(arrived), 0, openflow.Action(openflow.DecTTL{}))
	if src != dst {
		sent = slices.Insert(sent, 1, setFlag(flagSecondZone))
	}
	o.add(TableRoute, 110, append(slices.Clone(match), flags(flagFromTunnel, flagFromTunnel)), arrived...)
	o.add(TableRoute, 100, match, sent...)
}

// prefixes returns the ranges of a network's subnets.
func prefixes(n plan.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.Subnets {
		for _, p := range []netip.Prefix{s.IPv4, s.IPv6} {
			if p.IsValid() {
				out = append(out, p)
			}
		}
	}
	return out
}

// locateRoute leads to the peer that has a range. What came from a tunnel never goes back into one. A range of
// this node's own ends here: what isn't attached is nowhere else.
func locateRoute(o *flowsOf, s Settings, r plan.Route) {
	f := familyOf(r.Prefix.Addr())
	match := when(dstNetwork(r.Network), f.any(), openflow.Prefix(f.dst, r.Prefix))
	priority := prefixPriority(locatePrefix, r.Prefix.Bits())
	if r.Node == s.Self || !r.VTEP.IsValid() {
		o.drop(TableLocate, priority, DropNoAddress, match...)
		return
	}
	actions := append(checkSize(s, r.MTU),
		openflow.SetValue(familyOf(r.VTEP).tunnelDst, openflow.AddrValue(r.VTEP)), setFlag(flagToTunnel), to(TableTrackIn))
	o.add(TableLocate, priority, append(match, flags(0, flagFromTunnel)), actions...)
}

// locateAttachment leads to a workload's port, with the frame's addresses as its router would write them.
func locateAttachment(o *flowsOf, s Settings, a Attachment) {
	for _, addr := range a.Addresses {
		f := familyOf(addr)
		actions := append(checkSize(s, a.MTU),
			openflow.Set(regDstIdentity, uint64(a.Identity)), openflow.Set(regOutPort, uint64(a.OFPort)),
			openflow.Set(openflow.EthSrc, s.VirtualMAC.Uint64()), openflow.Set(openflow.EthDst, a.MAC.Uint64()), to(TableTrackIn))
		o.add(TableLocate, locateLocal, when(dstNetwork(a.Network), f.any(), openflow.Addr(f.dst, addr)), actions...)
	}
}
