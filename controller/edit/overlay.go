package edit

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// vtepPool hands out tunnel addresses of a range: of its lower half, since the upper one is for probes.
type vtepPool struct {
	vteps netip.Prefix
	taken map[netip.Addr]fabric.NodeName
}

func newVTEPPool(vteps netip.Prefix, nodes map[fabric.NodeName]compile.NodeState) vtepPool {
	p := vtepPool{vteps, make(map[netip.Addr]fabric.NodeName, len(nodes))}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if a := nodes[name].Overlay; p.has(a) && p.taken[a] == "" {
			p.taken[a] = name
		}
	}
	return p
}

// has reports whether an address is one that the pool hands out.
func (p vtepPool) has(a netip.Addr) bool {
	return a.Is4() && netip.PrefixFrom(p.vteps.Addr(), p.vteps.Bits()+1).Contains(a) && a != p.vteps.Addr()
}

// address returns the tunnel address of a node: the one that it has, else the free one that follows a hash of its name,
// so that a node that comes back mostly gets the one that it had.
func (p vtepPool) address(name fabric.NodeName, have netip.Addr) (netip.Addr, error) {
	if p.taken[have] == name && have.IsValid() {
		return have, nil
	}
	size := uint32(1) << (31 - p.vteps.Bits())
	base := binary.BigEndian.Uint32(p.vteps.Addr().AsSlice())
	h := fnv.New32a()
	h.Write([]byte(name))
	start := h.Sum32()
	for i := range size {
		offset := (start + i) % size
		if offset == 0 {
			continue // the range's own address
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+offset)
		if a := netip.AddrFrom4(b); p.taken[a] == "" {
			p.taken[a] = name
			return a, nil
		}
	}
	return netip.Addr{}, &Error{Reason: Exhausted, Message: fmt.Sprintf("the range of tunnel addresses %s has no room for node %s: give the Fabric's spec.overlay.vteps a larger one", p.vteps, name)}
}

// overlay checks a Fabric's tunnels against the nodes that are registered, and gives these tunnel addresses.
func (a *allocator) overlay() {
	before, after := a.view.Intent.Settings(), a.after.Settings()
	if after.Encryption.Mode != topology.EncryptionWireGuard {
		return
	}
	fabricKey := topology.Key{Kind: topology.KindFabric, Name: topology.FabricName}
	severity := topology.SeverityError
	if len(a.view.Nodes) == 0 {
		severity = topology.SeverityWarning // who joins first decides nothing
	}
	find := func(path, message string) {
		p := topology.Problem{Severity: severity, Message: fmt.Sprintf("%s: %s %s", fabricKey, path, message)}
		if o := a.after.Get(fabricKey); o != nil {
			p.File, p.Line = o.Origin.File, o.Line(path)
		}
		a.problems = append(a.problems, p)
	}
	if !topology.SameOverlay(before, after) {
		known := make(map[fabric.NodeName]overlay.Known, len(a.view.Nodes))
		for _, name := range slices.Sorted(maps.Keys(a.view.Nodes)) {
			n := a.view.Nodes[name]
			known[name] = overlay.Known{Labels: n.Labels, NAT: n.NAT}
		}
		for _, f := range overlay.Check(after.Overlay, known) {
			find(f.Field, f.Message)
		}
		for _, name := range slices.Sorted(maps.Keys(a.view.Nodes)) {
			if n := a.view.Nodes[name]; after.Overlay.VTEPs.Contains(n.VTEP) {
				find("spec.overlay.vteps", fmt.Sprintf("is %s, which overlaps the underlay: node %s has the address %s there; choose another range", after.Overlay.VTEPs, name, n.VTEP))
				break
			}
		}
	}
	pool := newVTEPPool(after.Overlay.VTEPs, a.view.Nodes)
	for _, name := range slices.Sorted(maps.Keys(a.view.Nodes)) {
		n := a.view.Nodes[name]
		addr, err := pool.address(name, n.Overlay)
		if err != nil {
			find("spec.overlay.vteps", err.Error())
			return
		}
		if addr != n.Overlay {
			n.Overlay = addr
			a.change(compile.Change{Node: &compile.NodeChange{Name: name, State: &n}})
		}
	}
}

// placed notes where identities are once the fabric begins to hold nodes to it: from then on each attachment says so.
func (a *allocator) placed() {
	if !a.after.Settings().StrictIdentity || a.view.Intent.Settings().StrictIdentity {
		return
	}
	seen := map[plan.Placement]bool{}
	for _, w := range a.workloads {
		p := plan.Placement{Node: w.Node, Identity: w.Identity}
		if _, known := a.view.Identities[w.Identity]; known && !a.view.Placed[p] && !seen[p] {
			seen[p] = true
			a.change(compile.Change{Placed: &compile.PlacedChange{Placement: p}})
		}
	}
}

// Place notes that a node has workloads of an identity, where the fabric holds nodes to it.
func Place(v *state.View, node fabric.NodeName, id fabric.Identity) state.Batch {
	p := plan.Placement{Node: node, Identity: id}
	if _, known := v.Identities[id]; !known || !v.Intent.Settings().StrictIdentity || v.Placed[p] {
		return state.Batch{}
	}
	return batch(compile.Change{Placed: &compile.PlacedChange{Placement: p}})
}

// Displace notes that a node has none of some identities any more.
func Displace(v *state.View, node fabric.NodeName, ids []fabric.Identity) state.Batch {
	var b state.Batch
	for _, id := range ids {
		if p := (plan.Placement{Node: node, Identity: id}); v.Placed[p] {
			b.Changes = append(b.Changes, state.Change{Change: compile.Change{Placed: &compile.PlacedChange{Placement: p, Gone: true}}})
		}
	}
	return b
}

// SetLinks notes which links have failed, and which work again. What is noted already, and links of nodes that are gone,
// change nothing.
func SetLinks(v *state.View, failed map[overlay.Link]bool) state.Batch {
	var b state.Batch
	for _, l := range sortedKeys(failed, overlay.Link.Compare) {
		_, x := v.Nodes[l.A]
		_, y := v.Nodes[l.B]
		if now := failed[l] && x && y; now != v.Failed[l] {
			b.Changes = append(b.Changes, state.Change{Change: compile.Change{Link: &compile.LinkChange{Link: l, Failed: now}}})
		}
	}
	return b
}

// Drain keeps further workloads away from a node, or lets them come again.
func Drain(v *state.View, name fabric.NodeName, drained bool) (state.Batch, error) {
	n, ok := v.Nodes[name]
	if !ok {
		return state.Batch{}, notFound("node %s does not exist", name)
	}
	if n.Drained == drained {
		return state.Batch{}, nil
	}
	n.Drained = drained
	return batch(compile.Change{Node: &compile.NodeChange{Name: name, State: &n}}), nil
}

// named returns the field of the Fabric that names a node, or "".
func named(o topology.Overlay, name fabric.NodeName) string {
	if o.Hub != nil && slices.Contains(o.Hub.Nodes, string(name)) {
		return "spec.overlay.hub.nodes"
	}
	if slices.ContainsFunc(o.Links, func(l topology.OverlayLink) bool { return l.From == string(name) || l.To == string(name) }) {
		return "spec.overlay.links"
	}
	return ""
}
