// Package state is what the controller knows, as values: the View that everybody reads, and the Batch by
// which one View becomes the next.
//
// A View is immutable: it may be handed to any goroutine, and whoever holds one sees one revision of
// everything. The package is pure; package store keeps Views in etcd.
package state

import (
	"maps"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// View is everything that plans depend on at one revision. Its maps must not be written to.
type View struct {
	// Revision counts the changes of anything that plans depend on; 0 is the empty store.
	Revision uint64
	compile.State
	// Objects tells of each object of the Intent how it came here.
	Objects map[topology.Key]ObjectMeta
	// IdentityRevisions holds the revision at which each identity was made.
	IdentityRevisions map[fabric.Identity]uint64

	byLabels map[labelSet]fabric.Identity
}

// labelSet is what an identity stands for, as a key.
type labelSet struct {
	network fabric.NetworkRef
	labels  string
}

// Identity returns the identity of a network's label set, from which ignored labels were left out.
func (v *View) Identity(network fabric.NetworkRef, labels fabric.Labels) (id fabric.Identity, ok bool) {
	id, ok = v.byLabels[labelSet{network, labels.String()}]
	return id, ok
}

// ObjectMeta is what the controller keeps beside an object.
type ObjectMeta struct {
	// Revision is the one at which the object's content last changed.
	Revision uint64 `json:"revision"`
	// ApplySet is the set whose prune may delete the object.
	ApplySet string `json:"applySet"`
}

// Change is one step: a compile.Change, and for an object how it came here.
type Change struct {
	compile.Change
	// Meta belongs to Object.
	Meta ObjectMeta
	// Made is the revision at which the identity of Identity was made.
	Made uint64
}

// Batch is what one transaction does: all of it, or nothing.
type Batch struct {
	Changes []Change
	// Member, when set, must still be a member of the fabric, or the transaction fails.
	Member fabric.NodeName
	// Expel ends the membership of a node, and forgets its status.
	Expel fabric.NodeName
}

// Empty reports whether the batch does nothing.
func (b Batch) Empty() bool { return len(b.Changes) == 0 && b.Expel == "" }

// NewView returns the empty view at revision 0.
func NewView() *View {
	return &View{
		State: compile.State{
			Intent:     topology.NewIntent(),
			Networks:   map[fabric.NetworkRef]compile.NetworkAlloc{},
			Identities: map[fabric.Identity]compile.IdentityAlloc{},
			Leases:     map[compile.LeaseKey]compile.Lease{},
			Bindings:   map[fabric.PortRef]fabric.NodeName{},
			Nodes:      map[fabric.NodeName]compile.NodeState{},
			Failed:     map[overlay.Link]bool{},
			Placed:     map[plan.Placement]bool{},
		},
		Objects:           map[topology.Key]ObjectMeta{},
		IdentityRevisions: map[fabric.Identity]uint64{},
		byLabels:          map[labelSet]fabric.Identity{},
	}
}

// Clone returns a state of its own, for those that change it in place.
func (v *View) Clone() compile.State {
	s := v.State
	s.Networks, s.Identities, s.Leases = maps.Clone(s.Networks), maps.Clone(s.Identities), maps.Clone(s.Leases)
	s.Bindings, s.Nodes = maps.Clone(s.Bindings), maps.Clone(s.Nodes)
	s.Failed, s.Placed = maps.Clone(s.Failed), maps.Clone(s.Placed)
	return s
}

// With returns the view at revision after the changes; v itself stays as it is.
func (v *View) With(revision uint64, changes []Change) *View {
	next := &View{Revision: revision, State: v.State, Objects: v.Objects, IdentityRevisions: v.IdentityRevisions, byLabels: v.byLabels}
	var set []*topology.Object
	var gone []topology.Key
	var w writer
	for _, c := range changes {
		switch {
		case c.Object != nil:
			set = append(set, c.Object)
			own(&w.objects, &next.Objects)[c.Object.Key] = c.Meta
		case c.ObjectGone != nil:
			gone = append(gone, *c.ObjectGone)
			delete(own(&w.objects, &next.Objects), *c.ObjectGone)
		case c.Network != nil:
			put(own(&w.networks, &next.Networks), c.Network.Network, c.Network.Alloc)
		case c.Identity != nil:
			next.setIdentity(&w, c)
		case c.Lease != nil:
			put(own(&w.leases, &next.Leases), c.Lease.Key, c.Lease.Lease)
		case c.Binding != nil:
			node := &c.Binding.Node
			if *node == "" {
				node = nil
			}
			put(own(&w.bindings, &next.Bindings), c.Binding.Port, node)
		case c.Link != nil:
			mark(own(&w.failed, &next.Failed), c.Link.Link, c.Link.Failed)
		case c.Placed != nil:
			mark(own(&w.placed, &next.Placed), c.Placed.Placement, !c.Placed.Gone)
		case c.Node != nil:
			put(own(&w.nodes, &next.Nodes), c.Node.Name, c.Node.State)
		}
	}
	if len(gone) > 0 {
		next.Intent = next.Intent.Without(gone...)
	}
	if len(set) > 0 {
		next.Intent = next.Intent.With(set...)
	}
	return next
}

func (v *View) setIdentity(w *writer, c Change) {
	ids, made, byLabels := own(&w.identities, &v.Identities), own(&w.made, &v.IdentityRevisions), own(&w.byLabels, &v.byLabels)
	id, alloc := c.Identity.ID, c.Identity.Alloc
	if old, ok := ids[id]; ok {
		delete(byLabels, labelSet{old.Network, old.Labels.String()})
		delete(ids, id)
		delete(made, id)
	}
	if alloc != nil {
		ids[id], made[id] = *alloc, c.Made
		byLabels[labelSet{alloc.Network, alloc.Labels.String()}] = id
	}
}

// writer remembers which maps of the next view are already copies.
type writer struct {
	objects, networks, identities, made, byLabels, leases, bindings, nodes, failed, placed bool
}

// own makes *m a copy the first time, and returns it.
func own[K comparable, V any](owned *bool, m *map[K]V) map[K]V {
	if !*owned {
		*m, *owned = maps.Clone(*m), true
	}
	return *m
}

// mark adds a key to a set, or takes it away.
func mark[K comparable](m map[K]bool, k K, in bool) {
	if in {
		m[k] = true
	} else {
		delete(m, k)
	}
}

// put sets a key, or removes it when there is no value.
func put[K comparable, V any](m map[K]V, k K, v *V) {
	if v == nil {
		delete(m, k)
		return
	}
	m[k] = *v
}
