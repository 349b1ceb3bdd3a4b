package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// index is a State arranged by network and by node, so that what belongs to one is found without a walk over
// the others. It holds what is known, consistent or not; the views leave out what can't be used yet.
type index struct {
	intent   *topology.Intent
	settings topology.FabricSpec
	policies policies

	allocs     map[fabric.NetworkRef]NetworkAlloc
	allocOf    map[fabric.Identity]IdentityAlloc
	identities map[fabric.NetworkRef]map[fabric.Identity]fabric.Labels
	leases     map[fabric.NetworkRef]map[netip.Prefix]Lease
	bindings   map[fabric.PortRef]fabric.NodeName
	nodes      map[fabric.NodeName]NodeState

	failed   map[overlay.Link]bool
	placed   map[fabric.Identity]map[fabric.NodeName]bool
	leasedBy map[fabric.NodeName]map[LeaseKey]bool
	boundTo  map[fabric.NodeName]map[fabric.PortRef]bool
}

func newIndex(s State) *index {
	x := &index{
		intent: topology.NewIntent(), policies: newPolicies(),
		allocs: maps.Clone(s.Networks), bindings: make(map[fabric.PortRef]fabric.NodeName), nodes: maps.Clone(s.Nodes),
		allocOf:    make(map[fabric.Identity]IdentityAlloc, len(s.Identities)),
		identities: make(map[fabric.NetworkRef]map[fabric.Identity]fabric.Labels),
		leases:     make(map[fabric.NetworkRef]map[netip.Prefix]Lease),
		failed:     make(map[overlay.Link]bool),
		placed:     make(map[fabric.Identity]map[fabric.NodeName]bool),
		leasedBy:   make(map[fabric.NodeName]map[LeaseKey]bool),
		boundTo:    make(map[fabric.NodeName]map[fabric.PortRef]bool),
	}
	if x.allocs == nil {
		x.allocs = make(map[fabric.NetworkRef]NetworkAlloc)
	}
	if x.nodes == nil {
		x.nodes = make(map[fabric.NodeName]NodeState)
	}
	for id, a := range s.Identities {
		x.setIdentity(id, &a)
	}
	for key, l := range s.Leases {
		x.setLease(key, &l)
	}
	for port, node := range s.Bindings {
		x.setBinding(port, node)
	}
	maps.Copy(x.failed, s.Failed)
	for p := range s.Placed {
		put(x.placed, p.Identity, p.Node, true)
	}
	var keys []topology.Key
	if s.Intent == nil {
		s.Intent = x.intent
	}
	for _, o := range s.Intent.Objects() {
		keys = append(keys, o.Key)
	}
	x.setIntent(s.Intent, keys)
	return x
}

// state returns what the index was made of.
func (x *index) state() State {
	s := State{
		Intent: x.intent, Networks: maps.Clone(x.allocs), Identities: maps.Clone(x.allocOf),
		Leases: make(map[LeaseKey]Lease), Bindings: maps.Clone(x.bindings), Nodes: maps.Clone(x.nodes),
		Failed: maps.Clone(x.failed), Placed: make(map[plan.Placement]bool),
	}
	for id, nodes := range x.placed {
		for node := range nodes {
			s.Placed[plan.Placement{Node: node, Identity: id}] = true
		}
	}
	for network, leases := range x.leases {
		for prefix, l := range leases {
			s.Leases[LeaseKey{network, prefix}] = l
		}
	}
	return s
}

// setIntent replaces the intent with one that differs in the objects that keys name. It reports whether a rule
// that stays has another number.
func (x *index) setIntent(i *topology.Intent, keys []topology.Key) (renumbered bool) {
	renumbered = x.policies.change(x.intent, i, keys)
	x.intent, x.settings = i, i.Settings()
	ignored := slices.Sorted(slices.Values(x.settings.IgnoredLabels)) // nil when there are none
	x.settings.IgnoredLabels = slices.Compact(ignored)
	return renumbered
}

// setIdentity sets or, with nil, frees an identity.
func (x *index) setIdentity(id fabric.Identity, a *IdentityAlloc) {
	if old, ok := x.allocOf[id]; ok {
		drop(x.identities, old.Network, id)
		delete(x.allocOf, id)
	}
	if a != nil {
		x.allocOf[id] = *a
		put(x.identities, a.Network, id, a.Labels)
	}
}

// setLease sets or, with nil, ends a lease.
func (x *index) setLease(key LeaseKey, l *Lease) {
	if old, ok := x.leases[key.Network][key.Prefix]; ok {
		drop(x.leases, key.Network, key.Prefix)
		drop(x.leasedBy, old.Node, key)
	}
	if l != nil {
		put(x.leases, key.Network, key.Prefix, *l)
		put(x.leasedBy, l.Node, key, true)
	}
}

// setBinding places a port or, with no node, releases it.
func (x *index) setBinding(port fabric.PortRef, node fabric.NodeName) {
	if old, ok := x.bindings[port]; ok {
		delete(x.bindings, port)
		drop(x.boundTo, old, port)
	}
	if node != "" {
		x.bindings[port] = node
		put(x.boundTo, node, port, true)
	}
}

// exists reports whether a network is declared and has its numbers.
func (x *index) exists(ref fabric.NetworkRef) bool {
	_, ok := x.allocs[ref]
	return ok && x.intent.Network(ref) != nil
}

// peers returns the networks that a network is joined to, in order.
func (x *index) peers(ref fabric.NetworkRef) []fabric.NetworkRef {
	return slices.DeleteFunc(x.intent.PeersOf(ref), func(p fabric.NetworkRef) bool { return !x.exists(p) })
}

// networks returns the networks that exist, in order.
func (x *index) networks() []fabric.NetworkRef {
	var out []fabric.NetworkRef
	for _, n := range x.intent.Networks() {
		if x.exists(n.Ref()) {
			out = append(out, n.Ref())
		}
	}
	return out
}

// placedOn returns the networks that a node leases addresses of, or that a port on it belongs to.
func (x *index) placedOn(node fabric.NodeName) map[fabric.NetworkRef]bool {
	out := make(map[fabric.NetworkRef]bool)
	for key := range x.leasedBy[node] {
		out[key.Network] = true
	}
	for port := range x.boundTo[node] {
		if p := x.intent.Port(port); p != nil {
			out[p.NetworkRef()] = true
		}
	}
	return out
}

// put sets m[outer][inner].
func put[O, I comparable, V any](m map[O]map[I]V, outer O, inner I, v V) {
	if m[outer] == nil {
		m[outer] = make(map[I]V)
	}
	m[outer][inner] = v
}

// drop deletes m[outer][inner], and m[outer] once it is empty.
func drop[O, I comparable, V any](m map[O]map[I]V, outer O, inner I) {
	if delete(m[outer], inner); len(m[outer]) == 0 {
		delete(m, outer)
	}
}
