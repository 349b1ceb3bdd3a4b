package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Class is a set of workloads that policy treats alike: those of one network with one set of labels.
type Class struct {
	Network fabric.NetworkRef
	Labels  fabric.Labels
	// Workloads are the declared members, in order. A class without any is imagined: policies tell it from the others,
	// and a workload of it may appear at any time.
	Workloads []string
	Addresses []reach.Range
	// Outside says that it is addresses outside the fabric, without network and labels.
	Outside bool
}

// Name returns "tenant/network:labels", which also selects the class on the command line.
func (c Class) Name() string {
	if c.Outside {
		return outsideName
	}
	return c.Network.String() + ":" + c.Labels.String()
}

// present reports whether there is somebody of the class now.
func (c Class) present() bool { return c.Outside || len(c.Workloads) > 0 }

// World is a topology with numbers of its own: any will do, as policy only compares them.
type World struct {
	Intent    *topology.Intent
	Workloads []Workload
	Classes   []Class
	Tables    map[fabric.NetworkID]firewall.Table

	networks map[fabric.NetworkRef]fabric.NetworkID
	refs     map[fabric.NetworkID]fabric.NetworkRef
	peers    map[[2]fabric.NetworkID]bool // networks that are joined
	ids      []fabric.Identity            // of the classes
	sides    []reach.Class                // the classes in the engine's numbers
	engine   *reach.Engine
	byName   map[string]int // the first class of each name
	alone    map[string]int // by workload, the first class that it is alone
}

// NewWorld numbers the classes of the declared workloads, and the imagined ones after them. cuts are passed to
// reach.New.
func NewWorld(intent *topology.Intent, workloads []Workload, imagined []Class, cuts ...reach.Range) (*World, error) {
	w := &World{
		Intent: intent, Workloads: workloads, Classes: append(classesOf(intent, workloads), imagined...),
		networks: make(map[fabric.NetworkRef]fabric.NetworkID), refs: make(map[fabric.NetworkID]fabric.NetworkRef),
		byName: make(map[string]int), alone: make(map[string]int),
	}
	state := compile.State{
		Intent: intent, Networks: make(map[fabric.NetworkRef]compile.NetworkAlloc),
		Identities: make(map[fabric.Identity]compile.IdentityAlloc),
	}
	most := 0 // classes of one network
	perNetwork := make(map[fabric.NetworkRef]int)
	for _, c := range w.Classes {
		perNetwork[c.Network]++
		most = max(most, perNetwork[c.Network])
	}
	bits := 24 // of a block that holds as many identities, and 0
	for most+1 > 1<<(24-bits) {
		bits--
	}
	networks := intent.Networks()
	if (len(networks)+1)<<(24-bits) > 1<<24 || len(networks) >= int(fabric.MaxNetworkID) {
		return nil, fmt.Errorf("%d networks with up to %d label sets each are more than can be numbered: audit them in parts", len(networks), most)
	}
	used := make(map[fabric.NetworkRef]fabric.Identity)
	for i, n := range networks {
		id, base := fabric.NetworkID(i+1), fabric.Identity(i+1)<<(24-bits)
		w.networks[n.Ref()], w.refs[id], used[n.Ref()] = id, n.Ref(), base
		state.Networks[n.Ref()] = compile.NetworkAlloc{ID: id, Blocks: []fabric.VNIBlock{{Base: base, Bits: uint8(bits)}}}
	}
	w.peers = make(map[[2]fabric.NetworkID]bool)
	for _, n := range networks {
		for _, p := range intent.PeersOf(n.Ref()) {
			w.peers[[2]fabric.NetworkID{w.networks[n.Ref()], w.networks[p]}] = true
		}
	}
	byName := make(map[string]fabric.Identity)
	for _, c := range w.Classes {
		if c.Outside {
			w.ids = append(w.ids, 0)
			continue
		}
		if _, known := used[c.Network]; !known {
			return nil, fmt.Errorf("network %s is not declared", c.Network)
		}
		id, ok := byName[c.Name()]
		if !ok {
			used[c.Network]++
			id = used[c.Network]
			byName[c.Name()] = id
			state.Identities[id] = compile.IdentityAlloc{Network: c.Network, Labels: c.Labels}
		}
		w.ids = append(w.ids, id)
	}
	for i, c := range w.Classes {
		if _, seen := w.byName[c.Name()]; !seen {
			w.byName[c.Name()] = i
		}
		if len(c.Workloads) == 1 {
			if _, seen := w.alone[c.Workloads[0]]; !seen {
				w.alone[c.Workloads[0]] = i
			}
		}
	}
	w.Tables = compile.Tables(state)
	for i, c := range w.Classes {
		w.sides = append(w.sides, reach.Class{Network: w.networks[c.Network], Identity: w.ids[i], Addresses: c.Addresses})
	}
	w.engine = reach.NewEngine(reach.Input{Tables: w.Tables, Classes: w.sides, Cuts: cuts, Joined: w.joinedIDs})
	return w, nil
}

