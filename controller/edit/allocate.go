package edit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Workload is one that a node reported as attached. What workloads stand on can't be taken away.
type Workload struct {
	Node      fabric.NodeName
	Network   fabric.NetworkRef
	Addresses []netip.Addr
	Identity  fabric.Identity
}

// allocate returns the changes of what the controller hands out that follow from a new intent: network
// numbers and VNI blocks, the identities of declared Ports, and what is freed. Its problems name what is
// still in use.
func allocate(v *state.View, after *topology.Intent, workloads []Workload) ([]state.Change, topology.Problems) {
	a := allocator{view: v, after: after, workloads: workloads}
	a.networks()
	a.identities()
	a.leases()
	a.bindings()
	a.overlay()
	a.sizes()
	a.placed()
	return a.changes, a.problems
}

type allocator struct {
	view      *state.View
	after     *topology.Intent
	workloads []Workload
	nets      map[fabric.NetworkRef]compile.NetworkAlloc
	changes   []state.Change
	problems  topology.Problems
}

func (a *allocator) change(c compile.Change) { a.changes = append(a.changes, state.Change{Change: c}) }

func (a *allocator) refuse(k topology.Key, format string, args ...any) {
	p := topology.Problem{Severity: topology.SeverityError, Message: fmt.Sprintf("%s: ", k) + fmt.Sprintf(format, args...)}
	o := a.after.Get(k)
	if o == nil {
		o = a.view.Intent.Get(k)
	}
	if o != nil {
		p.File, p.Line = o.Origin.File, o.Origin.Line
	}
	a.problems = append(a.problems, p)
}

// networks numbers new networks, and frees the numbers, blocks and identities of those that go.
func (a *allocator) networks() {
	nets, err := networkAllocs(a.after, a.view.Networks)
	if err != nil {
		a.problems = append(a.problems, topology.Problem{Severity: topology.SeverityError, Message: err.Error()})
		return
	}
	a.nets = nets
	for _, n := range a.after.Networks() {
		if alloc := nets[n.Ref()]; !equalAlloc(a.view.Networks[n.Ref()], alloc) {
			a.change(compile.Change{Network: &compile.NetworkChange{Network: n.Ref(), Alloc: &alloc}})
		}
	}
	for _, ref := range sortedKeys(a.view.Networks, fabric.NetworkRef.Compare) {
		if _, stays := nets[ref]; stays {
			continue
		}
		if on := a.attached(func(w Workload) bool { return w.Network == ref }); len(on) > 0 {
			a.refuse(networkKey(ref), "workloads are attached on %s: detach them before the network goes", nodeList(on))
		}
		a.change(compile.Change{Network: &compile.NetworkChange{Network: ref}})
		for _, id := range identitiesOf(a.view, ref) {
			a.change(compile.Change{Identity: &compile.IdentityChange{ID: id}})
		}
	}
}

// identities makes sure that the label set of every declared Port has an identity.
func (a *allocator) identities() {
	ids := newIdentities(a.view, a.nets)
	for _, p := range a.after.Ports() {
		if _, ok := a.nets[p.NetworkRef()]; !ok {
			continue // networks failed, and said so
		}
		labels := topology.PolicyLabels(a.after.Settings().IgnoredLabels, p.Metadata.Labels)
		if _, err := ids.resolve(p.NetworkRef(), labels); err != nil {
			a.refuse(p.Key(), "%v", err)
		}
		if p.Client != nil && a.after.Settings().ClientPort(a.nets[p.NetworkRef()].ID) == 0 {
			a.refuse(p.Key(), "network %s has the number %d, for which no UDP port is left above the Fabric's spec.clients.port: choose a lower one", p.NetworkRef(), a.nets[p.NetworkRef()].ID)
		}
	}
	a.changes = append(a.changes, ids.changes()...)
}

// leases ends those whose range the intent doesn't have any more.
func (a *allocator) leases() {
	for _, k := range sortedKeys(a.view.Leases, compareLeases) {
		l := a.view.Leases[k]
		if n := a.after.Network(k.Network); n != nil {
			if s := n.Subnet(l.Subnet); s != nil && slices.ContainsFunc(s.Prefixes(), func(p netip.Prefix) bool { return within(k.Prefix, p) }) {
				continue
			}
			if on := a.attached(func(w Workload) bool {
				return w.Network == k.Network && slices.ContainsFunc(w.Addresses, k.Prefix.Contains)
			}); len(on) > 0 {
				a.refuse(networkKey(k.Network), "the range of subnet %s can't change so: workloads have addresses of %s on %s; detach them first", l.Subnet, k.Prefix, nodeList(on))
			}
		}
		a.change(compile.Change{Lease: &compile.LeaseChange{Key: k}})
	}
}

// bindings refuses to let a Port go, or move to another network, that is in use. Clients may.
func (a *allocator) bindings() {
	for _, ref := range sortedKeys(a.view.Bindings, fabric.PortRef.Compare) {
		before, after := a.view.Intent.Port(ref), a.after.Port(ref)
		switch {
		case before == nil:
		case before.Client != nil:
			if after == nil || after.Client == nil || after.NetworkRef() != before.NetworkRef() {
				a.change(compile.Change{Binding: &compile.BindingChange{Port: ref}}) // its gateway takes down what it made
			}
		case after == nil:
			a.refuse(portKey(ref), "it is bound on node %s: detach it there first", a.view.Bindings[ref])
		case after.Spec.Network != before.Spec.Network:
			a.refuse(portKey(ref), "it is bound on node %s and can't move to another network: detach it there first", a.view.Bindings[ref])
		}
	}
}

// attached returns the nodes with a workload that match accepts, in order.
func (a *allocator) attached(match func(Workload) bool) []fabric.NodeName {
	var on []fabric.NodeName
	for _, w := range a.workloads {
		if match(w) {
			on = append(on, w.Node)
		}
	}
	slices.Sort(on)
	return slices.Compact(on)
}

func nodeList(nodes []fabric.NodeName) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = string(n)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + strings.Join(names, ", ")
}

func networkKey(r fabric.NetworkRef) topology.Key {
	return topology.Key{Kind: topology.KindNetwork, Tenant: r.Tenant, Name: r.Name}
}

func portKey(r fabric.PortRef) topology.Key {
	return topology.Key{Kind: topology.KindPort, Tenant: r.Tenant, Name: r.Name}
}

func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

func equalAlloc(a, b compile.NetworkAlloc) bool {
	return a.ID == b.ID && slices.Equal(a.Blocks, b.Blocks)
}

func compareLeases(a, b compile.LeaseKey) int {
	if c := a.Network.Compare(b.Network); c != 0 {
		return c
	}
	return a.Prefix.Compare(b.Prefix)
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}
