package agent_test

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// TestDrift: what somebody does to the flows by hand is noticed, told and undone, and packets go as before.
func TestDrift(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	one, onePath := namespace(t)
	_, twoPath := namespace(t)
	r.add("c1", onePath, fabric.Labels{"app": "web"})
	to := r.add("c2", twoPath, fabric.Labels{"app": "web"}).Addresses[0].Addr().String()
	pings := func() bool { return exec.Command("ip", "netns", "exec", one, "ping", "-c1", "-W1", to).Run() == nil }
	if !pings() {
		t.Fatal("no ping before")
	}
	good := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int"))
	flow := func(table uint8, has string) openflow.Flow {
		t.Helper()
		for _, f := range parsed(t, r.server.OFCtl(t, "dump-flows", "br-int", "--no-stats")) {
			if f.Table == table && strings.Contains(f.String(), has) {
				return f
			}
		}
		t.Fatalf("no flow with %q in table %d", has, table)
		return openflow.Flow{}
	}
	output := flow(0, "in_port")
	del := func(f openflow.Flow) {
		text, _, _ := strings.Cut(f.String(), " actions=")
		_, match, _ := strings.Cut(text, "priority=")
		r.server.OFCtl(t, "del-flows", "br-int", "--strict", "priority="+match+",table="+strconv.Itoa(int(f.Table)))
	}
	add := func(f openflow.Flow) { r.server.OFCtl(t, "add-flow", "br-int", f.String()) }
	for _, tt := range []struct {
		name, says string
		do         func()
	}{
		{"delete all", "flows at", func() { r.server.OFCtl(t, "del-flows", "br-int") }},
		{"delete one", "deleted a flow", func() { del(output) }},
		{"flip", "changed a flow", func() { f := output; f.Actions = nil; add(f) }},
		{"reprioritise", "added with the fabric's cookie a flow", func() { f := output; del(f); f.Priority -= 7; add(f) }},
		{"add above", "added with the fabric's cookie a flow", func() { f := output; f.Priority, f.Actions = f.Priority+1000, nil; add(f) }},
		{"widen", "added with the fabric's cookie a flow", func() { f := output; del(f); f.Match = nil; add(f) }},
		{"another cookie", "replaced a flow", func() { f := output; f.Cookie = 5; add(f) }},
		{"what can't be read", "with what the fabric never writes", func() {
			r.server.OFCtl(t, "add-flow", "br-int", "cookie=0x7701000000000001,table=0,priority=60000,dl_type=0x1234,actions=learn(table=77,priority=3)")
		}},
	} {
		start := time.Now()
		tt.do()
		r.eventually(tt.name+" repaired", func() bool { return flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")) == good })
		t.Logf("%s: repaired %v after its beginning", tt.name, time.Since(start).Round(time.Millisecond))
		r.eventually(tt.name+": ping", pings)
		r.eventually(tt.name+" told", func() bool {
			report, _, _ := r.controller.reported()
			return strings.Contains(strings.Join(report.GetProblems(), "\n"), tt.says)
		})
	}
	port := ""
	for line := range strings.Lines(r.server.VSCtl(t, "list-ports", "br-int")) {
		if strings.HasPrefix(line, "weft") && !strings.HasPrefix(line, "weft-") {
			port = strings.TrimSpace(line)
		}
	}
	r.server.OFCtl(t, "mod-port", "br-int", port, "no-forward")
	r.eventually("the port forwards again", func() bool { return !strings.Contains(r.server.OFCtl(t, "show", "br-int"), "NO_FWD") })
	r.eventually("that is told", func() bool {
		report, _, _ := r.controller.reported()
		return strings.Contains(strings.Join(report.GetProblems(), "\n"), "somebody else set no-forward of port ")
	})
	r.server.OFCtl(t, "add-flow", "br-int", "table=0,priority=1,udp,actions=drop")
	r.server.OFCtl(t, "add-flow", "br-int", "table=0,priority=1,dl_type=0x1234,actions=learn(table=77,priority=3)")
	r.server.OFCtl(t, "add-flow", "br-int", "table=250,priority=1,udp,actions=drop") // nobody gets there
	r.eventually("foreign flows told", func() bool {
		report, _, _ := r.controller.reported()
		text := strings.Join(report.GetProblems(), "\n")
		return strings.Contains(text, "it is not the fabric's to remove") && strings.Contains(text, "priority=1,udp actions=drop") &&
			strings.Contains(text, "flow in table 0 with priority 1") && !strings.Contains(text, "table=250")
	})
	r.server.OFCtl(t, "del-flows", "br-int", "cookie=0/-1")
	r.eventually("foreign flows gone", func() bool {
		report, _, _ := r.controller.reported()
		return !strings.Contains(strings.Join(report.GetProblems(), "\n"), "it is not the fabric's to remove")
	})
}

// TestSettingsDrift: what somebody sets about the bridge, fragments and meters is told and undone.
func TestSettingsDrift(t *testing.T) {
	r := newRealRig(t)
	r.cfg.Resync = time.Second // the switch tells of none of it
	r.run()
	r.ready()
	good, meters := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")), strings.Count(r.server.OFCtl(t, "dump-meters", "br-int"), "meter=")
	says := func(words string) func() bool {
		return func() bool {
			report, _, _ := r.controller.reported()
			return strings.Contains(strings.Join(report.GetProblems(), "\n"), words)
		}
	}
	for _, tt := range []struct {
		name, says string
		do         func()
		undone     func() bool
	}{
		{"fail mode", "somebody else set fail_mode standalone at", func() { r.server.VSCtl(t, "set-fail-mode", "br-int", "standalone") }, func() bool {
			return r.server.VSCtl(t, "get-fail-mode", "br-int") == "secure\n"
		}},
		{"in-band control", `somebody else set other_config:disable-in-band "" at`, func() { r.server.VSCtl(t, "remove", "Bridge", "br-int", "other_config", "disable-in-band") }, func() bool {
			return strings.Contains(r.server.VSCtl(t, "get", "Bridge", "br-int", "other_config"), "disable-in-band")
		}},
		{"protocols", "somebody else set no OpenFlow14 at", func() { r.server.VSCtl(t, "remove", "Bridge", "br-int", "protocols", "OpenFlow14") }, func() bool {
			return strings.Contains(r.server.VSCtl(t, "get", "Bridge", "br-int", "protocols"), "OpenFlow14")
		}},
		{"fragments", "somebody else set fragment mode drop of the bridge at", func() { r.server.OFCtl(t, "set-frags", "br-int", "drop") }, func() bool {
			return strings.Contains(r.server.OFCtl(t, "get-frags", "br-int"), "normal")
		}},
		{"meters", "somebody else changed ", func() { r.server.OFCtl(t, "del-meters", "br-int") }, func() bool {
			return strings.Count(r.server.OFCtl(t, "dump-meters", "br-int"), "meter=") == meters
		}},
	} {
		tt.do()
		r.eventually(tt.name+" as before", tt.undone)
		r.eventually(tt.name+" told", says(tt.says))
		r.eventually(tt.name+": flows as before", func() bool { return flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")) == good })
	}
}

// TestChangeDuringDump: what somebody changes while the switch's flows are being read is undone as well, and not only with the
// comparison that comes in any case.
func TestChangeDuringDump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Resync = 24 * time.Hour
		var during atomic.Pointer[func()]
		r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) {
			f, err := r.sw.Connect(ctx)
			return slowDump{f, &during}, err
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.agent = agent.New(r.cfg)
		done := make(chan error, 1)
		go func() { done <- r.agent.Run(ctx) }()
		r.ready()
		want := r.sw.Flows()
		plant := func(priority uint16) {
			f := want[0]
			f.Priority = priority
			r.sw.Plant(f)
		}
		late := func() {
			plant(60001)
			synctest.Wait() // until the agent has heard of it
		}
		during.Store(&late)
		plant(60000)
		time.Sleep(time.Minute) // the bubble's time
		if during.Load() != nil {
			t.Error("a change of the flows didn't lead to a comparison")
		}
		if got := r.sw.Flows(); !cmp.Equal(got, want) {
			t.Errorf("the switch holds %d flows, want %d: what was changed during the dump stayed", len(got), len(want))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// slowDump calls a function once, when the flows have been read and not told yet.
type slowDump struct {
	*ovs.FakeFlows
	during *atomic.Pointer[func()]
}

func (f slowDump) Dump(ctx context.Context) ([]ovs.Flow, error) {
	flows, err := f.FakeFlows.Dump(ctx)
	if during := f.during.Swap(nil); during != nil {
		(*during)()
	}
	return flows, err
}
