package edit

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// networkAllocs numbers the networks of an intent; those that had numbers keep them.
func networkAllocs(after *topology.Intent, previous map[fabric.NetworkRef]compile.NetworkAlloc) (map[fabric.NetworkRef]compile.NetworkAlloc, error) {
	next, err := topology.AllocateNetworks(after, allocsOf(previous))
	out := make(map[fabric.NetworkRef]compile.NetworkAlloc, len(next))
	for ref, a := range next {
		out[ref] = compile.NetworkAlloc(a)
	}
	return out, err
}

func allocsOf(m map[fabric.NetworkRef]compile.NetworkAlloc) map[fabric.NetworkRef]topology.NetworkAlloc {
	out := make(map[fabric.NetworkRef]topology.NetworkAlloc, len(m))
	for ref, a := range m {
		out[ref] = topology.NetworkAlloc(a)
	}
	return out
}

// ResolveIdentity returns the identity of a workload's labels in a network. The batch is empty when it was
// known already.
func ResolveIdentity(v *state.View, network fabric.NetworkRef, labels fabric.Labels) (fabric.Identity, state.Batch, error) {
	if _, ok := v.Networks[network]; !ok {
		return 0, state.Batch{}, notFound("network %s does not exist", network)
	}
	if err := topology.CheckLabels(labels); err != nil {
		return 0, state.Batch{}, invalid("the workload's labels: %v", err)
	}
	ids := newIdentities(v, v.Networks)
	id, err := ids.resolve(network, topology.PolicyLabels(v.Intent.Settings().IgnoredLabels, labels))
	if err != nil {
		return 0, state.Batch{}, err
	}
	return id, state.Batch{Changes: ids.changes()}, nil
}

// identities hands out identities on top of those of a view.
type identities struct {
	view   *state.View
	nets   map[fabric.NetworkRef]compile.NetworkAlloc
	made   map[fabric.Identity]compile.IdentityAlloc
	grown  map[fabric.NetworkRef]bool
	byText map[string]fabric.Identity // those of made, by network and labels
}

func newIdentities(v *state.View, nets map[fabric.NetworkRef]compile.NetworkAlloc) *identities {
	return &identities{view: v, nets: nets, made: map[fabric.Identity]compile.IdentityAlloc{},
		grown: map[fabric.NetworkRef]bool{}, byText: map[string]fabric.Identity{}}
}

// resolve returns the identity of a label set of a network in nets, made when there is none.
func (ids *identities) resolve(network fabric.NetworkRef, labels fabric.Labels) (fabric.Identity, error) {
	_, old := ids.view.Networks[network]
	if id, ok := ids.view.Identity(network, labels); ok && old {
		return id, nil
	}
	text := network.String() + " " + labels.String()
	if id, ok := ids.byText[text]; ok {
		return id, nil
	}
	used := func(id fabric.Identity) bool {
		_, made := ids.made[id]
		holder, had := ids.view.Identities[id]
		_, stays := ids.nets[holder.Network]
		return made || had && stays
	}
	id, err := topology.NextIdentity(ids.nets[network].Blocks, used)
	if errors.Is(err, topology.ErrIdentitiesExhausted) {
		grown, err := topology.GrowNetwork(allocsOf(ids.nets), network)
		if err != nil {
			return 0, &Error{Reason: Exhausted, Message: fmt.Sprintf("no identity is left for the labels %s: %v", labels, err)}
		}
		nets := maps.Clone(ids.nets)
		nets[network] = compile.NetworkAlloc(grown)
		ids.nets, ids.grown[network] = nets, true
		id, err = topology.NextIdentity(grown.Blocks, used)
		if err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	ids.made[id] = compile.IdentityAlloc{Network: network, Labels: labels}
	ids.byText[text] = id
	return id, nil
}

// changes returns what resolve made, in order.
func (ids *identities) changes() []state.Change {
	var out []state.Change
	for _, ref := range sortedKeys(ids.grown, fabric.NetworkRef.Compare) {
		alloc := ids.nets[ref]
		out = append(out, state.Change{Change: compile.Change{Network: &compile.NetworkChange{Network: ref, Alloc: &alloc}}})
	}
	for _, id := range slices.Sorted(maps.Keys(ids.made)) {
		alloc := ids.made[id]
		out = append(out, state.Change{
			Change: compile.Change{Identity: &compile.IdentityChange{ID: id, Alloc: &alloc}}, Made: ids.view.Revision + 1})
	}
	return out
}

// identitiesOf returns the identities of a network, in order.
func identitiesOf(v *state.View, network fabric.NetworkRef) []fabric.Identity {
	var out []fabric.Identity
	for id, a := range v.Identities {
		if a.Network == network {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
