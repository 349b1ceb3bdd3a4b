package verify_test

import (
	"slices"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/openflow"
)

// TestNotes: copies for the flow log change nothing, wherever they stand; what only looks like one does.
func TestNotes(t *testing.T) {
	in := golden(t, "two-tenants")
	in.Plan.Settings.LogDenials = true
	for i := range in.Plan.Tables {
		for j := range in.Plan.Tables[i].Rules {
			in.Plan.Tables[i].Rules[j].Log = true
		}
	}
	logged := inputOf(in)
	copies := 0
	for _, f := range logged.Flows {
		if slices.ContainsFunc(f.Actions, func(a openflow.Action) bool { _, ok := a.(openflow.Controller); return ok }) {
			copies++
		}
	}
	if copies < 10 {
		t.Fatalf("only %d flows copy", copies)
	}
	inTally := func(f openflow.Flow) bool { return f.Table == uint8(pipeline.TableTally) }
	denies := func(f openflow.Flow) bool {
		c, _ := pipeline.ParseCookie(f.Cookie)
		return c.Drop == pipeline.DropPolicyDeny
	}
	for _, tt := range []struct {
		name  string
		where func(openflow.Flow) bool
		add   []openflow.Action
		good  bool
	}{
		{"logged", inTally, nil, true},
		{"a second copy", denies, []openflow.Action{openflow.Controller{Userdata: []byte(pipeline.PurposeFlowLog)}}, true},
		{"a copy that is held", denies, []openflow.Action{openflow.Controller{Userdata: []byte(pipeline.PurposeFlowLog), Pause: true}}, false},
		{"a question of a denied packet", denies, []openflow.Action{openflow.Controller{Userdata: []byte(pipeline.PurposeDHCPv4)}}, false},
		{"a tally that sends", inTally, []openflow.Action{openflow.Output{Port: 1}}, false},
		{"a tally that opens", inTally, []openflow.Action{openflow.Resubmit{Table: uint8(pipeline.TableCommit)}}, false},
		{"a tally that rewrites", inTally, []openflow.Action{openflow.Set(openflow.Reg5, 1)}, false},
	} {
		changed := logged
		changed.Flows = slices.Clone(logged.Flows)
		for i, f := range changed.Flows {
			if tt.where(f) {
				changed.Flows[i].Actions = append(slices.Clone(f.Actions), tt.add...)
			}
		}
		if r := verify.Verify(changed); (len(r.Findings) == 0) != tt.good {
			t.Errorf("%s: %d findings: %+v", tt.name, len(r.Findings), r.Findings)
		}
	}
}
