package pipeline

import "fmt"

// Reason says why a packet was dropped. Every drop of the pipeline is a flow of its own with a reason in its
// cookie, so the switch counts them.
type Reason uint16

// The reasons. docs/pipeline.md explains each; numbers are never reused within one layout.
const (
	DropUnknownPort Reason = iota + 1
	DropVLAN
	DropNotIP
	DropSpoofMAC
	DropSpoofIPv4
	DropSpoofIPv6
	DropSpoofARP
	DropSpoofND
	DropDADProbe
	DropDHCPServer
	DropDHCPUnanswered
	DropRAGuard
	DropRAUnanswered
	DropARPGratuitous
	DropARPUnanswered
	DropNDUnsolicited
	DropNDUnanswered
	DropLinkLocal
	DropMulticast
	DropNotRouted
	DropGateway
	DropUnknownPeer
	DropUnknownVNI
	DropPeerBlock
	DropInvalid
	DropTTLExpired
	DropNoRoute
	DropNoAddress
	DropNoTunnel
	DropUnknownIdentity
	DropPolicyDeny
	DropPostureDeny
	DropUntracked
	DropDHCPRefused // by the agent, in no table
	DropPolicyIncomplete
	DropTooLarge // counted by meters
	DropPeerIdentity
	lastReason
)

// Reasons returns all reasons in order.
func Reasons() []Reason {
	out := make([]Reason, 0, lastReason-1)
	for r := Reason(1); r < lastReason; r++ {
		out = append(out, r)
	}
	return out
}

// String returns the reason's name, such as "spoof-mac": the value of a metric's label and of status.
func (r Reason) String() string {
	switch r {
	case DropUnknownPort:
		return "unknown-port"
	case DropVLAN:
		return "vlan"
	case DropNotIP:
		return "not-ip"
	case DropSpoofMAC:
		return "spoof-mac"
	case DropSpoofIPv4:
		return "spoof-ipv4"
	case DropSpoofIPv6:
		return "spoof-ipv6"
	case DropSpoofARP:
		return "spoof-arp"
	case DropSpoofND:
		return "spoof-nd"
	case DropDADProbe:
		return "dad-probe"
	case DropDHCPServer:
		return "dhcp-server"
	case DropDHCPUnanswered:
		return "dhcp-unanswered"
	case DropRAGuard:
		return "ra-guard"
	case DropRAUnanswered:
		return "ra-unanswered"
	case DropARPGratuitous:
		return "arp-gratuitous"
	case DropARPUnanswered:
		return "arp-unanswered"
	case DropNDUnsolicited:
		return "nd-unsolicited"
	case DropNDUnanswered:
		return "nd-unanswered"
	case DropLinkLocal:
		return "link-local"
	case DropMulticast:
		return "multicast"
	case DropNotRouted:
		return "not-routed"
	case DropGateway:
		return "gateway"
	case DropUnknownPeer:
		return "unknown-peer"
	case DropUnknownVNI:
		return "unknown-vni"
	case DropPeerBlock:
		return "peer-block"
	case DropInvalid:
		return "invalid"
	case DropTTLExpired:
		return "ttl-expired"
	case DropNoRoute:
		return "no-route"
	case DropNoAddress:
		return "no-address"
	case DropNoTunnel:
		return "no-tunnel"
	case DropUnknownIdentity:
		return "unknown-identity"
	case DropPolicyDeny:
		return "policy-deny"
	case DropPostureDeny:
		return "posture-deny"
	case DropPolicyIncomplete:
		return "policy-incomplete"
	case DropPeerIdentity:
		return "peer-identity"
	case DropTooLarge:
		return "too-large"
	case DropUntracked:
		return "untracked"
	case DropDHCPRefused:
		return "dhcp-refused"
	}
	return fmt.Sprintf("reason %d", uint16(r))
}

// FlowCount is a flow's cookie and how many packets it has seen, as flow statistics report them.
type FlowCount struct {
	Cookie, Packets uint64
}

// Drops sums packets by the reason of their drop. Flows that don't drop, of others or of another layout are left
// out; a reason that never struck is absent.
func Drops(counts []FlowCount) map[Reason]uint64 {
	out := make(map[Reason]uint64)
	for _, fc := range counts {
		if c, ok := ParseCookie(fc.Cookie); ok && c.Drop != 0 && fc.Packets > 0 {
			out[c.Drop] += fc.Packets
		}
	}
	return out
}
