package topology

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// APIVersion is the version of every kind in this package.
const APIVersion = "weft.dev/v1alpha1"

// Kind names a kind of object.
type Kind string

// The declared kinds.
const (
	KindFabric         Kind = "Fabric"
	KindTenant         Kind = "Tenant"
	KindNetwork        Kind = "Network"
	KindPeering        Kind = "Peering"
	KindPort           Kind = "Port"
	KindClient         Kind = "Client"
	KindFirewallPolicy Kind = "FirewallPolicy"
	KindPlatformPolicy Kind = "PlatformPolicy"
	KindAddressGroup   Kind = "AddressGroup"
)

// Metadata names an object. Tenant is empty for kinds that belong to the platform.
type Metadata struct {
	Name   string        `json:"name"`
	Tenant string        `json:"tenant,omitempty"`
	Labels fabric.Labels `json:"labels,omitempty"`
}

// Action is what a rule, a tier's end or a posture does with a new connection.
type Action string

// The actions. Pass hands the decision to the next tier.
const (
	Allow Action = "allow"
	Deny  Action = "deny"
	Pass  Action = "pass"
)

// Fabric holds the settings of the whole fabric. At most one exists, named "default"; without one the
// defaults of every field hold.
type Fabric struct {
	Metadata Metadata   `json:"metadata"`
	Spec     FabricSpec `json:"spec"`
}

// FabricSpec is the body of a Fabric.
type FabricSpec struct {
	// UnderlayMTU is the largest IP packet, in bytes, that the network between the nodes carries.
	UnderlayMTU int `json:"underlayMTU,omitzero"` // default 1500
	// VXLANPort is the UDP port of the tunnels.
	VXLANPort uint16 `json:"vxlanPort,omitzero"` // default 4789
	// VirtualMAC answers every ARP and ND question in every subnet.
	VirtualMAC fabric.MAC `json:"virtualMAC,omitzero"` // default 02:77:65:66:74:01
	// Posture decides connections that no policy decided.
	Posture Action `json:"posture,omitzero"` // allow (default) or deny
	// NodeBlock is the size of the first address block that a node leases of a subnet.
	NodeBlock NodeBlock `json:"nodeBlock,omitzero"`
	// IgnoredLabels are label keys that never matter to policy, because they differ per workload. A key
	// that ends in "/" stands for all keys with that prefix.
	IgnoredLabels []string `json:"ignoredLabels,omitzero"`
	// LogDenials has every connection logged that policy denies.
	LogDenials bool `json:"logDenials,omitzero"`
	// Encryption says how packets travel between the nodes, and Overlay along which tunnels.
	Encryption Encryption `json:"encryption,omitzero"`
	Overlay    Overlay    `json:"overlay,omitzero"`
	// StrictIdentity makes nodes accept from each other only identities that the controller placed there.
	StrictIdentity bool `json:"strictIdentity,omitzero"`
	// ReclaimHours is how long a node may be gone before what it holds is freed.
	ReclaimHours int `json:"reclaimHours,omitzero"` // default 72
	// Clients says where remote clients connect; absent, there are none.
	Clients *ClientAccess `json:"clients,omitzero"`
}

// NodeBlock gives the prefix lengths of the first blocks that nodes lease. Further ones: see BlockLease.
type NodeBlock struct {
	IPv4 int `json:"ipv4,omitzero"` // default 26
	IPv6 int `json:"ipv6,omitzero"` // default 122
}

// Tenant owns networks, ports and policies. Tenants never see each other but through Peerings.
type Tenant struct {
	Metadata Metadata   `json:"metadata"`
	Spec     TenantSpec `json:"spec"`
}

// TenantSpec is the body of a Tenant.
type TenantSpec struct {
	Description string `json:"description,omitzero"`
	// Posture overrides the fabric's posture for the tenant's networks.
	Posture Action `json:"posture,omitzero"`
	// LogDenials has the connections logged that the rules of the tenant's networks deny.
	LogDenials bool `json:"logDenials,omitzero"`
}

// Network is an isolated, routed address space of one tenant.
type Network struct {
	Metadata Metadata    `json:"metadata"`
	Spec     NetworkSpec `json:"spec"`
}

