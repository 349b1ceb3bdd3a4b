package flowlog

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Record is a line of the log, as JSON. docs/observe.md explains each field; new ones may come, none changes its meaning.
type Record struct {
	Time time.Time `json:"time"`
	Node string    `json:"node"`
	// Verdict is what becomes of the connection: allow or deny. A record without one tells of the log itself.
	Verdict string `json:"verdict,omitempty"`
	// Rule is the rule that decided; absent where nothing but the fabric's own defaults denied.
	Rule *Rule `json:"rule,omitempty"`
	// Reason is that of the drop, of a denied connection.
	Reason string `json:"reason,omitempty"`
	// Direction is the rule's: egress of the source, or ingress of the destination.
	Direction string `json:"direction,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	Src       *End   `json:"src,omitempty"`
	Dst       *End   `json:"dst,omitempty"`
	ICMP      *ICMP  `json:"icmp,omitempty"`
	// Repeated says how many more packets of the same kind came since the last record of them.
	Repeated uint64 `json:"repeated,omitempty"`
	// Limited says how many records were lost since the last such line, by the cause of the loss.
	Limited map[string]uint64 `json:"limited,omitempty"`
}

// Rule names a rule.
type Rule struct {
	ID     firewall.RuleID `json:"id"`
	Policy string          `json:"policy"` // such as "FirewallPolicy acme/web-in"
	Name   string          `json:"name"`   // the rule's own, or its place
	Action string          `json:"action"` // allow, deny or pass
	File   string          `json:"file,omitempty"`
	Line   int             `json:"line,omitempty"`
}

// End is one side of a connection.
type End struct {
	Address  netip.Addr      `json:"address"`
	Port     uint16          `json:"port,omitempty"`
	Network  string          `json:"network,omitempty"`
	Identity fabric.Identity `json:"identity,omitempty"`
	// Labels are those of the identity; Workload is the name of a workload on the record's own node.
	Labels   fabric.Labels `json:"labels,omitempty"`
	Workload string        `json:"workload,omitempty"`
}

// ICMP is the message's type and code.
type ICMP struct {
	Type uint8 `json:"type"`
	Code uint8 `json:"code"`
}

// ProtocolName returns a protocol's name, or its number.
func ProtocolName(p firewall.Protocol) string {
	switch p {
	case firewall.ICMP:
		return "icmp"
	case firewall.TCP:
		return "tcp"
	case firewall.UDP:
		return "udp"
	case firewall.ICMPv6:
		return "icmpv6"
	case firewall.SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// ActionName returns an action's name.
func ActionName(a firewall.Action) string {
	switch a {
	case firewall.Allow:
		return "allow"
	case firewall.Deny:
		return "deny"
	case firewall.Pass:
		return "pass"
	}
	return fmt.Sprintf("action %d", a)
}

// DirectionName returns a direction's name.
func DirectionName(d firewall.Direction) string {
	if d == firewall.Egress {
		return "egress"
	}
	return "ingress"
}
