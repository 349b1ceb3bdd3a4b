package overlay

import "github.com/weftfabric/weft/topology"

// Dirty returns the nodes whose Share may differ from what it was at the last call, those that are gone among them,
// in no order.
func (n *Net) Dirty() []Name {
	n.renewDetours()
	out := make([]Name, 0, len(n.dirty))
	for name := range n.dirty {
		out = append(out, name)
	}
	clear(n.dirty)
	return out
}

func (n *Net) touch(names ...Name) {
	for _, name := range names {
		n.dirty[name] = true
	}
}

func (n *Net) touchAll() {
	n.transit = nil
	for name := range n.nodes {
		n.dirty[name] = true
	}
}

// touchAround marks what depends on a node's being there, and on what it is.
func (n *Net) touchAround(name Name) {
	if n.spec.Type == topology.OverlayLinks || n.nodes[name].Core {
		n.touchAll()
	}
	n.touch(name)
	for _, p := range n.partners(name) {
		n.touchPair(name, p)
	}
}

// touchPair marks what depends on whether two nodes must talk.
func (n *Net) touchPair(a, b Name) {
	n.touch(a, b)
	switch n.spec.Type {
	case topology.OverlayHub, topology.OverlayZones:
		// Their hubs or gateways have tunnels with nodes that must talk at all, and hops to those that their zones need.
		n.touch(n.serving(a)...)
		n.touch(n.serving(b)...)
		if n.coreFailed() {
			n.touch(n.core...)
		}
	case topology.OverlayLinks:
		n.touchAll()
	}
}

// touchLink marks what depends on whether a link works.
func (n *Net) touchLink(l Link) {
	a, b := n.nodes[l.A], n.nodes[l.B]
	n.touch(l.A, l.B)
	switch {
	case n.spec.Type == topology.OverlayLinks || a.Core && b.Core:
		n.touchAll()
	case a.Core:
		n.touchBehind(l.B)
	case b.Core:
		n.touchBehind(l.A)
	}
}

// serving returns the hubs, or the gateways of a node's zone, of which the node itself may be one.
func (n *Net) serving(name Name) []Name {
	if n.spec.Type == topology.OverlayHub {
		return n.core
	}
	return n.gateways[n.nodes[name].Zone]
}

// touchBehind marks those who reach a node over hubs or gateways, and the relays of theirs.
func (n *Net) touchBehind(name Name) {
	if n.spec.Type == topology.OverlayHub || n.coreFailed() {
		n.touch(n.core...)
	}
	n.touch(n.serving(name)...)
	for _, p := range n.partners(name) {
		n.touch(p)
		n.touch(n.serving(p)...)
	}
}

// renewDetours chooses relays in a mesh, anew for the pairs of dirty nodes. A choice depends on the tunnels of the two
// ends alone, and what changes these has marked an end.
func (n *Net) renewDetours() {
	if n.spec.Type == topology.OverlayHub || n.spec.Type == topology.OverlayZones || n.spec.Type == topology.OverlayLinks {
		return
	}
	dirty := make([]Name, 0, len(n.dirty))
	for name := range n.dirty {
		dirty = append(dirty, name)
	}
	for _, a := range dirty {
		for b := range n.detours[a] {
			n.setDetour(a, b, "")
		}
		for _, b := range n.partners(a) {
			if n.usable(a, b, true) {
				continue
			}
			if p := n.Path(a, b); len(p) == 3 {
				n.setDetour(a, b, p[1])
			}
		}
	}
}

// setDetour notes the relay of a pair; none when it is empty. Both ends and the relays before and after may change.
func (n *Net) setDetour(a, b, relay Name) {
	if was, ok := n.detours[a][b]; ok {
		n.relays[was]--
		n.touch(was)
		n.dropDetour(a, b)
		n.dropDetour(b, a)
	}
	if relay == "" {
		n.touch(a, b)
		return
	}
	n.relays[relay]++
	n.touch(a, b, relay)
	n.noteDetour(a, b, relay)
	n.noteDetour(b, a, relay)
}

func (n *Net) noteDetour(a, b, relay Name) {
	if n.detours[a] == nil {
		n.detours[a] = map[Name]Name{}
	}
	n.detours[a][b] = relay
}

func (n *Net) dropDetour(a, b Name) {
	if delete(n.detours[a], b); len(n.detours[a]) == 0 {
		delete(n.detours, a)
	}
}
