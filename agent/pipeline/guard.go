package pipeline

import (
	"net/netip"

	"github.com/weftfabric/weft/wire/openflow"
)

// Guard and Source: what a workload may say about itself. Guard judges claims (ARP, ND, DHCP, RA), Source the
// address that an IP packet comes from.

// The messages of ICMPv6 that Guard names (RFC 4861, section 4).
const (
	ndRouterSolicit     = 133
	ndRouterAdvertise   = 134
	ndNeighborSolicit   = 135
	ndNeighborAdvertise = 136
	ndRedirect          = 137
)

func udpPort(f family, field openflow.Field, port uint64) []openflow.FieldMatch {
	return when(f.any(), openflow.Exact(openflow.IPProto, protoUDP), openflow.Exact(field, port))
}

func guardBase(o *flowsOf) {
	v4, v6 := ipv4(), ipv6()
	linkLocal := openflow.Prefix(v6.src, netip.MustParsePrefix("fe80::/10"))
	nobody := openflow.Addr(v6.src, netip.IPv6Unspecified())
	group := openflow.Prefix(v6.dst, netip.MustParsePrefix("ff00::/8"))

	o.drop(TableGuard, 500, DropDHCPServer, udpPort(v4, openflow.UDPSrc, 67)...)
	o.drop(TableGuard, 500, DropDHCPServer, udpPort(v6, openflow.UDPSrc, 547)...)
	o.drop(TableGuard, 500, DropRAGuard, v6.icmp(ndRouterAdvertise)...)
	o.drop(TableGuard, 500, DropRAGuard, v6.icmp(ndRedirect)...)

	o.drop(TableGuard, 490, DropDADProbe, arp(), openflow.Exact(openflow.ARPSPA, 0))
	// dhcpBase lets in, at 485, what the agent answers.
	o.drop(TableGuard, 480, DropDHCPUnanswered, append(udpPort(v4, openflow.UDPDst, 67), openflow.Exact(v4.src, 0))...)
	o.drop(TableGuard, 480, DropDHCPUnanswered, append(udpPort(v6, openflow.UDPDst, 547), linkLocal)...)
	o.drop(TableGuard, 480, DropRAUnanswered, v6.icmp(ndRouterSolicit)...)

	// A solicitation without the option claims no link-layer address.
	o.add(TableGuard, 400, append(v6.icmp(ndNeighborSolicit), openflow.Exact(openflow.NDSLL, 0)), to(TableSource))
	o.drop(TableGuard, 300, DropSpoofND, v6.icmp(ndNeighborSolicit)...)
	o.drop(TableGuard, 300, DropSpoofND, v6.icmp(ndNeighborAdvertise)...)
	o.add(TableGuard, 200, when(v4.any()), to(TableSource))
	o.add(TableGuard, 200, when(v6.any()), to(TableSource))
	o.drop(TableGuard, 100, DropSpoofARP, arp())
	o.drop(TableGuard, 0, DropNotIP)

	// Link-local sources may solicit neighbours and ping their router; nothing of theirs is forwarded.
	o.add(TableSource, 220, append(v6.icmp(ndNeighborSolicit), linkLocal), to(TableAnswer))
	o.add(TableSource, 220, append(v6.icmp(v6.echo.request), linkLocal), to(TableAnswer))
	o.drop(TableSource, 220, DropDADProbe, append(v6.icmp(ndNeighborSolicit), nobody)...)
	o.drop(TableSource, 210, DropMulticast, v6.any(), linkLocal, group)
	o.drop(TableSource, 210, DropMulticast, v6.any(), nobody, group)
	o.drop(TableSource, 200, DropLinkLocal, v6.any(), linkLocal)
	o.drop(TableSource, 100, DropSpoofIPv4, v4.any())
	o.drop(TableSource, 100, DropSpoofIPv6, v6.any())
	o.drop(TableSource, 0, DropNotIP)
}

// guardAttachment admits a workload's own addresses.
func guardAttachment(o *flowsOf, a Attachment) {
	port := inPort(a.OFPort)
	v6 := ipv6()
	solicits := false
	for _, addr := range a.Addresses {
		f := familyOf(addr)
		o.add(TableSource, 300, when(port, f.any(), openflow.Addr(f.src, addr)), to(TableAnswer))
		if addr.Is4() {
			own := when(port, arp(), openflow.Addr(openflow.ARPSPA, addr), openflow.MAC(openflow.ARPSHA, a.MAC))
			o.drop(TableGuard, 410, DropARPGratuitous, append(own, openflow.Addr(openflow.ARPTPA, addr))...)
			o.add(TableGuard, 400, own, to(TableAnswer))
			continue
		}
		solicits = true
		o.drop(TableGuard, 400, DropNDUnsolicited, append(v6.icmp(ndNeighborAdvertise), port, openflow.Addr(openflow.NDTarget, addr), openflow.MAC(openflow.NDTLL, a.MAC))...)
	}
	if solicits {
		o.add(TableGuard, 400, append(v6.icmp(ndNeighborSolicit), port, openflow.MAC(openflow.NDSLL, a.MAC)), to(TableSource))
	}
}
