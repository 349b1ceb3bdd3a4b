package api

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/weftfabric/weft/controller/planner"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// enforcement answers which nodes enforce which revision of an object, at one moment.
//
// The nodes concerned are those whose plan holds a network that the object can touch: for a Network itself; for a
// Port its network; for a Peering both sides; for a FirewallPolicy its network or all of its tenant; for a Tenant
// and its AddressGroups all of the tenant; for the platform's kinds every network.
//
// A concerned node enforces the object when it has acknowledged every change of its plan up to the revision at
// which the object last changed. An object that changed without changing the node's plan is enforced as soon as
// what came before is. Else the node is pending while it is connected, and stale while it isn't.
type enforcement struct {
	plans    map[fabric.NodeName]planner.Planned
	statuses map[fabric.NodeName]store.Status
	nodes    []fabric.NodeName // with a plan, in order
	now      time.Time
}

func (c Config) enforcement() *enforcement {
	e := &enforcement{plans: c.Planner.All(), now: c.Now()}
	e.statuses, _ = c.Store.Statuses()
	e.nodes = slices.Sorted(maps.Keys(e.plans))
	return e
}

// of returns the enforcement of an object that last changed at a revision.
func (e *enforcement) of(o *topology.Object, revision uint64) *weftv1.Enforcement {
	out := &weftv1.Enforcement{}
	touches := touched(o)
	for _, n := range e.nodes {
		p, st := e.plans[n], e.statuses[n]
		concerned := slices.ContainsFunc(p.Plan.Networks, func(net plan.Network) bool { return touches(net.Ref) })
		switch {
		case !concerned:
		case enforces(p, st, revision):
			out.Enforced = append(out.Enforced, string(n))
		case st.Connected(e.now):
			out.Pending = append(out.Pending, string(n))
		default:
			out.Stale = append(out.Stale, string(n))
		}
	}
	return out
}

// enforces reports whether a node acts on everything up to a revision.
func enforces(p planner.Planned, st store.Status, revision uint64) bool {
	return bytes.Equal(st.Hash, p.Hash[:]) || st.Enforced > 0 && p.Reflects(revision, st.Enforced)
}

// enforcedRevision returns the revision of its plan that a node has acknowledged.
func enforcedRevision(p planner.Planned, st store.Status) uint64 {
	if st.Hash != nil && bytes.Equal(st.Hash, p.Hash[:]) {
		return max(st.Enforced, p.Revision)
	}
	return st.Enforced
}

// touched returns which networks an object can touch.
func touched(o *topology.Object) func(fabric.NetworkRef) bool {
	network := func(want fabric.NetworkRef) func(fabric.NetworkRef) bool {
		return func(r fabric.NetworkRef) bool { return r == want }
	}
	switch {
	case o.Network != nil:
		return network(o.Network.Ref())
	case o.Port != nil:
		return network(o.Port.NetworkRef())
	case o.Client != nil:
		return network(o.Client.Port().NetworkRef())
	case o.Peering != nil:
		local, remote := o.Peering.Local(), o.Peering.Remote()
		return func(r fabric.NetworkRef) bool { return r == local || r == remote }
	case o.FirewallPolicy != nil && o.FirewallPolicy.Spec.Network != "":
		return network(fabric.NetworkRef{Tenant: o.Key.Tenant, Name: o.FirewallPolicy.Spec.Network})
	case o.Tenant != nil:
		return func(r fabric.NetworkRef) bool { return r.Tenant == o.Key.Name }
	}
	return func(r fabric.NetworkRef) bool { return o.Key.Tenant == "" || r.Tenant == o.Key.Tenant }
}
