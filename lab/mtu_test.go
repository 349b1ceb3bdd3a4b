package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// A switch in the middle of the underlay carries less than the Fabric says, and nobody tells: the tunnels' ends find out how
// much, say so once, and take it back when the switch is replaced.
func TestUnderlayLies(t *testing.T) {
	r, _ := testLab(t, "testdata/mesh")
	liar, other := r.Nodes[0], r.Nodes[1]
	setMTU := func(mtu int) {
		t.Helper()
		if err := runIP(t.Context(), fmt.Sprintf("-n %s link set %s mtu %d", r.underlayNamespace(), liar.Name, mtu)); err != nil {
			t.Fatal(err)
		}
	}
	wantTunnel(t, r, liar, other, func(h *weftv1.TunnelHealth) bool {
		return !h.GetNarrow() && h.GetMtu() == 1440 && h.GetPlannedMtu() == 1440
	})
	setMTU(1400)
	start := time.Now()
	for _, ends := range [][2]Node{{liar, other}, {other, liar}} {
		// WireGuard takes 60 bytes and fills up to 16; a veth lets 4 more through than its MTU, for a VLAN tag.
		wantTunnel(t, r, ends[0], ends[1], func(h *weftv1.TunnelHealth) bool {
			return h.GetNarrow() && h.GetMtu() > 1400-60-16 && h.GetMtu() <= 1404-60 && h.GetState() == weftv1.TunnelHealth_STATE_UP
		})
	}
	t.Logf("found out after %v", time.Since(start).Round(time.Second))
	warned := "the tunnel from node1 to node2 carries packets of"
	wantOverlayProblem(t, r, warned, true)
	setMTU(1500)
	wantOverlayProblem(t, r, warned, false)
	b, err := os.ReadFile(filepath.Join(r.dir, "log", string(liar.Name)+"-weft-agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "a tunnel carries less than"); n != len(r.Nodes)-1 {
		t.Errorf("%d warnings in the log of %s, want one for each tunnel", n, liar.Name)
	}
}

// wantTunnel waits until a tunnel is as it should be, by what one end measures.
func wantTunnel(t *testing.T, r *Record, from, to Node, ok func(*weftv1.TunnelHealth) bool) {
	t.Helper()
	var last *weftv1.TunnelHealth
	eventuallyOverlay(t, r, func(res *weftv1.OverlayResponse) bool {
		for _, n := range res.GetNodes() {
			for _, tunnel := range n.GetTunnels() {
				if n.GetName() == string(from.Name) && tunnel.GetNode() == string(to.Name) {
					last = tunnel.GetHealth()
				}
			}
		}
		return ok(last)
	}, func() string { return fmt.Sprintf("the tunnel from %s to %s: %v", from.Name, to.Name, last) })
}

// wantOverlayProblem waits until the overlay has a problem, or doesn't.
func wantOverlayProblem(t *testing.T, r *Record, text string, want bool) {
	t.Helper()
	var last []string
	eventuallyOverlay(t, r, func(res *weftv1.OverlayResponse) bool {
		last = res.GetProblems()
		return slices.ContainsFunc(last, func(p string) bool { return strings.Contains(p, text) }) == want
	}, func() string { return fmt.Sprintf("the problems are %q", last) })
}

func eventuallyOverlay(t *testing.T, r *Record, ok func(*weftv1.OverlayResponse) bool, state func() string) {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		res, err := client.Intent.Overlay(t.Context(), connect.NewRequest(&weftv1.OverlayRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if ok(res.Msg) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(state())
		}
	}
}
