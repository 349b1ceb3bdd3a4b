package pipeline

import (
	"fmt"

	"github.com/weftfabric/weft/firewall"
)

// Table is an OpenFlow table of br-int. Numbers have gaps and are never reused for another meaning within one
// layout version.
type Table uint8

// The tables, in the order in which a packet can meet them. docs/pipeline.md tells what each decides.
const (
	TableClassify  Table = 0  // local port or tunnel
	TableTunnel    Table = 5  // tunnel: VNI -> network and identity
	TableOrigin    Table = 8  // tunnel: the source must be at the peer
	TableGuard     Table = 10 // local: ARP, ND, DHCP and RA claims
	TableSource    Table = 12 // local: IP source
	TableAnswer    Table = 20 // ARP, ND and echo answered in place
	TableAdvertise Table = 21 // second half of the ND answer
	TableAsk       Table = 22 // to the agent, at a limited rate
	TableTrack     Table = 30 // conntrack in the zone of the local sender
	TableTranslate Table = 40 // invalid packets end here; later NAT
	TableRoute     Table = 50 // destination network
	TableLocate    Table = 51 // local port or peer
	TableFit       Table = 54 // to a peer: no larger than what the tunnel carries
	TableTrackIn   Table = 55 // conntrack in the zone of the destination
	TableState     Table = 56 // what conntrack's answer means
	TableKnown     Table = 57 // one row for each label set, and returns
	TableIdentity  Table = 58 // both ends' identities must be known
	TableTurn      Table = 59 // replies that nobody allowed yet: look at their connection's first direction
	TableTally     Table = 68 // counts what each rule decided, copies what is to be logged, and returns
	TableSwap      Table = 69 // swaps both ends of a packet, and returns
	TableCommit    Table = 70 // remember an allowed connection
	TableDeliver   Table = 80 // output
)

// The policy tables, a stage of the decision each.
const (
	TablePlatformEgress  Table = 60
	TableTenantEgress    Table = 61
	TableBaselineEgress  Table = 62
	TablePostureEgress   Table = 63
	TablePlatformIngress Table = 64
	TableTenantIngress   Table = 65
	TableBaselineIngress Table = 66
	TablePostureIngress  Table = 67
)

// Tables returns all tables in order.
func Tables() []Table {
	return []Table{
		TableClassify, TableTunnel, TableOrigin, TableGuard, TableSource, TableAnswer, TableAdvertise, TableAsk, TableTrack,
		TableTranslate, TableRoute, TableLocate, TableFit, TableTrackIn, TableState, TableKnown, TableIdentity, TableTurn,
		TablePlatformEgress, TableTenantEgress, TableBaselineEgress, TablePostureEgress,
		TablePlatformIngress, TableTenantIngress, TableBaselineIngress, TablePostureIngress,
		TableTally, TableSwap, TableCommit, TableDeliver,
	}
}

// String returns the table's name, such as "Classify".
func (t Table) String() string {
	switch t {
	case TableClassify:
		return "Classify"
	case TableTunnel:
		return "Tunnel"
	case TableOrigin:
		return "Origin"
	case TableGuard:
		return "Guard"
	case TableSource:
		return "Source"
	case TableAnswer:
		return "Answer"
	case TableAdvertise:
		return "Advertise"
	case TableAsk:
		return "Ask"
	case TableTrack:
		return "Track"
	case TableTranslate:
		return "Translate"
	case TableRoute:
		return "Route"
	case TableLocate:
		return "Locate"
	case TableFit:
		return "Fit"
	case TableTrackIn:
		return "TrackIn"
	case TableState:
		return "State"
	case TableKnown:
		return "Known"
	case TableIdentity:
		return "Identity"
	case TableTurn:
		return "Turn"
	case TablePlatformEgress:
		return "PlatformEgress"
	case TableTenantEgress:
		return "TenantEgress"
	case TableBaselineEgress:
		return "BaselineEgress"
	case TablePostureEgress:
		return "PostureEgress"
	case TablePlatformIngress:
		return "PlatformIngress"
	case TableTenantIngress:
		return "TenantIngress"
	case TableBaselineIngress:
		return "BaselineIngress"
	case TablePostureIngress:
		return "PostureIngress"
	case TableTally:
		return "Tally"
	case TableSwap:
		return "Swap"
	case TableCommit:
		return "Commit"
	case TableDeliver:
		return "Deliver"
	}
	return fmt.Sprintf("table %d", uint8(t))
}

// policyTable returns the table of a direction's tier.
func policyTable(d firewall.Direction, t firewall.Tier) Table {
	first := TablePlatformEgress
	if d == firewall.Ingress {
		first = TablePlatformIngress
	}
	return first + Table(t-firewall.Platform)
}
