package edit

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/topology"
)

// DefaultApplySet is the set of objects whose apply names none.
const DefaultApplySet = "default"

// Verb says what happens to an object.
type Verb uint8

// The verbs.
const (
	Added Verb = iota + 1
	Changed
	Removed
	Unchanged
)

// ObjectChange is what happens to one object. Before is nil for Added, After for Removed.
type ObjectChange struct {
	Verb          Verb
	Key           topology.Key
	Before, After *topology.Object
}

// Result is what a request for declared objects comes to.
type Result struct {
	Batch state.Batch
	// Changes are sorted by key, and include the objects that stay as they are.
	Changes []ObjectChange
	// Problems are warnings, or the errors that keep Batch empty.
	Problems topology.Problems
}

// Input is a request to declare objects.
type Input struct {
	Sources []topology.Source
	// Prune removes the objects of ApplySet that are not in Sources.
	Prune    bool
	ApplySet string
	// Workloads are those that the nodes reported.
	Workloads []Workload
}

// Apply declares the objects of sources in addition to those of the view.
func Apply(v *state.View, in Input) Result {
	if in.ApplySet == "" {
		in.ApplySet = DefaultApplySet
	}
	objects, _, problems := topology.Decode(in.Sources)
	after := v.Intent.With(objects...)
	var gone []topology.Key
	if in.Prune {
		gone = pruned(v, objects, in.ApplySet)
		refused := referenced(after, gone)
		if problems = append(problems, refused...); len(refused) == 0 {
			after = after.Without(gone...)
		}
	}
	problems = tidy(append(problems, topology.Validate(after)...))
	r := Result{Changes: objectChanges(v.Intent, objects, gone), Problems: problems}
	if problems.Err() != nil {
		return r
	}
	return r.finish(v, after, in)
}

// Delete removes objects. Those that refer to each other can go together.
func Delete(v *state.View, keys []topology.Key, workloads []Workload) Result {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, topology.Key.Compare)
	keys = slices.Compact(keys)
	var r Result
	var present []topology.Key
	for _, k := range keys {
		if v.Intent.Get(k) == nil {
			r.Problems = append(r.Problems, topology.Problem{Severity: topology.SeverityError, Message: fmt.Sprintf("%s does not exist", k)})
			continue
		}
		present = append(present, k)
	}
	r.Changes = objectChanges(v.Intent, nil, present)
	r.Problems = append(r.Problems, referenced(v.Intent, present)...)
	if r.Problems.Err() != nil {
		return r
	}
	after := v.Intent.Without(present...)
	if r.Problems = topology.Validate(after); r.Problems.Err() != nil {
		return r
	}
	return r.finish(v, after, Input{Workloads: workloads})
}

// finish fills in the batch: objects, and what is allocated for them.
func (r Result) finish(v *state.View, after *topology.Intent, in Input) Result {
	revision := v.Revision + 1
	for _, c := range r.Changes {
		switch c.Verb {
		case Removed:
			r.Batch.Changes = append(r.Batch.Changes, state.Change{Change: compile.Change{ObjectGone: &c.Key}})
		case Added, Changed:
			r.Batch.Changes = append(r.Batch.Changes, state.Change{
				Change: compile.Change{Object: c.After}, Meta: state.ObjectMeta{Revision: revision, ApplySet: in.ApplySet}})
		case Unchanged:
			// Where it stands in the files, and whose it is, may be new all the same: errors and prune use it.
			meta := v.Objects[c.Key]
			if c.Before.Origin == c.After.Origin && rulesAtSameLines(c.Before, c.After) && meta.ApplySet == in.ApplySet {
				continue
			}
			meta.ApplySet = in.ApplySet
			r.Batch.Changes = append(r.Batch.Changes, state.Change{Change: compile.Change{Object: c.After}, Meta: meta})
		}
	}
	allocated, refused := allocate(v, after, in.Workloads)
	r.Problems = tidy(append(r.Problems, refused...))
	if r.Problems.Err() != nil {
		r.Batch = state.Batch{}
		return r
	}
	r.Batch.Changes = append(r.Batch.Changes, allocated...)
	return r
}

func rulesAtSameLines(a, b *topology.Object) bool {
	return slices.Equal(a.RuleLines.Ingress, b.RuleLines.Ingress) && slices.Equal(a.RuleLines.Egress, b.RuleLines.Egress)
}

// pruned returns the objects of a set that are not among objects, in order.
func pruned(v *state.View, objects []*topology.Object, set string) []topology.Key {
	keep := make(map[topology.Key]bool, len(objects))
	for _, o := range objects {
		keep[o.Key] = true
	}
	var gone []topology.Key
	for _, o := range v.Intent.Objects() {
		if !keep[o.Key] && v.Objects[o.Key].ApplySet == set {
			gone = append(gone, o.Key)
		}
	}
	return gone
}

// referenced returns an error for each object that can't go because one that stays refers to it.
func referenced(i *topology.Intent, gone []topology.Key) topology.Problems {
	going := make(map[topology.Key]bool, len(gone))
	for _, k := range gone {
		going[k] = true
	}
	var problems topology.Problems
	for _, k := range gone {
		for _, by := range i.References(k) {
			if going[by] {
				continue
			}
			o := i.Get(by)
			problems = append(problems, topology.Problem{
				Severity: topology.SeverityError, File: o.Origin.File, Line: o.Origin.Line,
				Message: fmt.Sprintf("%s can't be deleted: it is referenced by %s; delete or change that first, or both together", k, by),
			})
		}
	}
	return problems
}

// objectChanges compares objects and the keys of removed ones with an intent, in order of their keys.
func objectChanges(before *topology.Intent, objects []*topology.Object, gone []topology.Key) []ObjectChange {
	var out []ObjectChange
	for _, o := range objects {
		c := ObjectChange{Verb: Added, Key: o.Key, Before: before.Get(o.Key), After: o}
		if c.Before != nil {
			c.Verb = Changed
			if c.Before.Equal(o) {
				c.Verb = Unchanged
			}
		}
		out = append(out, c)
	}
	for _, k := range gone {
		out = append(out, ObjectChange{Verb: Removed, Key: k, Before: before.Get(k)})
	}
	slices.SortFunc(out, func(a, b ObjectChange) int { return a.Key.Compare(b.Key) })
	return slices.CompactFunc(out, func(a, b ObjectChange) bool { return a.Key == b.Key })
}

// tidy sorts problems, each once.
func tidy(p topology.Problems) topology.Problems {
	slices.SortFunc(p, topology.Problem.Compare)
	return slices.Compact(p)
}
