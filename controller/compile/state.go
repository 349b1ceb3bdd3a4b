package compile

import (
	"maps"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// State is everything that plans depend on: the intent, and what the controller allocated for it.
type State struct {
	Intent     *topology.Intent
	Networks   map[fabric.NetworkRef]NetworkAlloc
	Identities map[fabric.Identity]IdentityAlloc
	Leases     map[LeaseKey]Lease
	Bindings   map[fabric.PortRef]fabric.NodeName
	Nodes      map[fabric.NodeName]NodeState
	// Failed are the links between nodes whose tunnels are down, by what the nodes measured.
	Failed map[overlay.Link]bool
	// Placed says on which nodes there are workloads of an identity, but for declared Ports.
	Placed map[plan.Placement]bool
}

// NetworkAlloc is what the controller allocated for a network.
type NetworkAlloc struct {
	ID     fabric.NetworkID  `json:"id"`
	Blocks []fabric.VNIBlock `json:"blocks"`
}

// IdentityAlloc says what an identity stands for.
type IdentityAlloc struct {
	Network fabric.NetworkRef `json:"network"`
	Labels  fabric.Labels     `json:"labels"` // canonical: ignored labels left out
}

// LeaseKey names a lease.
type LeaseKey struct {
	Network fabric.NetworkRef
	Prefix  netip.Prefix
}

// Lease says which node allocates from a block of addresses.
type Lease struct {
	Node   fabric.NodeName `json:"node"`
	Subnet string          `json:"subnet"`
}

// NodeState is what a node registered.
type NodeState struct {
	// VTEP is the address that the node announced: its tunnel address, or its underlay address while tunnels are encrypted.
	VTEP   netip.Addr    `json:"vtep"`
	Labels fabric.Labels `json:"labels,omitempty"`
	// Overlay is the tunnel address that the controller gave the node, for encrypted tunnels.
	Overlay netip.Addr `json:"overlay,omitzero"`
	// WireGuard is the node's key, and Next the one that it is about to use; zero for none.
	WireGuard WireGuard `json:"wireguard,omitzero"`
	Next      WireGuard `json:"next,omitzero"`
	// Clients is how the node serves remote clients; zero when it can't.
	Clients ClientGateway `json:"clients,omitzero"`
	// NAT says that other nodes can't reach the node first.
	NAT bool `json:"nat,omitzero"`
	// Drained keeps further leases away from the node.
	Drained bool `json:"drained,omitzero"`
	// MTU is the largest IP packet of the link that has the announced address, in bytes; 0 when the node doesn't know.
	MTU int `json:"mtu,omitzero"`
}

// ClientGateway is how remote clients reach a node.
type ClientGateway struct {
	Key fabric.PublicKey `json:"key"`
	// Endpoint is an address or a name; empty stands for the node's VTEP.
	Endpoint string `json:"endpoint,omitempty"`
}

// Change is one step from a State to the next: exactly one part is set.
type Change struct {
	// Object sets the object, or removes the one named by ObjectGone.
	Object     *topology.Object
	ObjectGone *topology.Key

	Network  *NetworkChange
	Identity *IdentityChange
	Lease    *LeaseChange
	Binding  *BindingChange
	Node     *NodeChange
	Link     *LinkChange
	Placed   *PlacedChange
}

// NetworkChange sets what is allocated for a network; nil Alloc frees it.
type NetworkChange struct {
	Network fabric.NetworkRef
	Alloc   *NetworkAlloc
}

// IdentityChange sets an identity; nil Alloc frees it.
type IdentityChange struct {
	ID    fabric.Identity
	Alloc *IdentityAlloc
}

// LeaseChange sets a lease; nil Lease ends it.
type LeaseChange struct {
	Key   LeaseKey
	Lease *Lease
}

// BindingChange places a Port on a node; an empty Node releases it.
type BindingChange struct {
	Port fabric.PortRef
	Node fabric.NodeName
}

// NodeChange sets a node's state; nil State removes the node.
type NodeChange struct {
	Name  fabric.NodeName
	State *NodeState
}

// LinkChange says that the tunnel of a link is down, or up again.
type LinkChange struct {
	Link   overlay.Link
	Failed bool
}

// PlacedChange says that a node has workloads of an identity, or none any more.
type PlacedChange struct {
	Placement plan.Placement
	Gone      bool
}

// Equal reports whether two states of a node say the same.
func (n NodeState) Equal(o NodeState) bool {
	return n.VTEP == o.VTEP && n.Overlay == o.Overlay && n.WireGuard == o.WireGuard && n.Next == o.Next && n.Clients == o.Clients &&
		n.NAT == o.NAT && n.Drained == o.Drained && n.MTU == o.MTU && maps.Equal(n.Labels, o.Labels)
}
