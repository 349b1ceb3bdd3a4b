package agent_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/metrics"
	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/scrape"
)

// endpoint offers the running agent's metrics, until the test ends, and returns what reads them: each time past the endpoint's
// memory of the scrape before.
func (r *rig) endpoint() (scraped func() (int, string)) {
	r.t.Helper()
	l, err := scrape.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	cfg := scrape.Config[agent.Measurements]{Table: metrics.Table(), Read: r.agent.Measure, Log: r.cfg.Logger}
	go func() { ended <- scrape.Serve(ctx, l, cfg) }()
	stop := r.stop
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		stop()
	}
	r.t.Cleanup(func() { cancel() })
	transport := &http.Transport{DisableKeepAlives: true}
	return func() (int, string) {
		r.t.Helper()
		req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+l.Addr().String()+scrape.Path, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

// tells waits until a scrape has these lines.
func (r *rig) tells(scraped func() (int, string), lines ...string) {
	r.t.Helper()
	for _, want := range lines {
		r.eventually(want, func() bool {
			code, text := scraped()
			return code == http.StatusOK && strings.Contains("\n"+text, "\n"+want+"\n")
		})
	}
}

// fakeWay is an encrypted way with two tunnels, one of which is down.
type fakeWay struct{ fail error }

func (fakeWay) Apply(context.Context, overlay.Want) error { return nil }
func (fakeWay) PublicKeys() (current, next fabric.PublicKey) {
	return fabric.PublicKey{1}, fabric.PublicKey{}
}
func (fakeWay) Announce() error                       { return nil }
func (fakeWay) Switch() error                         { return nil }
func (fakeWay) SetTargets(netip.Addr, []paths.Target) {}
func (fakeWay) Changed() <-chan struct{}              { return nil }
func (fakeWay) Paths() []paths.Measured {
	return []paths.Measured{
		{Target: paths.Target{Name: "n2"}, Path: paths.Path{Up: true, Measured: true, Judged: 100, Missed: 1, RTT: time.Millisecond, MTU: 1420}},
		{Target: paths.Target{Name: "n3"}, Path: paths.Path{Judged: 4, Missed: 4, Falls: 1}},
	}
}

func (w fakeWay) Status() (overlay.Status, error) {
	if w.fail != nil {
		return overlay.Status{}, w.fail
	}
	return overlay.Status{
		Implementation: overlay.Embedded, KeySince: time.Unix(1000, 0), Counters: wireguard.Counters{Relayed: 7},
		Tunnels: []overlay.TunnelStatus{{Name: "n2", Handshake: time.Unix(2000, 0), Sent: 10, Received: 20}, {Name: "n3"}},
	}, nil
}

// encrypt puts encrypted tunnels into the plan.
func (c *fakeController) encrypt(t *testing.T) {
	t.Helper()
	err := c.change("encrypt", func() error {
		c.plan.Settings.VTEP = netip.MustParseAddr("100.92.0.1")
		c.plan.Settings.Encryption = plan.Encryption{WireGuard: true, Port: 51820, VTEPs: netip.MustParsePrefix("100.92.0.0/16"), Probe: netip.MustParseAddr("100.92.128.1")}
		for i, name := range []fabric.NodeName{"n2", "n3"} {
			c.plan.Tunnels = append(c.plan.Tunnels, plan.Tunnel{
				Name: name, VTEP: netip.AddrFrom4([4]byte{100, 92, 0, byte(i + 2)}), Probe: netip.AddrFrom4([4]byte{100, 92, 128, byte(i + 2)}),
				End: plan.TunnelEnd{Key: fabric.PublicKey{byte(i + 2)}, Endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 2)}), 51820)},
			})
		}
		c.plan.Hops = []plan.Hop{{Node: "n4", VTEP: netip.MustParseAddr("100.92.0.4"), Via: "n2"}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMeasure(t *testing.T) {
	r := newRig(t)
	r.cfg.Overlay, r.cfg.Paths = fakeWay{}, fakeWay{}
	r.run()
	r.ready()
	scraped := r.endpoint()
	r.tells(scraped, "weft_agent_ready 1", "weft_agent_controller_connected 1", "weft_agent_switch_connected 1", "weft_agent_ports 0",
		`weft_agent_info{datapath="netdev",node="n1",ovs_version="3.1.0",version="test",wireguard=""} 1`,
		`weft_agent_dropped_packets_total{reason="policy-deny"} 0`)
	if _, text := scraped(); strings.Contains(text, "weft_tunnel") {
		t.Error("a node without tunnels tells of some")
	}

	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	r.controller.encrypt(t)
	r.tells(scraped, "weft_agent_ports 1", `weft_tunnel_up{peer="n2"} 1`, `weft_tunnel_up{peer="n3"} 0`, `weft_tunnel_rtt_seconds{peer="n2"} 0.001`,
		`weft_tunnel_mtu_bytes{peer="n2"} 1420`, `weft_tunnel_probes_total{peer="n2"} 100`, `weft_tunnel_lost_probes_total{peer="n2"} 1`,
		`weft_tunnel_falls_total{peer="n3"} 1`, `weft_tunnel_sent_bytes_total{peer="n2"} 10`, `weft_tunnel_received_bytes_total{peer="n2"} 20`,
		`weft_tunnel_last_handshake_timestamp_seconds{peer="n2"} 2000`, "weft_wireguard_relayed_packets_total 7", "weft_agent_relayed_nodes 1")
	_, _, revision := r.controller.reported()
	r.tells(scraped, "weft_agent_plan_revision "+strconv.FormatUint(revision, 10), "weft_agent_enforced_revision "+strconv.FormatUint(revision, 10))

	// A scrape asks for nothing that the agent wouldn't do by itself.
	dumps := r.sw.Dumps()
	scraped()
	if now := r.sw.Dumps(); now != dumps {
		t.Errorf("a scrape made the agent read its switch: %d dumps, %d before", now, dumps)
	}

	r.controller.setAway(true)
	r.tells(scraped, "weft_agent_controller_connected 0", "weft_agent_ready 1")
	all := r.sw.Flows()
	flow := all[slices.IndexFunc(all, func(f ovs.Flow) bool { return len(f.Actions) > 0 })]
	flow.Actions = nil
	r.sw.Plant(flow)
	r.tells(scraped, "weft_agent_drifted_flows_total 1", "weft_agent_repaired_flows_total 1")
}

// TestMeasureWithoutDevice: a device that doesn't answer takes its own numbers away, and no others.
func TestMeasureWithoutDevice(t *testing.T) {
	r := newRig(t)
	r.cfg.Overlay, r.cfg.Paths = fakeWay{fail: errors.New("no device")}, fakeWay{}
	r.controller.encrypt(t)
	r.run()
	scraped := r.endpoint()
	r.tells(scraped, "weft_agent_controller_connected 1", "weft_agent_relayed_nodes 1")
	if _, text := scraped(); strings.Contains(text, "weft_tunnel") {
		t.Error("tunnels of a device that doesn't answer")
	}
}

// TestMeasureInTime: an agent that is busy, or has ended, gives an error and no old numbers.
func TestMeasureInTime(t *testing.T) {
	r := newRig(t)
	busy := agent.New(r.cfg) // it doesn't run: nobody takes the question
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := busy.Measure(ctx); err == nil || err.Error() != "the agent doesn't answer in time" {
		t.Errorf("error %v", err)
	}
	r.run()
	r.ready()
	r.stop()
	if _, err := r.agent.Measure(t.Context()); err == nil || err.Error() != "the agent is stopping" {
		t.Errorf("error %v", err)
	}
}

// TestDropsStay: the count of what was dropped doesn't fall with the flows that counted it.
func TestDropsStay(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	name, path := namespace(t)
	r.add("c1", path, fabric.Labels{"app": "web"})
	command(t, "ip", "-n", name, "addr", "add", "10.1.0.99/32", "dev", "eth0")
	// The ping asks for its gateway's MAC address in the name of an address that isn't the container's.
	if exec.Command("ip", "netns", "exec", name, "ping", "-c1", "-W1", "-I", "10.1.0.99", "10.1.0.1").Run() == nil {
		t.Error("a spoofed ping was answered")
	}
	spoofed := func() (now, total uint64) {
		now = r.status().Drops["spoof-arp"]
		m, err := r.agent.Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now, m.Dropped["spoof-arp"]
	}
	command(t, "ip", "-n", name, "link", "set", "eth0", "down")
	var before uint64
	r.eventually("the drops, all of them", func() bool {
		now, total := spoofed()
		before = total
		return now > 0 && now == total
	})
	r.server.OFCtl(t, "del-flows", "br-int")
	r.eventually("flows that have counted nothing", func() bool { now, _ := spoofed(); return now == 0 })
	if _, total := spoofed(); total < before {
		t.Errorf("%d dropped, %d before the flows were written anew", total, before)
	}
}
