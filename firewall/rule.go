package firewall

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// RuleID numbers a rule within a fabric. It stands in cookies and conntrack labels, and serves as the
// rule's conjunction id. 0 means "none".
type RuleID uint32

// Direction says whose side of a connection a rule governs.
type Direction uint8

// The directions: Ingress governs what reaches the subject, Egress what the subject opens.
const (
	Ingress Direction = iota + 1
	Egress
)

// Tier is a stage of the decision. Tiers are asked in order until one decides.
type Tier uint8

// The tiers, in the order in which they are asked.
const (
	Platform Tier = iota + 1
	Tenant
	Baseline
	Posture
)

// Action is what a rule does with a connection that it matches.
type Action uint8

// The actions. Pass ends the tier and hands the decision to the next one.
const (
	Allow Action = iota + 1
	Deny
	Pass
)

// Rule is one rule with everything resolved: selectors to identities, address groups to prefixes.
// A rule belongs to the Table of its subject's network.
type Rule struct {
	ID        RuleID
	Tier      Tier
	Direction Direction
	Order     Order
	Action    Action
	// Subject is the set of workloads that the rule governs, all of the table's network.
	Subject Workloads
	// Peers is the other side.
	Peers Peers
	// Services are the protocols that match; none means every packet.
	Services []Service
	// Log asks for a record of each connection that the rule decides. It changes no verdict.
	Log    bool
	Origin Origin
}

// Order is a rule's place within its tier and direction: smaller decides first. The policy's default
// (deny what a tenant's policies didn't decide) has Last set and follows every other rule of the tier.
type Order struct {
	Last     bool
	Priority int
	Policy   string // "tenant/name", or "name" for the platform
	Index    int    // the rule's place within the policy
}

// Compare orders places.
func (o Order) Compare(p Order) int {
	if o.Last != p.Last {
		if o.Last {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(o.Priority, p.Priority), strings.Compare(o.Policy, p.Policy), cmp.Compare(o.Index, p.Index))
}

// Origin says where a rule was written.
type Origin struct {
	Policy string // "FirewallPolicy acme/web-in", or "posture of Network acme/prod"
	Rule   string // the rule's name, or "ingress[2]"
	File   string
	Line   int
}

// Workloads is a set of workloads of one or more networks.
type Workloads struct {
	// Any selects every workload of Networks, those with unknown labels too.
	Any bool
	// IDs are the identities in the set, in order; unused when Any is set.
	IDs []fabric.Identity
}

// Peers is the other side of a connection: every peer, or the union of the parts.
type Peers struct {
	Any bool
	// IDs are the identities of peer workloads, in order.
	IDs []fabric.Identity
	// Blocks stand for all workloads of whole networks.
	Blocks []fabric.VNIBlock
	// CIDRs match by address, whoever has it.
	CIDRs []CIDR
}

// CIDR is an address range without its exceptions.
type CIDR struct {
	Prefix netip.Prefix
	Except []netip.Prefix
}

// Contains reports whether a lies in the range and in none of the exceptions.
func (c CIDR) Contains(a netip.Addr) bool {
	if !c.Prefix.Contains(a) {
		return false
	}
	for _, e := range c.Except {
		if e.Contains(a) {
			return false
		}
	}
	return true
}

// Service is a protocol with a range of destination ports, or of ICMP types and codes.
type Service struct {
	Protocol Protocol
	// Ports is the inclusive range of destination ports; the zero range means every port. Protocols with
	// ports only.
	Ports PortRange
	// Type and Code narrow ICMP and ICMPv6; negative means every one.
	Type, Code int16
}

// PortRange is an inclusive range of ports; First 0 means all of them.
type PortRange struct{ First, Last uint16 }

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols that rules can name (IANA protocol numbers).
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

// Table holds the rules that govern one network's workloads, sorted by direction, tier and order.
type Table struct {
	Network fabric.NetworkID
	Rules   []Rule
}
