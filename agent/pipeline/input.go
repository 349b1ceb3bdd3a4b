package pipeline

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// Input is all that the node's flows depend on.
type Input struct {
	Plan plan.Node
	// Attachments are the workloads' interfaces on this node's switch.
	Attachments []Attachment
	// TunnelPort is the OpenFlow port number of the VXLAN port on br-int; 0 while there is none.
	TunnelPort uint32
	// AgentND has the agent answer neighbour solicitations: the kernel's datapath can't write the options of ND
	// (ovs-actions(7), set_field), which an advertisement needs.
	AgentND bool
	// Closed are networks of whose policy the switch lacks a part: their new connections are denied.
	Closed []fabric.NetworkID
}

// Peer is another node, with the identities that are placed there when Settings.StrictIdentity holds.
type Peer struct {
	plan.Peer
	Identities []fabric.Identity
}

// peersOf returns a plan's peers with what is placed on each.
func peersOf(n plan.Node) []Peer {
	placed := make(map[fabric.NodeName][]fabric.Identity)
	for _, p := range n.Placements {
		placed[p.Node] = append(placed[p.Node], p.Identity)
	}
	out := make([]Peer, len(n.Peers))
	for i, p := range n.Peers {
		out[i] = Peer{p, placed[p.Name]}
	}
	return out
}

// Attachment is a workload's interface on this node's switch.
type Attachment struct {
	// Interface is the OVS interface's name, unique on the node.
	Interface string
	// OFPort is the port number that the switch gave it, 1 to 65279.
	OFPort   uint32
	Network  fabric.NetworkID
	Identity fabric.Identity
	MAC      fabric.MAC
	// Addresses are the workload's addresses, at most one of each family.
	Addresses []netip.Addr
	// MTU is the largest IP packet of the network's workloads; 0 for Settings.WorkloadMTU of the plan.
	MTU int
}
