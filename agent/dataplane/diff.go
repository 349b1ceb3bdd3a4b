package dataplane

import (
	"reflect"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// OpKind says what an Op does.
type OpKind uint8

// The kinds, in the order in which a list of operations holds them: what is missing first, deletions last, so
// that at no moment less is decided by flows than before or after.
const (
	// Add adds a flow, or replaces the one with the same key.
	Add OpKind = iota + 1
	// Delete removes the flow with exactly this key.
	Delete
	// Sweep removes every flow of the flow's table with exactly its cookie. It comes before all others of a list.
	Sweep
)

// Op is one change of a bridge's flows.
type Op struct {
	Kind OpKind
	Flow openflow.Flow
}

// Diff returns the operations that turn the installed flows into the desired ones, in the order in which they
// are to be applied: additions and replacements, then deletions, each sorted by CompareFlows.
//
// Installed flows without the fabric's mark are left alone, unless a desired flow has their key: the switch
// can't hold both. A flow that is right is not touched, so that its counters live on. Nil and empty lists of
// actions are the same.
func Diff(installed, desired []openflow.Flow) []Op {
	have := make(map[Key]openflow.Flow, len(installed))
	for _, f := range installed {
		have[KeyOf(f)] = f
	}
	var adds, deletes []openflow.Flow
	wanted := make(map[Key]bool, len(desired))
	for _, f := range desired {
		k := KeyOf(f)
		if wanted[k] {
			continue
		}
		wanted[k] = true
		if old, ok := have[k]; !ok || !SameBody(old, f) {
			adds = append(adds, f)
		}
	}
	for k, f := range have {
		if !wanted[k] && Ours(f.Cookie) {
			deletes = append(deletes, f)
		}
	}
	return Ops(adds, deletes)
}

// Resync is Diff for a switch that also holds flows of ours that can't be read: of those only table and cookie are
// known. They are swept, and what else was swept with them is added again, all in one list.
func Resync(installed, unreadable, desired []openflow.Flow) []Op {
	type name struct {
		table  uint8
		cookie uint64
	}
	swept := map[name]bool{}
	var ops []Op
	for _, f := range unreadable {
		if n := (name{f.Table, f.Cookie}); Ours(f.Cookie) && !swept[n] {
			swept[n] = true
			ops = append(ops, Op{Sweep, openflow.Flow{Table: f.Table, Cookie: f.Cookie}})
		}
	}
	left := slices.DeleteFunc(slices.Clone(installed), func(f openflow.Flow) bool { return swept[name{f.Table, f.Cookie}] })
	return append(ops, Diff(left, desired)...)
}

// Ops returns operations that add (or replace) and delete flows, in the order of Diff.
func Ops(adds, deletes []openflow.Flow) []Op {
	SortFlows(adds)
	SortFlows(deletes)
	ops := make([]Op, 0, len(adds)+len(deletes))
	for _, f := range adds {
		ops = append(ops, Op{Add, f})
	}
	for _, f := range deletes {
		ops = append(ops, Op{Delete, f})
	}
	return ops
}

// SameBody reports whether two flows with one key do the same: cookie, timeouts and actions are equal.
func SameBody(a, b openflow.Flow) bool {
	return a.Cookie == b.Cookie && a.IdleTimeout == b.IdleTimeout && a.HardTimeout == b.HardTimeout &&
		slices.EqualFunc(a.Actions, b.Actions, sameAction)
}

// sameAction compares by content: an action may hold lists and pointers.
func sameAction(a, b openflow.Action) bool { return reflect.DeepEqual(a, b) }
