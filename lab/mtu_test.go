package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

// The link of one node is smaller than the others': what its ways carry is what workloads are told, in both directions and both
// families, and exactly so much arrives. Ways between the others are as they were.
func TestNarrowLink(t *testing.T) {
	const link = 1420
	for _, tt := range []struct {
		name, dir  string
		leaves     int // by the node's ways
		everywhere int
	}{
		{"plain", "../examples/dual-stack", link - 50, 1450},
		{"encrypted", "testdata/mesh", (link-60)/16*16 - 50, 1390},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, topo := testLab(t, tt.dir)
			wantPredicted(t, r, topo.Intent)
			small := r.Nodes[0]
			if err := small.makeUnderlayBridge(t.Context(), link); err != nil {
				t.Fatal(err)
			}
			if err := runIP(t.Context(), fmt.Sprintf("-n %s link set eth0 mtu %d", small.Namespace, link), fmt.Sprintf("-n %s link set %s mtu %d", r.underlayNamespace(), small.Name, link)); err != nil {
				t.Fatal(err)
			}
			wantOverlayProblem(t, r, fmt.Sprintf("node %s: the link to other nodes has an MTU of %d", small.Name, link), true)
			wantEnforced(t, r)
			if tt.name == "encrypted" { // what is planned passes, so nobody is warned of a lie
				wantTunnel(t, r, small, r.Nodes[1], func(h *weftv1.TunnelHealth) bool {
					return h.GetPlannedMtu() == uint32(tt.leaves+50) && h.GetMtu() == h.GetPlannedMtu() && !h.GetNarrow()
				})
			}

			paths, err := r.Paths(topo.Intent)
			if err != nil {
				t.Fatal(err)
			}
			tried := map[string]bool{}
			for _, p := range paths {
				if !p.Ping || p.From.Node == p.To.Node || p.From.Namespace == "" {
					continue
				}
				most, kind := tt.everywhere, "elsewhere"
				switch string(small.Name) {
				case p.From.Node:
					most, kind = tt.leaves, "out"
				case p.To.Node:
					most, kind = tt.leaves, "in"
				}
				header := 28
				if p.Address.Is6() {
					header, kind = 48, kind+" by IPv6"
				}
				if tried[kind] {
					continue
				}
				tried[kind] = true
				ping := func(size int) (string, error) {
					out, err := exec.Command("ip", "netns", "exec", p.From.Namespace, "ping", "-c", "1", "-W", "5", "-M", "do", "-s", strconv.Itoa(size-header), p.Address.String()).CombinedOutput()
					return string(out), err
				}
				if out, err := ping(most); err != nil {
					t.Errorf("%s, %s to %s: %d bytes don't arrive: %s", kind, p.From.Ref(), p.To.Ref(), most, out)
				}
				if most == tt.everywhere {
					continue // the workload's own interface has no more
				}
				if out, err := ping(most + 1); err == nil || !strings.Contains(out, "mtu") {
					t.Errorf("%s, %s to %s: %d bytes, and nobody says anything: %s", kind, p.From.Ref(), p.To.Ref(), most+1, out)
				}
				route, err := exec.Command("ip", "-n", p.From.Namespace, "route", "get", p.Address.String()).CombinedOutput()
				if err != nil || !strings.Contains(string(route), fmt.Sprintf("mtu %d", most)) {
					t.Errorf("%s: the MTU was not learnt: %s", kind, route)
				}
			}
			for _, kind := range []string{"out", "in", "out by IPv6", "in by IPv6"} {
				if !tried[kind] {
					t.Errorf("no path leads %s: %v", kind, tried)
				}
			}
		})
	}
}

// wantEnforced waits until every node enforces its plan.
func wantEnforced(t *testing.T, r *Record) {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		res, err := client.Intent.ListNodes(t.Context(), connect.NewRequest(&weftv1.ListNodesRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(res.Msg.GetNodes(), func(n *weftv1.NodeInfo) bool { return n.GetEnforcedRevision() < n.GetPlannedRevision() }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not enforced: %v", res.Msg.GetNodes())
		}
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
