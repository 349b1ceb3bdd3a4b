package firewall

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// Entry is one row of a match-action table. Level orders the rows of one tier and direction: a higher
// level wins. Rules of one level all have the same action, so which of them wins can't change a verdict.
//
// A rule whose parts all have one member becomes one Entry. Else its parts become the clauses of a
// conjunction (ovs-actions(7), "conjunction"): the cost is the sum of the parts, not their product.
type Entry struct {
	Network   fabric.NetworkID
	Direction Direction
	Tier      Tier
	Level     uint16
	Action    Action
	Rule      RuleID

	Subject SubjectMatch
	Peer    PeerMatch
	Service ServiceMatch

	// Clause is set on a row that is one member of a conjunction's clause; Conjunction is set on the row
	// that acts when all clauses of Rule hold. Both zero: a plain row.
	Clause      Clause
	Conjunction bool
}

// Clause says that an Entry is a member of clause Index (from 1) of Count clauses of its rule.
type Clause struct{ Index, Count uint8 }

// SubjectMatch narrows the subject; zero matches all workloads of the network.
type SubjectMatch struct{ Identity fabric.Identity }

// PeerMatch narrows the other side; zero matches everyone. At most one part is set.
type PeerMatch struct {
	Identity fabric.Identity
	Block    fabric.VNIBlock
	Prefix   netip.Prefix
}

// ServiceMatch narrows the service; zero matches every packet. ICMP rows have Type and Code negative where
// they match all.
type ServiceMatch struct {
	Protocol Protocol
	// Port and PortMask match the destination port bitwise; mask 0 matches every port.
	Port, PortMask uint16
	Type, Code     int16
}
