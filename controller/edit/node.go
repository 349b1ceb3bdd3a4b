package edit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// Register announces a node. Two nodes can't have one tunnel address.
func Register(v *state.View, name fabric.NodeName, n compile.NodeState) (state.Batch, error) {
	if !n.VTEP.IsValid() || n.VTEP.IsUnspecified() || n.VTEP.IsMulticast() || n.VTEP.IsLoopback() || n.VTEP.Zone() != "" {
		return state.Batch{}, invalid("%q can't be a tunnel address: give an address of the node that the other nodes reach", n.VTEP)
	}
	if err := topology.CheckLabels(n.Labels); err != nil {
		return state.Batch{}, invalid("the node's labels: %v", err)
	}
	old, had := v.Nodes[name]
	n.Overlay, n.Drained = old.Overlay, old.Drained
	keys := map[fabric.PublicKey]bool{}
	for _, k := range []fabric.PublicKey{n.WireGuard.Key, n.Next.Key} {
		if !k.IsZero() && keys[k] {
			return state.Batch{}, invalid("the node's next WireGuard key is the one that it uses: make another")
		}
		keys[k] = !k.IsZero()
	}
	for _, other := range slices.Sorted(maps.Keys(v.Nodes)) {
		o := v.Nodes[other]
		switch {
		case other == name:
		case o.VTEP == n.VTEP && !n.NAT && !o.NAT:
			return state.Batch{}, invalid("tunnel address %s belongs to node %s: give each node its own, or delete that node", n.VTEP, other)
		case keys[o.WireGuard.Key] || keys[o.Next.Key]:
			return state.Batch{}, invalid("the WireGuard key %s belongs to node %s: a copied machine must make its own, so remove the key file here and start the agent again", shared(keys, o), other)
		}
	}
	if s := v.Intent.Settings(); s.Encryption.Mode == topology.EncryptionWireGuard {
		if s.Overlay.VTEPs.Contains(n.VTEP) {
			return state.Batch{}, invalid("address %s lies in %s, the Fabric's spec.overlay.vteps: give an address of the underlay, or change the range", n.VTEP, s.Overlay.VTEPs)
		}
		addr, err := newVTEPPool(s.Overlay.VTEPs, v.Nodes).address(name, n.Overlay)
		if err != nil {
			return state.Batch{}, err
		}
		n.Overlay = addr
	}
	if had && old.Equal(n) {
		return state.Batch{}, nil
	}
	return batch(compile.Change{Node: &compile.NodeChange{Name: name, State: &n}}), nil
}

// shared returns the key of a node that is one of keys.
func shared(keys map[fabric.PublicKey]bool, n compile.NodeState) fabric.PublicKey {
	if keys[n.WireGuard.Key] {
		return n.WireGuard.Key
	}
	return n.Next.Key
}

// DeleteNode removes a node with all that it holds: leases, bound Ports, its membership. One that the Fabric names
// stays.
func DeleteNode(v *state.View, name fabric.NodeName) (state.Batch, error) {
	if field := named(v.Intent.Settings().Overlay, name); field != "" {
		return state.Batch{}, invalid("node %s is named by the Fabric's %s: take it out there first", name, field)
	}
	b := Reclaim(v, name)
	b.Expel = name
	if _, ok := v.Nodes[name]; ok {
		b.Changes = append(b.Changes, state.Change{Change: compile.Change{Node: &compile.NodeChange{Name: name}}})
	}
	return b, nil
}

// Reclaim frees what a node holds: leases, bound Ports, what was placed on it and measured of its tunnels. It stays
// a member.
func Reclaim(v *state.View, name fabric.NodeName) state.Batch {
	var b state.Batch
	add := func(c compile.Change) { b.Changes = append(b.Changes, state.Change{Change: c}) }
	for _, k := range sortedKeys(v.Leases, compareLeases) {
		if v.Leases[k].Node == name {
			add(compile.Change{Lease: &compile.LeaseChange{Key: k}})
		}
	}
	for _, ref := range sortedKeys(v.Bindings, fabric.PortRef.Compare) {
		if v.Bindings[ref] == name {
			add(compile.Change{Binding: &compile.BindingChange{Port: ref}})
		}
	}
	for _, p := range sortedKeys(v.Placed, comparePlacements) {
		if p.Node == name {
			add(compile.Change{Placed: &compile.PlacedChange{Placement: p, Gone: true}})
		}
	}
	for _, l := range sortedKeys(v.Failed, overlay.Link.Compare) {
		if l.A == name || l.B == name {
			add(compile.Change{Link: &compile.LinkChange{Link: l}})
		}
	}
	return b
}

// LeaseRequest asks for a block of addresses.
type LeaseRequest struct {
	Network fabric.NetworkRef
	Subnet  string // empty: the first that has the family
	IPv6    bool
}

// LeaseBlock leases a free block of a subnet to a node: one of the fabric's size, and further ones that make one range
// with those before, as topology.BlockLease says.
func LeaseBlock(v *state.View, node fabric.NodeName, r LeaseRequest) (netip.Prefix, state.Batch, error) {
	if err := open(v, node); err != nil {
		return netip.Prefix{}, state.Batch{}, err
	}
	subnet, rng, err := r.subnet(v.Intent)
	if err != nil {
		return netip.Prefix{}, state.Batch{}, err
	}
	lease := topology.BlockLease{Blocks: v.Intent.Settings().NodeBlock, Subnet: rng}
	for k, l := range v.Leases {
		if k.Network != r.Network {
			continue
		}
		lease.Taken = append(lease.Taken, k.Prefix)
		if l.Node == node && within(k.Prefix, rng) {
			lease.Held = append(lease.Held, k.Prefix)
		}
	}
	block, err := lease.Next()
	if errors.Is(err, topology.ErrAddressesExhausted) {
		return netip.Prefix{}, state.Batch{}, &Error{Reason: Exhausted, Message: fmt.Sprintf("network %s: %v", r.Network, err)}
	} else if err != nil {
		return netip.Prefix{}, state.Batch{}, err
	}
	return block, batch(compile.Change{Lease: &compile.LeaseChange{
		Key: compile.LeaseKey{Network: r.Network, Prefix: block}, Lease: &compile.Lease{Node: node, Subnet: subnet}}}), nil
}

