package overlay

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/topology"
)

// Share is what a node has of an overlay. Its slices are sorted.
type Share struct {
	// Tunnels are the nodes that it has tunnels with, working or not.
	Tunnels []Name
	// Hops are what it reaches over relays.
	Hops []Hop
	// Relay says that it forwards for others.
	Relay bool
	// Unreached are those that it must talk with and can't.
	Unreached []Name
}

// Hop says that packets to a node go through the tunnel to another.
type Hop struct{ Node, Via Name }

// Share returns a node's share; of a node that isn't there, nothing.
func (n *Net) Share(name Name) Share {
	x, ok := n.nodes[name]
	if !ok {
		return Share{}
	}
	partners := n.partners(name)
	slices.Sort(partners)
	s := Share{Tunnels: n.tunnels(name, partners)}
	dests := make(map[Name]bool, len(partners))
	for _, p := range partners {
		dests[p] = true
	}
	switch n.spec.Type {
	case topology.OverlayHub, topology.OverlayZones:
		s.Relay = x.Core
		if x.Core {
			n.addRelayed(name, dests)
		}
	case topology.OverlayLinks:
		n.renewTransit()
		for d := range n.transit[name] {
			dests[d] = true
		}
		s.Relay = len(n.transit[name]) > 0
	default:
		s.Relay = n.relays[name] > 0
	}
	for _, d := range slices.Sorted(maps.Keys(dests)) {
		switch via := n.via(name, d); {
		case via == "" && n.talk(name, d):
			s.Unreached = append(s.Unreached, d)
		case via != "" && via != d:
			s.Hops = append(s.Hops, Hop{d, via})
		}
	}
	return s
}

// tunnels returns the nodes that a node has tunnels with.
func (n *Net) tunnels(name Name, partners []Name) []Name {
	x := n.nodes[name]
	var others []Name
	switch n.spec.Type {
	case topology.OverlayHub, topology.OverlayZones:
		// Partners within the zone, or among hubs, are linked; the rest isn't.
		others = partners
		if x.Core || len(partners) > 0 {
			others = append(slices.Clone(others), n.gatesOf(name)...)
		}
		if x.Core {
			others = append(others, n.served(x)...)
		}
	case topology.OverlayLinks:
		others = slices.Clone(n.adjacent[name])
	default:
		others = partners
	}
	others = slices.DeleteFunc(slices.Clone(others), func(o Name) bool { return !n.linked(name, o) })
	slices.Sort(others)
	if others = slices.Compact(others); len(others) == 0 {
		return nil
	}
	return others
}

// served returns the nodes that a hub or gateway has a tunnel with because they need one.
func (n *Net) served(core node) []Name {
	var out []Name
	for m := range n.members[core.Zone] {
		if !n.nodes[m].Core && n.active(m) {
			out = append(out, m)
		}
	}
	return out
}

// addRelayed adds the nodes that a hub or gateway forwards to.
func (n *Net) addRelayed(name Name, dests map[Name]bool) {
	x := n.nodes[name]
	for _, c := range n.core {
		if c != name && !n.usable(name, c, true) {
			dests[c] = true
		}
	}
	if n.spec.Type == topology.OverlayHub {
		// It has a tunnel with each of them, so only those count whose tunnel has failed or can't be.
		for _, m := range n.served(x) {
			if !n.usable(name, m, true) {
				dests[m] = true
			}
		}
		return
	}
	if n.coreFailed() {
		// Any gateway may stand in for the link between two others.
		for m := range n.nodes {
			if n.active(m) && m != name {
				dests[m] = true
			}
		}
		return
	}
	for m := range n.members[x.Zone] {
		if !n.usable(name, m, true) && m != name && n.active(m) {
			dests[m] = true
		}
		for _, p := range n.partners(m) {
			if n.nodes[p].Zone != x.Zone && p != name {
				dests[p] = true
			}
		}
	}
}

// coreFailed reports whether two gateways, or two hubs, lack a tunnel that works.
func (n *Net) coreFailed() bool {
	if n.hidden > 1 {
		return true
	}
	for l := range n.failed {
		if n.nodes[l.A].Core && n.nodes[l.B].Core {
			return true
		}
	}
	return false
}

// renewTransit finds the destinations that each node forwards to, in an overlay of listed links.
func (n *Net) renewTransit() {
	if n.transit != nil {
		return
	}
	n.transit = map[Name]map[Name]bool{}
	for a := range n.nodes {
		for _, b := range n.partners(a) {
			if a < b {
				if p := n.Path(a, b); len(p) > 2 {
					for _, relay := range p[1 : len(p)-1] {
						set(n.transit, relay, a)
						set(n.transit, relay, b)
					}
				}
			}
		}
	}
}
