package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/metrics"
	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/scrape/scrapetest"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// whole has a value for every metric: a tunnel that is well, one that is down, and one that is new.
func whole() agent.Measurements {
	return agent.Measurements{
		Node: "n1", Version: "v1.2.3", Datapath: "netdev", OVS: "3.1.0", Ready: true, Problems: 2, Controller: true, Switch: true,
		Plan: 41, Enforced: 40, PlanConfirmed: noon, Expires: noon.Add(240 * time.Hour), Ports: 7, Flows: 210, Refused: 1, ClosedNetworks: 1, Compared: noon.Add(-1500 * time.Millisecond),
		Dropped: map[string]uint64{"policy-deny": 12, "spoof-mac": 0}, Drifted: 5, Repaired: 4, ForeignFlows: 3, Relayed: 1,
		WireGuard: &agent.MeasuredWireGuard{Implementation: overlay.Embedded, KeySince: noon.Add(-time.Hour), Counters: &wireguard.Counters{Relayed: 9, Expired: 1, Full: 2, Foreign: 3}},
		Tunnels: []agent.MeasuredTunnel{
			{
				TunnelStatus: overlay.TunnelStatus{Name: "n2", Handshake: noon.Add(-time.Minute), Received: 1 << 40, Sent: 4096},
				Path:         &paths.Path{Up: true, Measured: true, Judged: 1000, Missed: 5, RTT: 1234 * time.Microsecond, MTU: 1420, Falls: 1},
			},
			{
				TunnelStatus: overlay.TunnelStatus{Name: "n3", Handshake: noon.Add(-time.Hour), Received: 10, Sent: 20},
				Path:         &paths.Path{Measured: true, Judged: 10, Missed: 4, RTT: time.Second, Falls: 1},
			},
			{TunnelStatus: overlay.TunnelStatus{Name: "n4"}, Path: &paths.Path{Up: true}},
		},
	}
}

func TestText(t *testing.T) {
	scrapetest.Golden(t, metrics.Table(), "testdata/whole.prom", scrapetest.Text(t, metrics.Table(), whole()))
}

// TestUnknownIsAbsent: an agent that has just started tells no number that it doesn't know.
func TestUnknownIsAbsent(t *testing.T) {
	text := scrapetest.Text(t, metrics.Table(), agent.Measurements{Node: "n1"})
	for _, name := range []string{"weft_tunnel_", "weft_wireguard_", "_timestamp_seconds"} {
		if strings.Contains(text, name) {
			t.Errorf("%s in %s", name, text)
		}
	}
	kernel := whole()
	kernel.WireGuard.Implementation, kernel.WireGuard.Counters = overlay.Kernel, nil
	if text := scrapetest.Text(t, metrics.Table(), kernel); strings.Contains(text, "_packets_total 9") || strings.Contains(text, "weft_wireguard_dropped") {
		t.Errorf("counters that the kernel doesn't have: %s", text)
	}
}

// TestLabels: what other programs say can't break a scrape.
func TestLabels(t *testing.T) {
	m := whole()
	m.OVS = "3.1\"\n\\\xff" + strings.Repeat("x", 1000)
	text := scrapetest.Text(t, metrics.Table(), m)
	want := `ovs_version="3.1\"\n\\` + strings.Repeat("x", 121) + `"`
	if !strings.Contains(text, want) {
		t.Errorf("no %s in %.400s", want, text)
	}
}

func TestDocumented(t *testing.T) {
	scrapetest.Documented(t, metrics.Table(), "../../docs/metrics.md", "### An agent's")
}