// subnet returns the name of the subnet that is asked for, and its range of the family.
func (r LeaseRequest) subnet(i *topology.Intent) (string, netip.Prefix, error) {
	n := i.Network(r.Network)
	if n == nil {
		return "", netip.Prefix{}, notFound("network %s does not exist", r.Network)
	}
	family := "IPv4"
	if r.IPv6 {
		family = "IPv6"
	}
	for _, s := range n.Spec.Subnets {
		if r.Subnet != "" && s.Name != r.Subnet {
			continue
		}
		rng := s.IPv4
		if r.IPv6 {
			rng = s.IPv6
		}
		if rng.IsValid() {
			return s.Name, rng, nil
		}
		if r.Subnet != "" {
			return "", rng, notFound("subnet %s of network %s has no %s range", r.Subnet, r.Network, family)
		}
	}
	if r.Subnet != "" {
		return "", netip.Prefix{}, notFound("network %s has no subnet %s", r.Network, r.Subnet)
	}
	return "", netip.Prefix{}, notFound("network %s has no subnet with an %s range", r.Network, family)
}

// ReleaseBlock ends a lease of a node; one that it doesn't have is no error.
func ReleaseBlock(v *state.View, node fabric.NodeName, key compile.LeaseKey) state.Batch {
	if l, ok := v.Leases[key]; !ok || l.Node != node {
		return state.Batch{}
	}
	return batch(compile.Change{Lease: &compile.LeaseChange{Key: key}})
}

// FindPort returns the declared Port that "tenant/name", "tenant.name" or a UID stands for.
func FindPort(v *state.View, name string) (fabric.PortRef, error) {
	if ref, err := fabric.ParsePortRef(strings.Replace(name, ".", "/", 1)); err == nil {
		if v.Intent.Port(ref) == nil {
			return ref, notFound("port %s is not declared: apply a Port of that name first", ref)
		}
		return ref, nil
	}
	for _, p := range v.Intent.Ports() {
		if topology.PortUID(p.Ref()) == name {
			return p.Ref(), nil
		}
	}
	return fabric.PortRef{}, notFound("no declared port has the name or UID %.80q", name)
}

// Binding is a Port and what the interface has that is bound to it, as far as that is known.
type Binding struct {
	Port      string     // as FindPort takes it
	MAC       fabric.MAC // zero: it takes the Port's
	Addresses []netip.Addr
}

// BindPort places a Port on a node; whoever had it before loses it. An interface with another MAC address than the
// Port's, or with an address that is not among its fixed ones, is refused: whoever has the Port keeps it.
func BindPort(v *state.View, node fabric.NodeName, b Binding) (fabric.PortRef, state.Batch, error) {
	if err := registered(v, node); err != nil {
		return fabric.PortRef{}, state.Batch{}, err
	}
	ref, err := FindPort(v, b.Port)
	if err != nil {
		return ref, state.Batch{}, err
	}
	if v.Intent.Port(ref).Client != nil && v.Bindings[ref] != node {
		return ref, state.Batch{}, invalid("port %s is that of a remote client, which only its gateway may have: name another Port", ref)
	}
	spec := v.Intent.Port(ref).Spec
	if !b.MAC.IsZero() && b.MAC != spec.MAC {
		return ref, state.Batch{}, invalid("port %s has the MAC address %s, not %s", ref, spec.MAC, b.MAC)
	}
	for _, addr := range b.Addresses {
		if len(spec.Addresses) > 0 && !slices.Contains(spec.Addresses, addr) {
			return ref, state.Batch{}, invalid("address %s is none of those that port %s declares", addr, ref)
		}
	}
	if v.Bindings[ref] == node {
		return ref, state.Batch{}, nil
	}
	if err := open(v, node); err != nil {
		return ref, state.Batch{}, err
	}
	return ref, batch(compile.Change{Binding: &compile.BindingChange{Port: ref, Node: node}}), nil
}

// ReleasePort takes a Port off a node; one that is elsewhere stays there, and one that is not declared is nowhere. A client's
// stays where the controller has placed it.
func ReleasePort(v *state.View, node fabric.NodeName, name string) state.Batch {
	ref, err := FindPort(v, name)
	if err != nil || v.Bindings[ref] != node || v.Intent.Port(ref).Client != nil {
		return state.Batch{}
	}
	return batch(compile.Change{Binding: &compile.BindingChange{Port: ref}})
}

func registered(v *state.View, node fabric.NodeName) error {
	if _, ok := v.Nodes[node]; !ok {
		return invalid("node %s has not registered its tunnel address yet: call Register first", node)
	}
	return nil
}

// open reports why no further workload may come to a node.
func open(v *state.View, node fabric.NodeName) error {
	if err := registered(v, node); err != nil {
		return err
	}
	if v.Nodes[node].Drained {
		return invalid("node %s is drained: attach the workload elsewhere, or let the node take workloads again with weft node undrain %s", node, node)
	}
	return nil
}

func comparePlacements(a, b plan.Placement) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Identity, b.Identity))
}

func batch(changes ...compile.Change) state.Batch {
	var b state.Batch
	for _, c := range changes {
		b.Changes = append(b.Changes, state.Change{Change: c})
	}
	return b
}