// NetworkSpec is the body of a Network.
type NetworkSpec struct {
	// Subnets are the address ranges of the network, at least one; they don't overlap.
	Subnets []Subnet `json:"subnets"`
	// Posture overrides the tenant's posture.
	Posture Action `json:"posture,omitzero"`
	// Encryption is what the network asks of the tunnels between nodes.
	Encryption NetworkEncryption `json:"encryption,omitzero"`
	// MTU is the largest IP packet of the network's workloads, in bytes; absent, it is what the fabric leaves.
	MTU int `json:"mtu,omitzero"`
}

// Subnet is a range of a network's addresses: one IPv4 prefix, one IPv6 prefix, or one of each.
type Subnet struct {
	Name string `json:"name"`
	// IPv4 and IPv6 are the ranges, without host bits. At least one is given.
	IPv4 netip.Prefix `json:"ipv4,omitzero"`
	IPv6 netip.Prefix `json:"ipv6,omitzero"`
	// Gateway4 and Gateway6 default to the first address after the network address.
	Gateway4 netip.Addr `json:"gateway4,omitzero"`
	Gateway6 netip.Addr `json:"gateway6,omitzero"`
	// DNS are the IPv4 name servers that DHCP names to the subnet's workloads, the preferred one first.
	DNS []netip.Addr `json:"dns,omitzero"`
}

// Peering joins a network of its tenant to another network. It works once both sides declare it.
type Peering struct {
	Metadata Metadata    `json:"metadata"`
	Spec     PeeringSpec `json:"spec"`
}

// PeeringSpec is the body of a Peering.
type PeeringSpec struct {
	// Network is a network of the Peering's own tenant.
	Network string `json:"network"`
	// Peer is the network on the other side.
	Peer PeerNetwork `json:"peer"`
}

// PeerNetwork names the other side of a Peering. Tenant defaults to the Peering's own.
type PeerNetwork struct {
	Tenant  string `json:"tenant,omitzero"`
	Network string `json:"network"`
}

// Port declares an attachment point, for a VM's tap or for a container that needs a fixed place.
type Port struct {
	Metadata Metadata `json:"metadata"`
	Spec     PortSpec `json:"spec"`

	// Client is the client whose port it is; nil for what is declared as a Port.
	Client *Client `json:"-"`
}

// PortSpec is the body of a Port. The labels of its Metadata are the workload's labels.
type PortSpec struct {
	Network string `json:"network"`
	// Subnet is where a dynamic address comes from; it defaults to the network's first subnet.
	Subnet string `json:"subnet,omitzero"`
	// MAC defaults to one that is derived from the port's name.
	MAC fabric.MAC `json:"mac,omitzero"`
	// Addresses are fixed addresses, at most one of each family. Without them the node allocates.
	Addresses []netip.Addr `json:"addresses,omitzero"`
}

// FirewallPolicy is a tenant's own policy. A workload that at least one FirewallPolicy selects for a
// direction is denied, in that direction, what no rule of these policies allows or passes.
type FirewallPolicy struct {
	Metadata Metadata           `json:"metadata"`
	Spec     FirewallPolicySpec `json:"spec"`
}

// FirewallPolicySpec is the body of a FirewallPolicy. Ingress and Egress distinguish absent (the direction
// is not governed) from empty (governed, and nothing is allowed).
type FirewallPolicySpec struct {
	// Network is the network whose workloads are selected; empty means each of the tenant's networks.
	Network string `json:"network,omitzero"`
	// Priority orders policies: lower numbers decide first.
	Priority int `json:"priority,omitzero"` // 1 to 1000, default 500
	// Subject selects the workloads; empty selects all.
	Subject Selector `json:"subject,omitzero"`
	Ingress []Rule   `json:"ingress,omitzero"`
	Egress  []Rule   `json:"egress,omitzero"`
}

// PlatformPolicy is the platform operator's policy across tenants. What it leaves undecided goes on to
// the tenant tier (tier platform) or to the posture (tier baseline).
type PlatformPolicy struct {
	Metadata Metadata           `json:"metadata"`
	Spec     PlatformPolicySpec `json:"spec"`
}

// PlatformPolicySpec is the body of a PlatformPolicy.
type PlatformPolicySpec struct {
	// Tier is platform (before the tenants' policies) or baseline (after them).
	Tier     PolicyTier      `json:"tier"`
	Priority int             `json:"priority,omitzero"` // 1 to 1000, default 500
	Subject  PlatformSubject `json:"subject,omitzero"`
	Ingress  []Rule          `json:"ingress,omitzero"`
	Egress   []Rule          `json:"egress,omitzero"`
}

