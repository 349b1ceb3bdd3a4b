package agent_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// answer returns the parts of the agent's answer to a question.
func (r *rig) answer(q *weftv1.Question) ([]*weftv1.AnswerRequest, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	var parts []*weftv1.AnswerRequest
	err := r.agent.Answer(ctx, q, func(p *weftv1.AnswerRequest) error {
		parts = append(parts, p)
		return nil
	})
	return parts, err
}

// inspected is an InspectPart of all parts.
func (r *rig) inspected() *weftv1.InspectPart {
	r.t.Helper()
	parts, err := r.answer(&weftv1.Question{Ask: &weftv1.Question_Inspect{Inspect: &weftv1.InspectQuestion{}}})
	if err != nil {
		r.t.Fatal(err)
	}
	all := &weftv1.InspectPart{}
	for _, p := range parts {
		i := p.GetInspect()
		if i.State != nil {
			all.State, all.Bridge = i.State, i.Bridge
		}
		all.Plan, all.Ports = append(all.Plan, i.Plan...), append(all.Ports, i.Ports...)
		all.Flows, all.Groups = append(all.Flows, i.Flows...), append(all.Groups, i.Groups...)
	}
	return all
}

// TestInspect: what the agent tells of its switch is what the switch tells.
func TestInspect(t *testing.T) {
	r := newRealRig(t)
	r.cfg.Switch = ovs.Dialer{RunDir: r.server.Dir, Bridge: ovs.DefaultBridge}
	r.run()
	r.ready()
	_, path := namespace(t)
	iface := r.add("c1", path, fabric.Labels{"app": "web"})
	r.server.VSCtl(t, "--", "--id=@m", "create", "Mirror", "name=span", "select_all=true", "output_vlan=7", "--", "set", "Bridge", "br-int", "mirrors=@m")
	r.server.OFCtl(t, "add-group", "br-int", "group_id=7,type=all,bucket=actions=output:1")
	r.server.OFCtl(t, "add-flow", "br-int", "table=200,priority=1,actions=group:7")
	r.server.OFCtl(t, "add-flow", "br-int", "table=201,priority=2,actions=learn(table=202,priority=3)")

	got := r.inspected()
	want, lines := parsed(t, r.server.OFCtl(t, "dump-flows", "br-int", "--no-stats")), parsed(t, string(got.Flows))
	if !slices.EqualFunc(lines, want, openflow.Flow.Equal) {
		t.Errorf("the agent tells\n%v\nthe switch\n%v", lines, want)
	}
	s := got.State
	if sum := sha256.Sum256(got.Flows); string(sum[:]) != string(s.FlowsSha256) || !s.Settled || s.TunnelPort == 0 || len(s.Unreadable) != 1 ||
		!strings.Contains(s.Unreadable[0], "table=201, priority=2") || s.FlowCount != uint32(len(lines)+1) || s.EnforcedRevision != s.PlanRevision {
		t.Errorf("state: %v", s)
	}
	if text := string(got.Groups); !strings.HasPrefix(text, "group_id=7,type=all,bucket=") {
		t.Errorf("groups: %q", text)
	}
	b := got.Bridge
	if b.GetName() != "br-int" || b.GetFailMode() != "secure" || b.GetFragments() != "normal" || b.GetOtherConfig()["disable-in-band"] != "true" ||
		len(b.GetTunnels()) != 1 || b.GetTunnels()[0].Options["remote_ip"] != "flow" || len(b.GetMirrors()) != 1 || b.GetMirrors()[0].Output != "VLAN 7" {
		t.Errorf("bridge: %v", b)
	}
	entries, err := planwire.FromProtos(got.Plan)
	if err != nil {
		t.Fatal(err)
	}
	n, err := plan.Apply(plan.Node{Name: "n1"}, plan.Delta{Upsert: entries})
	if err != nil {
		t.Fatal(err)
	}
	if hash := plan.Hash(n); string(hash[:]) != string(s.PlanHash) {
		t.Error("the plan that is told has another hash than the one that is told")
	}
	if !slices.ContainsFunc(got.Ports, func(p *weftv1.InspectPort) bool {
		return p.ExternalIds["attached-mac"] == iface.MAC.String() && p.Ofport > 0
	}) {
		t.Errorf("ports: %v", got.Ports)
	}

	parts, err := r.answer(&weftv1.Question{Ask: &weftv1.Question_Trace{Trace: &weftv1.TraceQuestion{Packets: []*weftv1.TracePacket{{Packet: "in_port=99,arp"}}}}})
	if err != nil || len(parts) != 1 || !strings.Contains(parts[0].GetTrace().Text, "Datapath actions: drop") {
		t.Errorf("trace: %v %v", parts, err)
	}
	for _, bad := range []string{"in_port=1 -generate", "-generate", "", "in_port=1\n"} {
		if _, err := r.answer(&weftv1.Question{Ask: &weftv1.Question_Trace{Trace: &weftv1.TraceQuestion{Packets: []*weftv1.TracePacket{{Packet: bad}}}}}); err == nil {
			t.Errorf("%q was traced", bad)
		}
	}
}

// parsed reads a dump of flows, in order; those that are none of the fabric's language are left out.
func parsed(t *testing.T, dump string) []openflow.Flow {
	t.Helper()
	var out []openflow.Flow
	for line := range strings.Lines(dump) {
		if strings.Contains(line, "learn(") || strings.HasPrefix(line, "OFPST") {
			continue
		}
		f, err := openflow.ParseFlow(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	slices.SortFunc(out, openflow.Flow.Compare)
	return out
}
