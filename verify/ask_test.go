package verify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/openflow"
)

// TestAgentAnswersNeighbours: where the agent answers for neighbours, what the pipeline renders is right; and neither the
// switch may answer there, nor the agent where the switch does.
func TestAgentAnswersNeighbours(t *testing.T) {
	for name, in := range examples(t) {
		in.AgentND = true
		asked := inputOf(in)
		if r := verify.Verify(asked); len(r.Findings) > 0 {
			t.Errorf("%s: %+v", name, r.Findings[0])
		}
		if !strings.HasPrefix(name, "dual-stack/") || len(in.Attachments) == 0 {
			continue
		}
		asked.AgentND = false
		wantFinding(t, name+": asked, though the switch should answer", asked, "answered by ND")
		in.AgentND = false
		answered := inputOf(in)
		answered.AgentND = true
		wantFinding(t, name+": answered, though the agent should", answered, "handed to the agent for an answer by ND")
	}
}

func wantFinding(t *testing.T, what string, in verify.Input, want string) {
	t.Helper()
	r := verify.Verify(in)
	if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Kind == verify.KindEntry && f.Want == want && f.Packet != "" }) {
		t.Errorf("%s: no finding that wants %q in %d: %+v", what, want, len(r.Findings), r.Findings)
	}
}

// TestQuestionMutants changes what is said with the packets that go to the agent, and which of them go: each change is found.
func TestQuestionMutants(t *testing.T) {
	in := examples(t)["dual-stack/n1"]
	in.AgentND = true
	good := inputOf(in)
	isQuestion := func(userdata string) func(openflow.Flow) bool {
		return func(f openflow.Flow) bool {
			return slices.ContainsFunc(f.Actions, func(a openflow.Action) bool {
				c, ok := a.(openflow.Controller)
				return ok && string(c.Userdata) == userdata
			})
		}
	}
	table := func(n pipeline.Table, has string) func(openflow.Flow) bool {
		return func(f openflow.Flow) bool { return f.Table == uint8(n) && strings.Contains(f.String(), has) }
	}
	ask := func(edit func(*openflow.Controller)) func(*openflow.Flow) {
		return func(f *openflow.Flow) {
			for i, a := range f.Actions {
				if c, ok := a.(openflow.Controller); ok {
					edit(&c)
					f.Actions[i] = c
				}
			}
		}
	}
	before := func(a openflow.Action) func(*openflow.Flow) {
		return func(f *openflow.Flow) { f.Actions = slices.Insert(f.Actions, 0, a) }
	}
	question := openflow.Controller{Userdata: []byte(pipeline.PurposeND), Meter: 0x300}
	for _, tt := range []struct {
		name  string
		where func(openflow.Flow) bool
		edit  func(*openflow.Flow)
	}{
		{"without an answer", isQuestion("nd"), func(f *openflow.Flow) { f.Actions = nil }},
		{"another controller", isQuestion("nd"), ask(func(c *openflow.Controller) { c.ID = 3 })},
		{"another purpose", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Userdata = []byte("dhcp4") })},
		{"no purpose", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Userdata = nil })},
		{"a copy for the log", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Userdata = []byte("flow-log") })},
		{"held", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Pause = true })},
		{"without a meter", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Meter = 0 })},
		{"DHCP's meter", isQuestion("nd"), ask(func(c *openflow.Controller) { c.Meter = 0x100 })},
		{"cut", isQuestion("nd"), ask(func(c *openflow.Controller) { c.MaxLen = 14 })},
		{"asked twice", isQuestion("nd"), before(question)},
		{"sent on, too", isQuestion("nd"), before(openflow.Output{Port: 1})},
		{"answered, too", isQuestion("nd"), before(openflow.Output{Port: openflow.PortInPort})},
		{"for another target", isQuestion("nd"), before(openflow.Set(openflow.NDTarget, 7))},
		{"from another port", isQuestion("nd"), before(openflow.Set(openflow.InPort, 7))},
		{"DHCP without a meter", isQuestion("dhcp4"), ask(func(c *openflow.Controller) { c.Meter = 0 })},
		{"DHCP as a solicitation", isQuestion("dhcp4"), ask(func(c *openflow.Controller) { c.Userdata = []byte("nd") })},
		{"one subnet without an answer", table(pipeline.TableAnswer, "nd_target=fd"), func(f *openflow.Flow) { f.Actions = nil }},
		{"what is not solicited", table(pipeline.TableAdvertise, "actions=drop"), func(f *openflow.Flow) { f.Actions = []openflow.Action{question} }},
		{"IP packets", table(pipeline.TableAnswer, "priority=100"), before(question)},
		{"what nobody routes", table(pipeline.TableAnswer, "priority=0"), before(question)},
	} {
		changed := good
		changed.Flows = slices.Clone(good.Flows)
		n := 0
		for i, f := range changed.Flows {
			if tt.where(f) {
				n++
				changed.Flows[i].Actions = slices.Clone(f.Actions)
				tt.edit(&changed.Flows[i])
			}
		}
		r := verify.Verify(changed)
		if unreachable := tt.name == "what is not solicited"; n == 0 || (len(r.Findings) == 0) != unreachable {
			t.Errorf("%s: %d flows changed, %d findings: %+v", tt.name, n, len(r.Findings), r.Findings)
		}
	}
}
