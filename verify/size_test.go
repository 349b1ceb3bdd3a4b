package verify_test

import (
	"slices"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/openflow"
)

// TestSizes: flows that let larger packets through than a network or a way takes, smaller ones only, or that do something else
// with what is too large, are noticed.
func TestSizes(t *testing.T) {
	in := inputOf(golden(t, "sizes"))
	located := func(f openflow.Flow) int {
		if pipeline.Table(f.Table) != pipeline.TableLocate {
			return -1
		}
		return slices.IndexFunc(f.Actions, func(a openflow.Action) bool { _, ok := a.(openflow.CheckLarger); return ok })
	}
	checks := 0
	for i, f := range in.Flows {
		at := located(f)
		if at < 0 {
			continue
		}
		checks++
		for _, by := range []int{-1, 1, 0} {
			wrong := in
			wrong.Flows = slices.Clone(in.Flows)
			actions := slices.Clone(f.Actions)
			if check := actions[at].(openflow.CheckLarger); by != 0 {
				check.Octets = uint16(int(check.Octets) + by)
				actions[at] = check
			} else {
				actions = slices.Delete(actions, at, at+1)
			}
			wrong.Flows[i].Actions = actions
			if r := verify.Verify(wrong); !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Kind == verify.KindRoute }) {
				t.Errorf("%s: not noticed that it became %s", f, wrong.Flows[i])
			}
		}
	}
	if checks != 6 { // two ports and a route with an MTU of 1300, three narrow ways
		t.Errorf("%d rows compare sizes", checks)
	}
	for i, f := range in.Flows {
		if pipeline.Table(f.Table) != pipeline.TableTrackIn || f.Priority != 300 {
			continue
		}
		wrong := in
		wrong.Flows = slices.Delete(slices.Clone(in.Flows), i, i+1)
		if r := verify.Verify(wrong); len(r.Findings) == 0 {
			t.Error("what is too large is delivered, and nobody notices")
		}
	}
}
