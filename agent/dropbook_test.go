package agent

import (
	"testing"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
)

// TestDropBook: the total only grows, by what flows have counted since the reading before.
func TestDropBook(t *testing.T) {
	deny := func(place string) dropRow {
		return dropRow{reason: pipeline.DropPolicyDeny, place: dataplane.Key(place)}
	}
	var b dropBook
	for i, step := range []struct {
		reading map[dropRow]uint64
		want    uint64
	}{
		{map[dropRow]uint64{deny("a"): 1000}, 0}, // of an earlier run
		{map[dropRow]uint64{deny("a"): 1003, deny("b"): 5}, 8},
		{map[dropRow]uint64{deny("b"): 6}, 9},                // a went, and its count stays
		{map[dropRow]uint64{deny("a"): 2, deny("b"): 6}, 11}, // a is back, from the start
		{map[dropRow]uint64{deny("a"): 1, deny("b"): 6}, 12}, // a was written anew
		{map[dropRow]uint64{}, 12},                           // a switch that has just started
		{map[dropRow]uint64{{reason: pipeline.DropPolicyDeny}: 0, deny("a"): 1 << 62}, 12 + 1<<62},
	} {
		b.observe(step.reading)
		if got := b.totals()["policy-deny"]; got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
	if n := len(b.totals()); n != len(pipeline.Reasons()) {
		t.Errorf("%d reasons", n)
	}
}
