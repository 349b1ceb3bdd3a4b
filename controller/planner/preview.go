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
}

// Preview returns the nodes whose plans a batch would change, in order.
func Preview(v *state.View, b state.Batch) []NodeDelta {
	if b.Empty() {
		return nil
	}
	before := compile.Plans(v.State)
	after := compile.Plans(v.With(v.Revision+1, b.Changes).State)
	names := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(after))
	slices.Sort(names)
	var out []NodeDelta
	for _, name := range slices.Compact(names) {
		delta := plan.Diff(before[name], after[name])
		if delta.IsEmpty() {
			continue
		}
		had := map[string]bool{}
		for _, e := range plan.Entries(before[name]) {
			had[e.Key] = true
		}
		d := NodeDelta{Node: name, Removed: delta.Remove}
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
