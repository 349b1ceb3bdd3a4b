package edit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// LinkProblem says in what a node's link falls short of what is declared: of the Fabric's underlayMTU, and of networks that
// can't have what they need there. It is empty for a link that is large enough, or isn't known.
func LinkProblem(v *state.View, name fabric.NodeName) string {
	s, n := v.Intent.Settings(), v.Nodes[name]
	leaves := compile.NodeMTU(s, n)
	var unfit []string
	for _, network := range v.Intent.Networks() {
		if need, _ := needs(network); need > leaves {
			unfit = append(unfit, network.Ref().String())
		}
	}
	var b strings.Builder
	if narrow(s, n) {
		fmt.Fprintf(&b, "the link to other nodes has an MTU of %d, but the Fabric's spec.underlayMTU is %d", n.MTU, s.UnderlayMTU)
	} else if len(unfit) > 0 {
		fmt.Fprintf(&b, "other nodes are reached by %s", s.Underlay(n.VTEP.Is6()))
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, ": its ways leave %d bytes to workloads", leaves)
	}
	if len(unfit) > 0 {
		fmt.Fprintf(&b, ", too little for %s", strings.Join(unfit, ", "))
	}
	return b.String()
}

// narrow reports whether a node's link carries less than is declared.
func narrow(s topology.FabricSpec, n compile.NodeState) bool {
	return compile.LinkMTU(s, n) < s.UnderlayMTU
}

// needs returns what a network must have on each way, and the field that says so.
func needs(n *topology.Network) (mtu int, field string) {
	if n.Spec.MTU > 0 {
		return n.Spec.MTU, "spec.mtu"
	}
	return n.LeastMTU(), "spec.subnets"
}

// sizes refuses what the links of the registered nodes can't carry. What could not be carried before is left to be shown: a
// node whose link is small must not keep others from being changed.
func (a *allocator) sizes() {
	before, after := a.view.Intent.Settings(), a.after.Settings()
	names := slices.Sorted(maps.Keys(a.view.Nodes))
	among := func(unfit func(compile.NodeState) bool) (out []fabric.NodeName) {
		for _, name := range names {
			if unfit(a.view.Nodes[name]) {
				out = append(out, name)
			}
		}
		return out
	}
	if after.UnderlayMTU > before.UnderlayMTU {
		if on := among(func(n compile.NodeState) bool { return narrow(after, n) }); len(on) > 0 {
			a.refuseAt(topology.Key{Kind: topology.KindFabric, Name: topology.FabricName}, "spec.underlayMTU",
				"is %d, but the link of %s: enlarge it first, or declare that", after.UnderlayMTU, a.links(on))
		}
	}
	for _, network := range a.after.Networks() {
		need, field := needs(network)
		needed := 0
		if was := a.view.Intent.Network(network.Ref()); was != nil {
			needed, _ = needs(was)
		}
		on := among(func(n compile.NodeState) bool {
			return need > compile.NodeMTU(after, n) && (needed == 0 || needed <= compile.NodeMTU(before, n))
		})
		if len(on) == 0 {
			continue
		}
		n := a.view.Nodes[on[0]]
		a.refuseAt(networkKey(network.Ref()), field, "needs packets of %d bytes, but ways of %s leave %d: the underlay carries %d there, and %s takes the rest",
			need, nodeList(on), compile.NodeMTU(after, n), compile.LinkMTU(after, n), after.Underlay(n.VTEP.Is6()))
	}
}

// links says which MTU the links of nodes have.
func (a *allocator) links(on []fabric.NodeName) string {
	out := make([]string, len(on))
	for i, name := range on {
		out[i] = fmt.Sprintf("node %s has %d", name, a.view.Nodes[name].MTU)
	}
	return strings.Join(out, ", of ")
}

// refuseAt reports a problem at a field.
func (a *allocator) refuseAt(k topology.Key, field, format string, args ...any) {
	p := topology.Problem{Severity: topology.SeverityError, Message: fmt.Sprintf("%s: %s %s", k, field, fmt.Sprintf(format, args...))}
	if o := a.after.Get(k); o != nil {
		p.File, p.Line = o.Origin.File, o.Line(field)
	}
	a.problems = append(a.problems, p)
}
