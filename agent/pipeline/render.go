package pipeline

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Settings are what the flows of every owner may depend on.
type Settings struct {
	// Self is this node's name; empty while it has no plan.
	Self       fabric.NodeName
	VirtualMAC fabric.MAC
	// TunnelPort is the VXLAN port's OpenFlow number; 0 while there is none.
	TunnelPort uint32
	// AgentND leads neighbour solicitations to the agent.
	AgentND bool
	// MTU is the largest IP packet that the tunnel carries, in octets; 0 for no limit.
	MTU int
	// LogDenials has what is denied without a rule copied to the agent.
	LogDenials bool
	// StrictIdentity refuses from a peer the identities that aren't placed there.
	StrictIdentity bool
}

// SettingsOf returns the settings of an input.
func SettingsOf(in Input) Settings {
	p := in.Plan.Settings
	return Settings{Self: in.Plan.Name, VirtualMAC: p.VirtualMAC, TunnelPort: in.TunnelPort, AgentND: in.AgentND, MTU: p.WorkloadMTU, LogDenials: p.LogDenials, StrictIdentity: p.StrictIdentity}
}

// OwnerKind is a sort of object that flows come from.
type OwnerKind uint8

// The kinds of owners.
const (
	OwnerBase       OwnerKind = iota + 1
	OwnerPeer                 // Name
	OwnerNetwork              // Network
	OwnerIdentity             // Identity
	OwnerAttachment           // Name: the interface
	OwnerRoute                // Network and Prefix
	OwnerTable                // Network
	OwnerClosed               // Network
)

// Owner names the object that a group of flows comes from. Each group depends on its object and on Settings, that
// of a network also on the networks peered with it, and on nothing else.
type Owner struct {
	Kind     OwnerKind
	Network  fabric.NetworkID
	Identity fabric.Identity
	Name     string
	Prefix   netip.Prefix
}

// Compare orders owners.
func (o Owner) Compare(p Owner) int {
	return cmp.Or(
		cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Network, p.Network), cmp.Compare(o.Identity, p.Identity),
		strings.Compare(o.Name, p.Name), o.Prefix.Addr().Compare(p.Prefix.Addr()), cmp.Compare(o.Prefix.Bits(), p.Prefix.Bits()),
	)
}

func peerOwner(p Peer) Owner               { return Owner{Kind: OwnerPeer, Name: string(p.Name)} }
func networkOwner(n plan.Network) Owner    { return Owner{Kind: OwnerNetwork, Network: n.ID} }
func identityOwner(i plan.Identity) Owner  { return Owner{Kind: OwnerIdentity, Identity: i.ID} }
func attachmentOwner(a Attachment) Owner   { return Owner{Kind: OwnerAttachment, Name: a.Interface} }
func tableOwner(t firewall.Table) Owner    { return Owner{Kind: OwnerTable, Network: t.Network} }
func closedOwner(n fabric.NetworkID) Owner { return Owner{Kind: OwnerClosed, Network: n} }
func routeOwner(r plan.Route) Owner {
	return Owner{Kind: OwnerRoute, Network: r.Network, Prefix: r.Prefix}
}

// Render returns all flows of a node, sorted by dataplane.CompareFlows. An input without a plan drops everything.
// Where two owners claim one match (an address that is attached twice), the first in the order of owners has it.
func Render(in Input) []openflow.Flow {
	groups := Groups(in)
	owners := make([]Owner, 0, len(groups))
	for o := range groups {
		owners = append(owners, o)
	}
	slices.SortFunc(owners, Owner.Compare)
	var out []openflow.Flow
	taken := make(map[dataplane.Key]bool)
	for _, o := range owners {
		for _, f := range groups[o] {
			if k := dataplane.KeyOf(f); !taken[k] {
				taken[k] = true
				out = append(out, f)
			}
		}
	}
	dataplane.SortFlows(out)
	return out
}

// Groups returns the flows of a node by their owners. Where they claim one match, see Render.
func Groups(in Input) map[Owner][]openflow.Flow {
	s := SettingsOf(in)
	networks := make(map[fabric.NetworkID]plan.Network, len(in.Plan.Networks))
	for _, n := range in.Plan.Networks {
		networks[n.ID] = n
	}
	out := map[Owner][]openflow.Flow{{Kind: OwnerBase}: renderBase(s)}
	for _, p := range peersOf(in.Plan) {
		out[peerOwner(p)] = renderPeer(s, p)
	}
	for _, n := range in.Plan.Networks {
		out[networkOwner(n)] = renderNetwork(s, n, func(id fabric.NetworkID) (plan.Network, bool) {
			p, ok := networks[id]
			return p, ok
		})
	}
	for _, i := range in.Plan.Identities {
		out[identityOwner(i)] = renderIdentity(i)
	}
	for _, r := range in.Plan.Routes {
		out[routeOwner(r)] = renderRoute(s, r)
	}
	for _, t := range in.Plan.Tables {
		out[tableOwner(t)] = policyFlows(t)
	}
	for _, n := range in.Closed {
		out[closedOwner(n)] = closedFlows(n)
	}
	for _, a := range in.Attachments {
		out[attachmentOwner(a)] = renderAttachment(s, a)
	}
	return out
}

// renderBase returns the flows that stand whatever the plan says: every table's defaults, all closed.
func renderBase(s Settings) []openflow.Flow {
	o := &flowsOf{kind: KindBase}
	classifyBase(o, s)
	tunnelBase(o)
	guardBase(o)
	answerBase(o, s)
	dhcpBase(o)
	askBase(o)
	trackBase(o, s)
	fitBase(o)
	routeBase(o)
	policyBase(o, s)
	deliverBase(o, s)
	return o.flows
}

func renderPeer(s Settings, p Peer) []openflow.Flow {
	o := &flowsOf{kind: KindPeer}
	classifyPeer(o, s, p)
	return o.flows
}

func renderNetwork(s Settings, n plan.Network, peer func(fabric.NetworkID) (plan.Network, bool)) []openflow.Flow {
	o := &flowsOf{kind: KindNetwork, object: uint32(n.ID)}
	tunnelNetwork(o, n)
	answerNetwork(o, s, n)
	routeNetwork(o, n, peer)
	return o.flows
}

func renderIdentity(id plan.Identity) []openflow.Flow {
	o := &flowsOf{kind: KindIdentity, object: uint32(id.ID)}
	identityKnown(o, id)
	return o.flows
}

func renderRoute(s Settings, r plan.Route) []openflow.Flow {
	o := &flowsOf{kind: KindRoute, object: uint32(r.Network)}
	originRoute(o, s.Self, r)
	locateRoute(o, s, r)
	return o.flows
}

// renderAttachment returns nothing for an interface that has no port number or no MAC yet.
func renderAttachment(s Settings, a Attachment) []openflow.Flow {
	if a.OFPort == 0 || a.Network == 0 || a.MAC.IsZero() {
		return nil
	}
	o := &flowsOf{kind: KindAttachment, object: a.OFPort}
	classifyAttachment(o, a)
	guardAttachment(o, a)
	locateAttachment(o, s, a)
	return o.flows
}
