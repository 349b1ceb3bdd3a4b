package overlay

import (
	"container/heap"
	"slices"

	"github.com/weftfabric/weft/topology"
)

// Path returns the nodes on the way from one node to another, both included, or nil when there is none. Failed
// links are avoided, unless there is no way but over one.
func (n *Net) Path(a, b Name) []Name {
	// Computed from the smaller name on, so that were two ways to cost the same, both ends would choose the same.
	x, y := min(a, b), max(a, b)
	p := n.path(x, y, true)
	if p == nil {
		p = n.path(x, y, false)
	}
	if x != a {
		slices.Reverse(p)
	}
	return p
}

// via returns the first node on the way from a to b, or "".
func (n *Net) via(a, b Name) Name {
	if p := n.Path(a, b); p != nil {
		return p[1]
	}
	return ""
}

// linked reports whether the overlay has a tunnel between two nodes, working or not.
func (n *Net) linked(a, b Name) bool {
	x, ok := n.nodes[a]
	y, there := n.nodes[b]
	if !ok || !there || a == b || x.NAT && y.NAT {
		return false
	}
	switch n.spec.Type {
	case topology.OverlayHub:
		return x.Core || y.Core
	case topology.OverlayZones:
		return x.Zone != "" && x.Zone == y.Zone || x.Core && y.Core
	case topology.OverlayLinks:
		_, listed := slices.BinarySearch(n.adjacent[a], b)
		return listed
	}
	return n.talk(a, b)
}

// usable reports whether a way may lead over a link.
func (n *Net) usable(a, b Name, avoid bool) bool {
	return n.linked(a, b) && (!avoid || !n.failed[LinkOf(a, b)])
}

func (n *Net) path(a, b Name, avoid bool) []Name {
	if n.usable(a, b, avoid) {
		return []Name{a, b}
	}
	switch n.spec.Type {
	case topology.OverlayHub, topology.OverlayZones:
		if p := n.overOne(a, b, n.gates(a, b), avoid); p != nil {
			return p
		}
		if p := n.overTwo(a, b, avoid); p != nil {
			return p
		}
		return n.search(a, b, avoid)
	case topology.OverlayLinks:
		return n.search(a, b, avoid)
	}
	if len(n.lists[b])+len(n.listed[b]) < len(n.lists[a])+len(n.listed[a]) {
		p := n.overOne(b, a, n.partners(b), avoid)
		slices.Reverse(p)
		return p
	}
	return n.overOne(a, b, n.partners(a), avoid)
}

// gates returns the nodes that a way between two nodes can lead over first or last: those that relay for the one of
// them that has fewer.
func (n *Net) gates(a, b Name) []Name {
	x, y := n.gatesOf(a), n.gatesOf(b)
	if len(y) < len(x) {
		return y
	}
	return x
}

// gatesOf returns the hubs, or the gateways of a node's zone; for one of these themselves, all.
func (n *Net) gatesOf(a Name) []Name {
	x := n.nodes[a]
	if n.spec.Type == topology.OverlayHub || x.Core {
		return n.core
	}
	return n.gateways[x.Zone]
}

// overOne returns the cheapest way over one of relays.
func (n *Net) overOne(a, b Name, relays []Name, avoid bool) []Name {
	var best Name
	least := ^uint64(0)
	for _, r := range relays {
		if n.usable(a, r, avoid) && n.usable(r, b, avoid) {
			if c := n.cost(a, r) + n.cost(r, b); c < least || c == least && r < best {
				best, least = r, c
			}
		}
	}
	if best == "" {
		return nil
	}
	return []Name{a, best, b}
}

// overTwo returns the cheapest way over two hubs or gateways.
func (n *Net) overTwo(a, b Name, avoid bool) []Name {
	var best [2]Name
	least := ^uint64(0)
	last := n.gatesOf(b)
	for _, r := range n.gatesOf(a) {
		if !n.usable(a, r, avoid) {
			continue
		}
		for _, s := range last {
			if n.usable(r, s, avoid) && n.usable(s, b, avoid) {
				if c := n.cost(a, r) + n.cost(r, s) + n.cost(s, b); c < least {
					best, least = [2]Name{r, s}, c
				}
			}
		}
	}
	if best[0] == "" {
		return nil
	}
	return []Name{a, best[0], best[1], b}
}

func (n *Net) cost(a, b Name) uint64 { return cost(n.nodes[a].hash, n.nodes[b].hash) }

// neighbours returns the nodes to which a way may lead on from a node: those that relay, and its end.
func (n *Net) neighbours(a, end Name) []Name {
	if n.spec.Type == topology.OverlayLinks {
		return n.adjacent[a]
	}
	return append(slices.Clip(n.gatesOf(a)), end)
}

// search returns the cheapest way of any length (Dijkstra, 1959).
func (n *Net) search(a, b Name, avoid bool) []Name {
	from := map[Name]Name{}
	costs := map[Name]uint64{a: 0}
	done := map[Name]bool{}
	q := queue{{a, 0}}
	for len(q) > 0 {
		at := heap.Pop(&q).(reached)
		if done[at.name] {
			continue
		}
		done[at.name] = true
		if at.name == b {
			break
		}
		for _, next := range n.neighbours(at.name, b) {
			if done[next] || !n.usable(at.name, next, avoid) {
				continue
			}
			c := at.cost + n.cost(at.name, next)
			if least, ok := costs[next]; !ok || c < least {
				costs[next], from[next] = c, at.name
				heap.Push(&q, reached{next, c})
			}
		}
	}
	if !done[b] {
		return nil
	}
	path := []Name{b}
	for at := b; at != a; {
		at = from[at]
		path = append(path, at)
	}
	slices.Reverse(path)
	return path
}

// reached is a node with the cost of the cheapest way to it that is known.
type reached struct {
	name Name
	cost uint64
}

type queue []reached

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].cost < q[j].cost }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(reached)) }

// Pop takes the last one; heap.Pop has put the least there.
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
