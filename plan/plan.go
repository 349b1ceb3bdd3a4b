package plan

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Node is everything that a node's agent must know. All slices are sorted by their keys.
type Node struct {
	Name     fabric.NodeName
	Settings Settings
	// Peers are the nodes that this one exchanges tunnel packets with, itself left out.
	Peers []Peer
	// Tunnels are the nodes that this one shares a WireGuard tunnel with, and Hops say what is reached over relays.
	Tunnels []Tunnel
	Hops    []Hop
	// Placements are the identities that are accepted from each Peer and from this node, with Settings.StrictIdentity.
	Placements []Placement
	// Networks are those with workloads on this node, and the networks peered with them.
	Networks []Network
	// Identities are all label sets of Networks.
	Identities []Identity
	// Routes say where the addresses of Networks are.
	Routes []Route
	// Ports are the declared Ports that are bound on this node.
	Ports []Port
	// Tables hold the policy of Networks, one each.
	Tables []firewall.Table
}

// Settings are the fabric's settings that a node needs.
type Settings struct {
	// VTEP is this node's tunnel address: the outer source of its VXLAN packets.
	VTEP netip.Addr
	// Underlay is this node's address on the network between the nodes. Without Encryption it is the VTEP.
	Underlay   netip.Addr
	VXLANPort  uint16
	VirtualMAC fabric.MAC
	// WorkloadMTU is the largest IP packet of a workload, in bytes, but for what a Network or a Route says.
	WorkloadMTU int
	// IgnoredLabels are the label keys that are no part of an identity; a trailing "/" makes a prefix.
	IgnoredLabels []string
	Encryption    Encryption
	// StrictIdentity says that an identity is accepted only from the Peers that have a Placement of it.
	StrictIdentity bool
	// LogDenials asks for records of what is denied without a rule; rules say it themselves.
	LogDenials bool
}

// MTU returns the largest IP packet of something that has one of its own, or 0: of a Network's workloads, or on a Route.
func (s Settings) MTU(own int) int {
	if own > 0 {
		return min(own, s.WorkloadMTU)
	}
	return s.WorkloadMTU
}

// Peer is another node. Key: Name.
type Peer struct {
	Name fabric.NodeName
	// VTEP is the outer source of its VXLAN packets, and the outer destination of those to it.
	VTEP netip.Addr
}

// Network is a network as a node sees it. Key: ID.
type Network struct {
	ID  fabric.NetworkID
	Ref fabric.NetworkRef
	// Hosted says that workloads of the network may be attached here; else it is only peered with one that is.
	Hosted bool
	// Encrypted says that the network's packets are neither sent nor accepted in the plain: see Encryption.Plain.
	Encrypted bool
	Blocks    []fabric.VNIBlock
	// Subnets are in the order of their declaration: the first is the default one.
	Subnets []Subnet
	// Peers are the networks whose traffic may enter and leave, in order.
	Peers []fabric.NetworkID
	// Reserved are addresses that must not be allocated dynamically: gateways and fixed addresses.
	Reserved []netip.Addr
	// MTU is the largest IP packet of the network's workloads, in bytes; 0 for Settings.WorkloadMTU, which it never exceeds:
	// see Settings.MTU.
	MTU int
}

// Subnet is a range of a network. A family that the subnet lacks has the zero Prefix and Addr.
type Subnet struct {
	Name               string
	IPv4, IPv6         netip.Prefix
	Gateway4, Gateway6 netip.Addr
	// DNS are the IPv4 name servers that DHCP names, the preferred one first.
	DNS []netip.Addr
}

// Identity is a label set of a network. Key: ID.
type Identity struct {
	ID      fabric.Identity
	Network fabric.NetworkID
	// Labels are the policy-relevant labels, ignored ones left out.
	Labels fabric.Labels
}

// Route says that a range of a network's addresses is on a node. The longest prefix wins. Key: Network,
// Prefix.
type Route struct {
	Network fabric.NetworkID
	Prefix  netip.Prefix
	// Node is where the range is; equal to the plan's own node for what it leases itself.
	Node fabric.NodeName
	VTEP netip.Addr
	// Lease says that Node allocates from the range; else it is the fixed address of a bound Port.
	Lease bool
	// Subnet is the subnet that the range is part of.
	Subnet string
	// MTU is the largest IP packet that may be sent there, in bytes; 0 for Settings.WorkloadMTU. It is that of the network, or
	// what the way to Node carries if that is less.
	MTU int
}

// Port is a declared Port that is bound here. Key: Ref.
type Port struct {
	Ref     fabric.PortRef
	UID     string
	Network fabric.NetworkID
	Subnet  string
	// Identity is that of the Port's labels.
	Identity fabric.Identity
	MAC      fabric.MAC
	// Addresses are the fixed addresses; empty where the node allocates.
	Addresses []netip.Addr
	// Client is the remote client whose port it is: the node is its gateway, and makes the interface itself. The zero value
	// for all other ports.
	Client Client
}

// Client is a machine that reaches its port through WireGuard.
type Client struct {
	Key fabric.PublicKey
	// Listen is the UDP port at which the node serves the clients of the network: a WireGuard device for each network,
	// since addresses of different networks may be the same. Zero when there is none left for the network.
	Listen uint16
}