// PolicyTier says where a PlatformPolicy stands.
type PolicyTier string

// The tiers of PlatformPolicy.
const (
	TierPlatform PolicyTier = "platform"
	TierBaseline PolicyTier = "baseline"
)

// PlatformSubject selects workloads across tenants; each absent part selects everything.
type PlatformSubject struct {
	// Tenants selects tenants by their labels.
	Tenants Selector `json:"tenants,omitzero"`
	// Workloads selects workloads by their labels.
	Workloads Selector `json:"workloads,omitzero"`
}

// Rule is one rule of a policy. The order of rules within a policy counts.
type Rule struct {
	Name string `json:"name,omitzero"`
	// Action is allow (default), deny or pass.
	Action Action `json:"action,omitzero"`
	// From (ingress) or To (egress) lists peers; absent means everyone, empty is refused.
	From []Peer `json:"from,omitzero"`
	To   []Peer `json:"to,omitzero"`
	// Ports and ICMP list services; when both are absent every protocol matches.
	Ports []PortRange `json:"ports,omitzero"`
	ICMP  []ICMPType  `json:"icmp,omitzero"`
	// Log has the connections logged that the rule decides.
	Log bool `json:"log,omitzero"`
}

// Peer is one of: workloads, cidr, addressGroup.
type Peer struct {
	Workloads    *WorkloadPeer `json:"workloads,omitzero"`
	CIDR         *CIDRPeer     `json:"cidr,omitzero"`
	AddressGroup string        `json:"addressGroup,omitzero"`
}

// WorkloadPeer selects workloads by network and labels. In a FirewallPolicy, Tenant and Network default to
// the subject's own network, and a different network must be peered with it to be reached. In a
// PlatformPolicy absent means any.
type WorkloadPeer struct {
	Tenant   string   `json:"tenant,omitzero"`
	Network  string   `json:"network,omitzero"`
	Selector Selector `json:"selector,omitzero"`
}

// CIDRPeer is an address range without its exceptions. It matches addresses, those of workloads too.
type CIDRPeer struct {
	CIDR   netip.Prefix   `json:"cidr"`
	Except []netip.Prefix `json:"except,omitzero"`
}

// PortRange is a protocol and destination ports. Port 0 (absent) means every port.
type PortRange struct {
	Protocol Protocol `json:"protocol"` // tcp, udp or sctp
	Port     uint16   `json:"port,omitzero"`
	EndPort  uint16   `json:"endPort,omitzero"` // at least Port; absent means Port alone
}

// Protocol is a transport protocol with ports.
type Protocol string

// The protocols with ports.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// ICMPType is a type, and perhaps a code, of ICMP (RFC 792) or ICMPv6 (RFC 4443).
type ICMPType struct {
	Family IPFamily `json:"family"`        // ipv4 or ipv6
	Type   *uint8   `json:"type,omitzero"` // absent: every type
	Code   *uint8   `json:"code,omitzero"` // absent: every code
}

// IPFamily is ipv4 or ipv6.
type IPFamily string

// The IP families.
const (
	IPv4 IPFamily = "ipv4"
	IPv6 IPFamily = "ipv6"
)

// AddressGroup is a named list of prefixes. Without a tenant it belongs to the platform, and only
// PlatformPolicies can name it.
type AddressGroup struct {
	Metadata Metadata         `json:"metadata"`
	Spec     AddressGroupSpec `json:"spec"`
}

// AddressGroupSpec is the body of an AddressGroup.
type AddressGroupSpec struct {
	Prefixes []netip.Prefix `json:"prefixes"`
}

// Selector selects labelled things. The empty selector selects everything; all parts must hold.
type Selector struct {
	MatchLabels      fabric.Labels `json:"matchLabels,omitzero"`
	MatchExpressions []Requirement `json:"matchExpressions,omitzero"`
}

// Requirement is one condition on a label, with the meaning that Kubernetes gives it: NotIn and
// DoesNotExist hold for things without the key.
type Requirement struct {
	Key      string   `json:"key"`
	Operator Operator `json:"operator"`
	Values   []string `json:"values,omitzero"`
}

// Operator is a requirement's relation.
type Operator string

// The operators.
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn"
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)
