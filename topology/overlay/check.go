package overlay

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// maxTunnels is how many tunnels a way may lead through: a relay takes one from the outer TTL of 64.
const maxTunnels = 60

// Finding is why an overlay doesn't fit the nodes: at a field of the Fabric, such as spec.overlay.hub.
type Finding struct {
	Field   string
	Message string
}

// Known is a node that is registered.
type Known struct {
	Labels fabric.Labels
	NAT    bool
}

// Check returns why an overlay can't join all of nodes, at most one finding of each sort, in order of their fields. It
// doesn't look at who must talk: a network may grow to any node.
func Check(o topology.Overlay, nodes map[Name]Known) []Finding {
	c := checker{overlay: o, nodes: nodes, names: slices.Sorted(maps.Keys(nodes)), net: New(o)}
	for name, k := range nodes {
		x := Role(o, name, k.Labels)
		x.NAT = k.NAT
		c.net.SetNode(name, x)
	}
	switch o.Type {
	case topology.OverlayHub:
		c.hubs()
	case topology.OverlayZones:
		c.zones()
	case topology.OverlayLinks:
		c.links()
	}
	return c.findings
}

type checker struct {
	overlay  topology.Overlay
	nodes    map[Name]Known
	names    []Name
	net      *Net
	findings []Finding
}

func (c *checker) find(field, format string, args ...any) {
	c.findings = append(c.findings, Finding{"spec.overlay." + field, fmt.Sprintf(format, args...)})
}

func (c *checker) hubs() {
	for i, name := range c.overlay.Hub.Nodes {
		if _, ok := c.nodes[Name(name)]; !ok {
			c.find(fmt.Sprintf("hub.nodes[%d]", i), "is %s, which is not a registered node: correct the name, or let it join first; registered: %s", name, few(c.names))
			return
		}
	}
	if len(c.net.core) == 0 {
		c.find("hub.selector", "selects none of the %d registered nodes: label a node, at the start of its agent", len(c.nodes))
		return
	}
	c.reach("hub", "there is no hub that both can reach")
}

func (c *checker) zones() {
	label := c.overlay.Zones.Label
	var without []Name
	for _, name := range c.names {
		if c.net.nodes[name].Zone == "" {
			without = append(without, name)
		}
	}
	if len(without) > 0 {
		c.find("zones.label", "is %s, which %s: start their agents with the label, or choose another", label, nodesLack(without))
		return
	}
	if len(c.net.members) > 1 {
		for _, zone := range slices.Sorted(maps.Keys(c.net.members)) {
			if len(c.net.gateways[zone]) == 0 {
				c.find("zones.gateways", "selects no node of zone %s (%s): label one of them", zone, few(slices.Sorted(maps.Keys(c.net.members[zone]))))
				return
			}
		}
	}
	c.reach("zones", "there are no gateways that join them")
}

func (c *checker) links() {
	for i, l := range c.overlay.Links {
		for _, name := range []string{l.From, l.To} {
			if _, ok := c.nodes[Name(name)]; !ok {
				c.find(fmt.Sprintf("links[%d]", i), "names %s, which is not a registered node: correct the name, or let it join first; registered: %s", name, few(c.names))
				return
			}
		}
	}
	c.reach("links", "there are no links that join them")
}

// reach finds two nodes without a way, or with one that is too long, by a walk from the first node that relays.
func (c *checker) reach(field, why string) {
	if len(c.names) == 0 {
		return
	}
	first := c.names[0]
	if len(c.net.core) > 0 {
		first = c.net.core[0]
	} else if hidden := c.hidden(); c.overlay.Type == topology.OverlayZones && len(hidden) > 1 {
		c.find(field, "leaves %s and %s without a way: both are behind NAT, and there are no gateways", hidden[0], hidden[1])
		return
	}
	far := map[Name]int{first: 0}
	for todo := []Name{first}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		for _, next := range c.onward(at, at == first) {
			if _, seen := far[next]; !seen && c.net.linked(at, next) {
				far[next] = far[at] + 1
				todo = append(todo, next)
			}
		}
	}
	for _, name := range c.names {
		switch d, ok := far[name]; {
		case !ok:
			c.find(field, "leaves %s and %s without a way: %s", first, name, why)
			return
		case 2*d > maxTunnels:
			c.find(field, "leads from %s to %s through %d tunnels: at most %d from any node keep all ways within a packet's life", first, name, d, maxTunnels/2)
			return
		}
	}
}

// hidden returns the nodes that are behind NAT, in order.
func (c *checker) hidden() []Name {
	return slices.DeleteFunc(slices.Clone(c.names), func(n Name) bool { return !c.nodes[n].NAT })
}

// onward returns the nodes that a way may lead to from one.
func (c *checker) onward(at Name, first bool) []Name {
	switch {
	case c.overlay.Type == topology.OverlayLinks:
		return c.net.adjacent[at]
	case first || c.net.nodes[at].Core:
		return c.names
	}
	return nil
}

func nodesLack(names []Name) string {
	if len(names) == 1 {
		return "node " + string(names[0]) + " doesn't have"
	}
	return fmt.Sprintf("%d nodes don't have (%s)", len(names), few(names))
}

// few lists the first of names.
func few(names []Name) string {
	const most = 5
	var out []string
	for _, n := range names[:min(most, len(names))] {
		out = append(out, string(n))
	}
	if len(names) > most {
		out = append(out, "...")
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
