package agent_test

import (
	"context"
	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/dataplane"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

func TestContainersReachEachOther(t *testing.T) {
	r := newRealRig(t)
	r.run()
	status := r.ready()
	if status.Datapath != "netdev" || status.Controller != "connected" {
		t.Errorf("status: %+v", status)
	}
	one, onePath := namespace(t)
	_, twoPath := namespace(t)
	a := r.add("c1", onePath, fabric.Labels{"app": "web"})
	b := r.add("c2", twoPath, fabric.Labels{"app": "web"})
	for _, addr := range b.Addresses {
		command(t, "ip", "netns", "exec", one, "ping", "-c1", "-W2", addr.Addr().String())
	}
	for _, gw := range a.Gateways {
		command(t, "ip", "netns", "exec", one, "ping", "-c1", "-W2", gw.String())
	}
	r.mustAsk(cniwire.Request{Check: &cniwire.Check{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}, Netns: onePath, MAC: a.MAC, Addresses: a.Addresses}})
	for range 2 {
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}})
	}
	if out := command(t, "ip", "-n", one, "-o", "link"); strings.Contains(out, "eth0") {
		t.Errorf("DEL left %s", out)
	}
	resp := r.ask(cniwire.Request{Check: &cniwire.Check{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}, Netns: onePath}})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeNotFound {
		t.Errorf("CHECK after DEL: %+v", resp.Error)
	}
}

func TestRestartTouchesNothingThatIsRight(t *testing.T) {
	r := newRealRig(t)
	mods := r.countMods()
	r.run()
	r.ready()
	_, path := namespace(t)
	first := r.add("c1", path, fabric.Labels{"app": "web"})
	r.stop()
	if mods.Load() == 0 {
		t.Fatal("no flow was installed")
	}
	before := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int"))

	for _, away := range []bool{false, true} { // with the controller, and with the plan on disk alone
		r.controller.setAway(away)
		mods.Store(0)
		r.run()
		status := r.ready()
		if again := r.add("c1", path, fabric.Labels{"app": "web"}); !slices.Equal(again.Addresses, first.Addresses) || again.MAC != first.MAC {
			t.Errorf("the same ADD gave %v, then %v", first, again)
		}
		if status.Attachments != 1 {
			t.Errorf("%d attachments were adopted", status.Attachments)
		}
		r.stop()
		if n := mods.Load(); n != 0 {
			t.Errorf("controller away %v: the restarted agent changed %d flows", away, n)
		}
	}
	if after := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")); after != before {
		t.Errorf("flows before:\n%s\nafter:\n%s", before, after)
	}
}

// flowsOnly sorts a dump of flows, and removes what changes by itself.
func flowsOnly(dump string) string {
	lines := strings.Split(regexp.MustCompile(`(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, |^OFPST.*\n`).ReplaceAllString(dump, ""), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestWhatOthersChangeIsRepaired(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	_, path := namespace(t)
	r.add("c1", path, fabric.Labels{"app": "web"})
	want := flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int"))

	r.server.OFCtl(t, "del-flows", "br-int", "table=0")
	r.server.OFCtl(t, "add-flow", "br-int", "cookie=0x7701000100000000,table=99,priority=7,actions=drop") // claims to be ours
	r.eventually("the flows of before", func() bool {
		r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}) // compares with the switch
		return flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")) == want
	})
	r.server.OFCtl(t, "add-flow", "br-int", "cookie=0x1,table=99,priority=7,actions=drop")
	r.mustAsk(cniwire.Request{Status: &cniwire.Status{}})
	if got := r.server.OFCtl(t, "dump-flows", "br-int", "table=99"); !strings.Contains(got, "cookie=0x1") {
		t.Errorf("a flow of somebody else is gone: %s", got)
	}

	r.server.StopSwitch(t)
	r.eventually("an agent that notices", func() bool { return !r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Ready })
	r.server.StartSwitch(t)
	r.ready()
	r.eventually("the flows after a restart of vswitchd", func() bool {
		return flowsOnly(r.server.OFCtl(t, "dump-flows", "br-int")) == want
	})
	r.server.VSCtl(t, "del-br", "br-int")
	r.eventually("the bridge again", func() bool {
		return strings.Contains(r.server.VSCtl(t, "list-br"), "br-int") && r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Ready
	})
}

