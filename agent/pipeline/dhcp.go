package pipeline

import (
	"net/netip"

	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// DHCP: requests of workloads that have an IPv4 address go to the agent, and nowhere else. The packet-in's in_port
// names the port; its userdata says what is asked. While there is no agent, the switch counts the request and
// drops it.

// dhcpServer is the UDP port that requests go to.
const dhcpServer = 67

// limitedBroadcast is where a request goes whose sender knows no server (RFC 2131, section 4.1).
func limitedBroadcast() openflow.FieldMatch {
	return openflow.Addr(openflow.IPv4Dst, netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// dhcpBase leads requests to the agent: broadcast ones here, those to a gateway in dhcpGateway. UDP to that port
// goes no further, whoever it is for.
func dhcpBase(o *flowsOf) {
	o.add(TableGuard, 485, append(udpPort(ipv4(), openflow.UDPDst, dhcpServer),
		openflow.Exact(openflow.IPv4Src, 0), limitedBroadcast(), flags(flagHasIPv4, flagHasIPv4)), to(TableAnswer))
	dhcpAsk(o, append(udpPort(ipv4(), openflow.UDPDst, dhcpServer), limitedBroadcast()))
	o.drop(TableAnswer, 310, DropDHCPUnanswered, udpPort(ipv4(), openflow.UDPDst, dhcpServer)...)
}

// dhcpGateway leads the requests that name a subnet's gateway as their server to the agent: renewals do.
func dhcpGateway(o *flowsOf, n plan.Network, gateway netip.Addr) {
	dhcpAsk(o, append(udpPort(ipv4(), openflow.UDPDst, dhcpServer), srcNetwork(n.ID), openflow.Addr(openflow.IPv4Dst, gateway)))
}

// dhcpAsk leads packets to the agent, and to nobody else.
func dhcpAsk(o *flowsOf, match []openflow.FieldMatch) {
	o.flows = append(o.flows, row{TableAnswer, 320, Cookie{Kind: KindQuestion, Object: o.object}, match, askAgent()}.flow())
}

// hasIPv4 reports whether the fabric has an IPv4 address for the workload.
func (a Attachment) hasIPv4() bool {
	for _, addr := range a.Addresses {
		if addr.Is4() {
			return true
		}
	}
	return false
}
