package planner

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// NodeDelta says which entries of a node's plan would change, by their keys.
type NodeDelta struct {
	Node                    fabric.NodeName
	Added, Changed, Removed []string
	// Before is the plan that Delta belongs to; nil for a node that has none yet.
	Before *plan.Node
	Delta  plan.Delta
}

// Preview returns the nodes whose plans a batch would change, in order.
func Preview(v *state.View, b state.Batch) []NodeDelta {
	if b.Empty() {
		return nil
	}
	engine := compile.NewEngine(v.State)
	before, _ := engine.Flush()
	engine.Apply(steps(b.Changes)...)
	after, removed := engine.Flush()
	names := slices.AppendSeq(removed, maps.Keys(after))
	slices.Sort(names)
	var out []NodeDelta
	for _, name := range names {
		delta := plan.Diff(before[name], after[name])
		if delta.IsEmpty() {
			continue
		}
		had := map[string]bool{}
		for _, e := range plan.Entries(before[name]) {
			had[e.Key] = true
		}
		d := NodeDelta{Node: name, Removed: delta.Remove, Delta: delta}
		if was, ok := before[name]; ok {
			d.Before = &was
		}
		for _, e := range delta.Upsert {
			if had[e.Key] {
				d.Changed = append(d.Changed, e.Key)
			} else {
				d.Added = append(d.Added, e.Key)
			}
		}
		out = append(out, d)
	}
	return out
}