// joinedIDs reports whether packets can pass between two networks at all.
func (w *World) joinedIDs(a, b fabric.NetworkID) bool { return w.peers[[2]fabric.NetworkID{a, b}] }

// classesOf groups workloads by network and labels, in order.
func classesOf(intent *topology.Intent, workloads []Workload) []Class {
	byName := make(map[string]*Class)
	var names []string
	for _, l := range workloads {
		c := Class{Network: l.Network, Labels: l.Labels}
		name := c.Name()
		if byName[name] == nil {
			byName[name] = &c
			names = append(names, name)
		}
		byName[name].Workloads = append(byName[name].Workloads, l.Name)
		byName[name].Addresses = append(byName[name].Addresses, l.ranges(intent)...)
	}
	slices.SortFunc(names, func(a, b string) int { // a name ends with the labels
		return cmp.Or(byName[a].Network.Compare(byName[b].Network), strings.Compare(a, b))
	})
	var out []Class
	for _, name := range names {
		c := *byName[name]
		slices.SortFunc(c.Addresses, reach.Range.Compare)
		c.Addresses = slices.Compact(c.Addresses)
		out = append(out, c)
	}
	return out
}

func compareClasses(a, b Class) int {
	return cmp.Or(a.Network.Compare(b.Network), strings.Compare(a.Labels.String(), b.Labels.String()))
}

// ranges returns where the workload's addresses may lie.
func (l Workload) ranges(intent *topology.Intent) []reach.Range {
	if len(l.Addresses) > 0 {
		var out []reach.Range
		for _, a := range l.Addresses {
			out = append(out, reach.Range{First: a, Last: a})
		}
		return out
	}
	n := intent.Network(l.Network)
	if n == nil || len(n.Spec.Subnets) == 0 {
		return nil
	}
	if s := n.Subnet(l.Subnet); s != nil {
		return subnetRanges(*s)
	}
	return subnetRanges(n.Spec.Subnets[0])
}

// networkRanges returns every address that a workload of a network may have.
func networkRanges(n *topology.Network) []reach.Range {
	var out []reach.Range
	for _, s := range n.Spec.Subnets {
		out = append(out, subnetRanges(s)...)
	}
	return out
}

// subnetRanges returns the addresses that workloads of a subnet may have: not the network address, not the broadcast
// address, not the gateway.
func subnetRanges(s topology.Subnet) []reach.Range {
	var out []reach.Range
	for _, p := range s.Prefixes() {
		r := reach.RangeOf(p)
		var without []netip.Addr
		for _, a := range []netip.Addr{r.First, r.Last} {
			if !topology.Usable(p, a) {
				without = append(without, a)
			}
		}
		if gw := s.Gateway(p); gw.IsValid() {
			without = append(without, gw)
		}
		out = append(out, r.Without(without...)...)
	}
	return out
}

// Joined reports whether packets can pass between two networks at all: they are one, or peered. The outside, which has no
// network, counts as joined with all.
func (w *World) Joined(a, b fabric.NetworkRef) bool {
	return a == b || a == (fabric.NetworkRef{}) || b == (fabric.NetworkRef{}) || w.joinedIDs(w.networks[a], w.networks[b])
}

// Pairs calls yield for each pair of classes of networks that are joined, with what policy decides between them. It holds no
// more than a pair at a time, however many there are. The parts must not be changed.
func (w *World) Pairs(yield func(from, to int, parts []reach.Part)) {
	members := make(map[fabric.NetworkRef][]int)
	for i, c := range w.Classes {
		members[c.Network] = append(members[c.Network], i)
	}
	networks := w.Intent.Networks()
	for _, a := range networks {
		for _, b := range networks {
			if !w.Joined(a.Ref(), b.Ref()) {
				continue
			}
			for _, from := range members[a.Ref()] {
				for _, to := range members[b.Ref()] {
					yield(from, to, w.between(from, to))
				}
			}
		}
	}
}

// between returns what policy decides between two classes, without packets from an address to itself: those never leave
// their workload.
func (w *World) between(from, to int) []reach.Part {
	parts := w.engine.Between(from, to)
	if w.Classes[from].Network != w.Classes[to].Network {
		return parts
	}
	own := func(p reach.Part) bool {
		src, ok := w.engine.Atoms.Single(w.engine.Addresses(from, p.Family, p.Src))
		if !ok {
			return false
		}
		dst, ok := w.engine.Atoms.Single(w.engine.Addresses(to, p.Family, p.Dst))
		return ok && src == dst
	}
	if !slices.ContainsFunc(parts, own) {
		return parts
	}
	return slices.DeleteFunc(slices.Clone(parts), own)
}

// endpoint returns a workload of a class at an address.
func (w *World) endpoint(class int, a netip.Addr) firewall.Endpoint {
	return firewall.Endpoint{Network: w.networks[w.Classes[class].Network], Identity: w.ids[class], Addr: a}
}

// workload returns the class of a declared workload.
func (w *World) workload(name string) (class int, ok bool) {
	for i, c := range w.Classes {
		if slices.Contains(c.Workloads, name) {
			return i, true
		}
	}
	return 0, false
}
