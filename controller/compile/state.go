package compile

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// State is everything that plans depend on: the intent, and what the controller allocated for it.
type State struct {
	Intent     *topology.Intent
	Networks   map[fabric.NetworkRef]NetworkAlloc
	Identities map[fabric.Identity]IdentityAlloc
	Leases     map[LeaseKey]Lease
	Bindings   map[fabric.PortRef]fabric.NodeName
	Nodes      map[fabric.NodeName]NodeState
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
	VTEP   netip.Addr    `json:"vtep"`
	Labels fabric.Labels `json:"labels,omitempty"`
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
