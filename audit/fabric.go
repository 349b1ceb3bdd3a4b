package audit

import "github.com/weftfabric/weft/firewall"

// keptBack says why no workload gets such a packet from another one, whatever policy says: the fabric takes it before
// policy is asked. It is empty for all others. Source ports, which policy doesn't know either, aren't looked at.
func keptBack(p firewall.Packet) string {
	const dhcpServer, firstND, lastND = 67, 133, 137 // RFC 2131, section 4.1; RFC 4861, section 4
	switch {
	case p.Protocol == firewall.UDP && p.DstPort == dhcpServer && p.Dst.Addr.Is4():
		return "the fabric answers DHCP itself: it forwards no UDP to port 67"
	case p.Protocol == firewall.ICMPv6 && p.Type >= firstND && p.Type <= lastND:
		return "the fabric answers neighbour discovery itself, and forwards none"
	}
	return ""
}
