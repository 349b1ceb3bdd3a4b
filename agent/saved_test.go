package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// status asks the agent for its state.
func (r *rig) status() *cniwire.AgentStatus {
	r.t.Helper()
	return r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status
}

// TestPlanOnDiskRebuildsTheSwitch: an agent without a controller makes an empty switch what it was, and tells the age of
// the plan.
func TestPlanOnDiskRebuildsTheSwitch(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	if s := r.status(); s.Plan == nil || s.Plan.FromDisk || time.Since(s.Plan.Confirmed) > time.Minute {
		t.Errorf("connected: %+v", s.Plan)
	}
	before := r.sw.Flows()
	r.stop()
	r.controller.setAway(true)
	r.sw.Restart(nil)
	old := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(r.cfg.PlanFile, old, old); err != nil {
		t.Fatal(err)
	}
	r.db.Reconnect() // tells the new agent what it holds
	r.run()
	r.eventually("the flows of before", func() bool { return sameFlows(r.sw.Flows(), before) })
	s := r.status()
	if s.Plan == nil || !s.Plan.FromDisk || !s.Plan.Confirmed.Equal(old) || !strings.Contains(s.Controller, "the controller is away") {
		t.Errorf("with the plan on disk alone: %+v, controller %q", s.Plan, s.Controller)
	}
	r.controller.setAway(false)
	r.eventually("a confirmed plan", func() bool { p := r.status().Plan; return !p.FromDisk && time.Since(p.Confirmed) < time.Minute })
}

// sameFlows compares without counters.
func sameFlows(a, b []ovs.Flow) bool {
	text := func(flows []ovs.Flow) string {
		var out strings.Builder
		for _, f := range flows {
			out.WriteString(f.String() + "\n")
		}
		return out.String()
	}
	return text(a) == text(b)
}

// TestDamagedPlanIsNotUsed truncates the saved plan and flips its bits: the agent says so, leaves the switch as it is,
// and goes on with the controller's.
func TestDamagedPlanIsNotUsed(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	r.stop()
	good, err := os.ReadFile(r.cfg.PlanFile)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		b := append([]byte{}, good...)
		b[at] ^= 0x10
		return b
	}
	before := r.sw.Flows()
	for name, content := range map[string][]byte{
		"empty": {}, "cut in its header": good[:20], "cut in its body": good[:len(good)-1],
		"a bit of its header": flipped(3), "a bit of its sum": flipped(30), "a bit of its body": flipped(len(good) / 2), "its last bit": flipped(len(good) - 1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(r.cfg.PlanFile, content, 0o600); err != nil {
				t.Fatal(err)
			}
			r.controller.setAway(true)
			r.db.Reconnect()
			r.run()
			r.eventually("the report of the damage", func() bool {
				s := r.status()
				return s.Plan == nil && !s.Ready && strings.Contains(strings.Join(s.Problems, "\n"), "the saved plan "+r.cfg.PlanFile+" is not used")
			})
			if !sameFlows(r.sw.Flows(), before) {
				t.Error("the flows have changed")
			}
			r.controller.setAway(false)
			r.ready()
			if s := r.status(); strings.Contains(strings.Join(s.Problems, "\n"), "saved plan") {
				t.Errorf("problems: %v", s.Problems)
			}
			r.stop()
			if b, err := os.ReadFile(r.cfg.PlanFile); err != nil || len(b) != len(good) {
				t.Errorf("the plan was not saved again: %d bytes, %v", len(b), err)
			}
		})
	}
	if left, _ := filepath.Glob(r.cfg.PlanFile + ".*"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}
