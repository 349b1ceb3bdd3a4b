package firewall

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// Packet is the first packet of a connection, as far as policy can see it.
type Packet struct {
	Src, Dst Endpoint
	Protocol Protocol
	// DstPort is the destination port of TCP, UDP and SCTP.
	DstPort uint16
	// Type and Code are those of ICMP and ICMPv6.
	Type, Code uint8
}

// Endpoint is one side of a packet.
type Endpoint struct {
	Network  fabric.NetworkID
	Identity fabric.Identity
	Addr     netip.Addr
}

// Verdict is what policy decides for a packet, with the deciding rule of each direction.
type Verdict struct {
	Allowed bool
	// Egress decided for the source, Ingress for the destination. Ingress is nil when Egress denied.
	Egress, Ingress *Rule
}
