package agent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
)

// When the switch refuses a row of a network's policy, the rows that are left could allow what the missing one denies.
// Nothing of that bundle takes effect then; the next one closes the network. Should the switch refuse to close it, the
// network's identities are taken away, without which nothing is allowed.

// closed returns the networks that are to be closed, in order.
func (f *flowState) closed() []fabric.NetworkID {
	out := map[fabric.NetworkID]bool{}
	for _, n := range f.suspects {
		out[n] = true
	}
	for _, r := range f.refused {
		if n, ok := pipeline.DecidesFor(r.flow); ok {
			out[n] = true
		}
		if n, ok := pipeline.Closes(r.flow); ok {
			out[n] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// shut returns the networks that the switch refuses to close.
func (f *flowState) shut() []fabric.NetworkID {
	var out []fabric.NetworkID
	for _, r := range f.refused {
		if n, ok := pipeline.Closes(r.flow); ok {
			out = append(out, n)
		}
	}
	return out
}

// needed returns what tells the operations that must not be left out: rows of policy of networks that aren't closed,
// and the closing of those that aren't shut.
func (f *flowState) needed() func(dataplane.Op) (fabric.NetworkID, bool) {
	closed, shut := f.closed(), f.shut()
	return func(op dataplane.Op) (fabric.NetworkID, bool) {
		if n, ok := pipeline.DecidesFor(op.Flow); ok {
			return n, !slices.Contains(closed, n)
		}
		if n, ok := pipeline.Closes(op.Flow); ok && op.Kind == dataplane.Add {
			return n, !slices.Contains(shut, n)
		}
		return 0, false
	}
}

// forgetRefusals forgets the refused flows that nobody wants any more, or otherwise; a network that has then no reason
// to be closed opens with the next change.
func (s *state) forgetRefusals() {
	f := &s.flows
	before := f.closed()
	maps.DeleteFunc(f.refused, func(k dataplane.Key, r refusal) bool {
		want, ok := f.renderer.Flow(k)
		return !ok || !dataplane.SameBody(want.Canonical(), r.flow)
	})
	if !slices.Equal(before, f.closed()) {
		f.dirty = true
	}
}

// closedProblems says which networks are closed.
func (s *state) closedProblems() []string {
	var out []string
	for _, n := range s.flows.closed() {
		out = append(out, fmt.Sprintf("network %s: new connections are denied, since the switch refuses a flow of its policy", s.index.refs[n]))
	}
	return out
}
