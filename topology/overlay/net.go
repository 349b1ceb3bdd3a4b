package overlay

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/topology"
)

// Net is an overlay while it changes: its nodes, who must talk with whom, and which links have failed. What a change
// costs depends on the nodes that it concerns; in an overlay of listed links, on all of them.
type Net struct {
	spec topology.Overlay
	// adjacent are the listed links, by node.
	adjacent map[Name][]Name

	nodes map[Name]node
	// core are the hubs or gateways, and gateways those of each zone, in order; members are all nodes of each zone.
	core     []Name
	gateways map[string][]Name
	members  map[string]map[Name]bool
	// hidden is how many of core are behind NAT.
	hidden int
	failed map[Link]bool
	// lists says whom a node must talk with as far as it knows, listed is the reverse.
	lists, listed map[Name]map[Name]bool

	// detours are the relays of pairs in a mesh that have no tunnel that works, in both directions, and relays how many
	// pairs each serves.
	detours map[Name]map[Name]Name
	relays  map[Name]int
	// transit are the destinations that each node forwards to, in an overlay of listed links; nil: to be made anew.
	transit map[Name]map[Name]bool

	dirty map[Name]bool
}

type node struct {
	Node
	hash uint64
}

// New returns a net without nodes.
func New(spec topology.Overlay) *Net {
	n := &Net{
		spec: spec, adjacent: map[Name][]Name{}, nodes: map[Name]node{}, gateways: map[string][]Name{}, members: map[string]map[Name]bool{}, failed: map[Link]bool{},
		lists: map[Name]map[Name]bool{}, listed: map[Name]map[Name]bool{},
		detours: map[Name]map[Name]Name{}, relays: map[Name]int{}, dirty: map[Name]bool{},
	}
	for _, l := range spec.Links {
		a, b := Name(l.From), Name(l.To)
		n.adjacent[a], n.adjacent[b] = append(n.adjacent[a], b), append(n.adjacent[b], a)
	}
	for name := range n.adjacent {
		slices.Sort(n.adjacent[name])
		n.adjacent[name] = slices.Compact(n.adjacent[name])
	}
	return n
}

// SetNode adds a node, or changes what it is.
func (n *Net) SetNode(name Name, to Node) {
	was, had := n.nodes[name]
	if had && was.Node == to {
		return
	}
	n.touchAround(name)
	if had {
		n.removeRole(name, was.Node)
	}
	n.nodes[name] = node{Node: to, hash: hashOf(name)}
	if to.Core {
		n.core = with(n.core, name)
		n.hidden += count(to.NAT)
		n.gateways[to.Zone] = with(n.gateways[to.Zone], name)
	}
	if n.members[to.Zone] == nil {
		n.members[to.Zone] = map[Name]bool{}
	}
	n.members[to.Zone][name] = true
	n.touchAround(name)
}

// RemoveNode takes a node away. What others list of it stays listed, and counts again should it return.
func (n *Net) RemoveNode(name Name) {
	was, had := n.nodes[name]
	if !had {
		return
	}
	n.touchAround(name)
	n.removeRole(name, was.Node)
	delete(n.nodes, name)
	n.dirty[name] = true
}

func (n *Net) removeRole(name Name, was Node) {
	if was.Core {
		n.core = without(n.core, name)
		n.hidden -= count(was.NAT)
		n.gateways[was.Zone] = without(n.gateways[was.Zone], name)
	}
	if delete(n.members[was.Zone], name); len(n.members[was.Zone]) == 0 {
		delete(n.members, was.Zone)
	}
}

// SetPeers says whom a node must talk with. Two nodes must talk when either of them says so.
func (n *Net) SetPeers(name Name, peers []Name) {
	next := make(map[Name]bool, len(peers))
	for _, p := range peers {
		if p != name {
			next[p] = true
		}
	}
	for p := range n.lists[name] {
		if !next[p] {
			n.unlist(name, p)
		}
	}
	for p := range next {
		if !n.lists[name][p] {
			n.list(name, p)
		}
	}
}

func (n *Net) list(a, b Name) {
	was := n.talk(a, b)
	set(n.lists, a, b)
	set(n.listed, b, a)
	if !was {
		n.touchPair(a, b)
	}
}

func (n *Net) unlist(a, b Name) {
	// Marked before: a node without peers is of no interest to its hubs any more.
	n.touchPair(a, b)
	unset(n.lists, a, b)
	unset(n.listed, b, a)
}

// SetFailed says that the tunnel of a link is down, or up again.
func (n *Net) SetFailed(l Link, failed bool) {
	if n.failed[l] == failed {
		return
	}
	if failed {
		n.failed[l] = true
	} else {
		delete(n.failed, l)
	}
	n.touchLink(l)
}

// talk reports whether two nodes must talk, whether they are there or not.
func (n *Net) talk(a, b Name) bool { return n.lists[a][b] || n.listed[a][b] }

// partners returns the nodes that a node must talk with and that are there, in no order.
func (n *Net) partners(a Name) []Name {
	out := make([]Name, 0, len(n.lists[a]))
	for p := range n.lists[a] {
		if _, ok := n.nodes[p]; ok {
			out = append(out, p)
		}
	}
	for p := range n.listed[a] {
		if _, ok := n.nodes[p]; ok && !n.lists[a][p] {
			out = append(out, p)
		}
	}
	return out
}

// active reports whether a node must talk with anybody.
func (n *Net) active(a Name) bool {
	for p := range n.lists[a] {
		if _, ok := n.nodes[p]; ok {
			return true
		}
	}
	for p := range n.listed[a] {
		if _, ok := n.nodes[p]; ok {
			return true
		}
	}
	return false
}

// Names returns the nodes in order.
func (n *Net) Names() []Name { return slices.Sorted(maps.Keys(n.nodes)) }

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// with and without return a sorted list with and without a name; the list itself stays as it is.
func with(list []Name, name Name) []Name {
	i, _ := slices.BinarySearch(list, name)
	return slices.Insert(slices.Clone(list), i, name)
}

func without(list []Name, name Name) []Name {
	return slices.DeleteFunc(slices.Clone(list), func(n Name) bool { return n == name })
}

func set(m map[Name]map[Name]bool, a, b Name) {
	if m[a] == nil {
		m[a] = map[Name]bool{}
	}
	m[a][b] = true
}

func unset(m map[Name]map[Name]bool, a, b Name) {
	if delete(m[a], b); len(m[a]) == 0 {
		delete(m, a)
	}
}
