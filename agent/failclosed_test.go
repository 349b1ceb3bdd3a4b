package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/cniwire"
	"github.com/weftfabric/weft/wire/openflow"
)

// watchedFlows checks every list of operations before the switch takes it over.
type watchedFlows struct {
	agent.Flows
	check func([]dataplane.Op)
}

func (w watchedFlows) Apply(ctx context.Context, ops []dataplane.Op) error {
	err := w.Flows.Apply(ctx, ops)
	if err == nil {
		w.check(ops)
	}
	return err
}

// closes reports whether the switch has a flow that closes network 1.
func closes(sw *ovs.FakeSwitch) bool {
	for _, f := range sw.Flows() {
		if n, ok := pipeline.Closes(f.Flow); ok && n == 1 {
			return true
		}
	}
	return false
}

// TestRefusedPolicyClosesTheNetwork: while the switch refuses a row of policy, at no moment do the other rows decide
// without it.
func TestRefusedPolicyClosesTheNetwork(t *testing.T) {
	for name, named := range map[string]bool{"the switch names the row": true, "it doesn't": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var refuse, opened atomic.Bool
			deny := func(f openflow.Flow) bool {
				c, ok := pipeline.ParseCookie(f.Cookie)
				return ok && c.Drop == pipeline.DropPolicyDeny
			}
			r.sw.Refuse = func(op dataplane.Op) error {
				if refuse.Load() && op.Kind == dataplane.Add && deny(op.Flow) {
					return errors.New("OFPFMFC_UNKNOWN")
				}
				return nil
			}
			r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) {
				conn, err := r.sw.Connect(ctx)
				if err != nil {
					return nil, err
				}
				return watchedFlows{unnamed{conn, named}, func([]dataplane.Op) {
					if refuse.Load() && !closes(r.sw) {
						opened.Store(true)
					}
				}}, nil
			}
			r.run()
			r.ready()
			r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
			refuse.Store(true)
			denyRule := firewall.Rule{
				ID: 13, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Deny, Subject: firewall.Workloads{Any: true},
				Peers: firewall.Peers{Any: true}, Origin: firewall.Origin{Policy: "deny"},
			}
			edit := func(rules ...firewall.Rule) {
				_ = r.controller.change("policy", func() error {
					r.controller.plan.Tables = []firewall.Table{{Network: 1, Rules: rules}}
					return nil
				})
			}
			allow := r.controller.tables[0].Rules
			edit(append([]firewall.Rule{denyRule}, allow...)...)
			r.eventually("a closed network, reported", func() bool {
				report, enforced, revision := r.controller.reported()
				return closes(r.sw) && enforced < revision && strings.Contains(strings.Join(report.GetProblems(), "\n"), "network acme/prod: new connections are denied")
			})
			if opened.Load() {
				t.Error("rows of policy took effect without the one that was refused")
			}
			refuse.Store(false)
			edit(allow...)
			r.eventually("an open network", func() bool {
				_, enforced, revision := r.controller.reported()
				return !closes(r.sw) && enforced == revision
			})
		})
	}
}

// unnamed hides which operation the switch refused.
type unnamed struct {
	agent.Flows
	named bool
}

func (u unnamed) Apply(ctx context.Context, ops []dataplane.Op) error {
	err := u.Flows.Apply(ctx, ops)
	var no *ovs.RefusedError
	if errors.As(err, &no) && !u.named {
		return &ovs.RefusedError{Index: -1, Err: no.Err}
	}
	return err
}

// TestUnreadableFlowsOfOursAreRemoved plants flows with the fabric's cookie that hold what it never writes.
func TestUnreadableFlowsOfOursAreRemoved(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	_, path := namespace(t)
	r.add("c1", path, fabric.Labels{"app": "web"})
	want := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int"))
	r.server.OFCtl(t, "add-flow", "br-int", "cookie=0x7701000100000000,table=60,priority=60000,in_port=9,actions=note:00.01")
	r.server.OFCtl(t, "add-flow", "br-int", "cookie=0x5,table=60,priority=60001,in_port=9,actions=note:00.01")
	r.eventually("the flow of ours is gone", func() bool {
		r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}) // compares with the switch
		return !strings.Contains(r.server.OFCtl(t, "dump-flows", "br-int"), "priority=60000,")
	})
	dump := r.server.OFCtl(t, "dump-flows", "br-int")
	if !strings.Contains(dump, "cookie=0x5,") {
		t.Error("a flow of somebody else is gone")
	}
	r.server.OFCtl(t, "del-flows", "br-int", "cookie=0x5/-1")
	if got := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")); got != want {
		t.Errorf("flows before:\n%s\nafter:\n%s", want, got)
	}
}