func TestPluggedByOthersIsBound(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	plug := func(tap string, ids ...string) {
		r.server.VSCtl(t, append([]string{"add-port", "br-int", tap, "--", "set", "Interface", tap, "type=internal"}, ids...)...)
	}
	bound := func(want ...string) {
		t.Helper()
		r.eventually("bound ports "+strings.Join(want, " "), func() bool { return slices.Equal(r.controller.bound(), want) })
	}
	plug("tap0", "external_ids:iface-id=acme.vm", "external_ids:attached-mac=02:00:00:00:00:AA")
	bound("acme/vm")
	r.eventually("flows of the Port", func() bool {
		return strings.Contains(r.server.OFCtl(t, "dump-flows", "br-int", "table=0"), "dl_src=02:00:00:00:00:aa")
	})
	plug("tap1", "external_ids:iface-id=11111111-2222-5333-8444-666666666666", "external_ids:iface-status=inactive")
	r.server.VSCtl(t, "set", "Interface", "tap1", "external_ids:iface-status=active")
	bound("acme/db", "acme/vm")
	r.eventually("a dynamic address", func() bool {
		return strings.Contains(r.server.VSCtl(t, "get", "Interface", "tap1", "external_ids"), `weft-addresses="10.1.0.2,fd00:1::2"`)
	})
	r.server.VSCtl(t, "del-port", "tap0")
	bound("acme/db")

	plug("tap2", "external_ids:iface-id=acme/vm", "external_ids:attached-mac=02:00:00:00:00:99")
	r.eventually("a refusal", func() bool {
		report, _, _ := r.controller.reported()
		return report != nil && strings.Contains(strings.Join(report.Problems, "\n"), "interface tap2 is not bound: bind port acme/vm as 02:00:00:00:00:99: the controller: port acme/vm has the MAC address 02:00:00:00:00:aa, not 02:00:00:00:00:99")
	})
	bound("acme/db")
	plug("tap3", "external_ids:iface-id=somebody-elses")
	r.eventually("a second refusal", func() bool {
		report, _, _ := r.controller.reported()
		return strings.Contains(strings.Join(report.Problems, "\n"), "interface tap3 is not bound")
	})
	r.stop() // and a restarted agent adopts what is bound
	r.run()
	r.ready()
	bound("acme/db")
}

func TestTapOfAPort(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	vm := fabric.PortRef{Tenant: "acme", Name: "vm"}
	attach := cniwire.Request{Attach: &cniwire.Attach{Port: vm, Tap: "vmtap"}}
	first := r.mustAsk(attach).Interface
	if first.HostName != "vmtap" || first.MAC.String() != "02:00:00:00:00:aa" || len(first.Addresses) != 1 || first.Addresses[0].String() != "10.1.0.200/24" {
		t.Errorf("attached: %+v", first)
	}
	if again := r.mustAsk(attach).Interface; !slices.Equal(again.Addresses, first.Addresses) {
		t.Errorf("attached again: %+v", again)
	}
	resp := r.ask(cniwire.Request{Attach: &cniwire.Attach{Port: vm, Tap: "other"}})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeConflict || !strings.Contains(resp.Error.Message, "attached to interface vmtap") {
		t.Errorf("a second tap: %+v", resp.Error)
	}
	r.server.InNamespace(t, "ip", "link", "show", "vmtap")
	for range 2 {
		r.mustAsk(cniwire.Request{Detach: &cniwire.Detach{Port: vm}})
	}
	if out := r.server.InNamespace(t, "ip", "-o", "link"); strings.Contains(out, "vmtap") {
		t.Errorf("DETACH left %s", out)
	}
	r.eventually("a released Port", func() bool { return len(r.controller.bound()) == 0 })
}

// countMods counts the changes that the agent asks the switch for.
func (r *rig) countMods() *atomic.Int64 {
	var n atomic.Int64
	dial := r.cfg.Dial
	r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) {
		f, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return countingFlows{f, &n}, nil
	}
	return &n
}

type countingFlows struct {
	agent.Flows
	mods *atomic.Int64
}

func (c countingFlows) Apply(ctx context.Context, ops []dataplane.Op) error {
	c.mods.Add(int64(len(ops)))
	return c.Flows.Apply(ctx, ops)
}
