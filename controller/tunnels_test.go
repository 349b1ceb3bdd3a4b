package controller_test

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const encryptedFabric = `
---
apiVersion: weft.dev/v1alpha1
kind: Fabric
metadata: {name: default}
spec:
  strictIdentity: true
  encryption: {mode: wireguard, required: true}
`

func keyed(vtep string, key byte) *weftv1.RegisterRequest {
	return &weftv1.RegisterRequest{Vtep: vtep, Version: "test", Wireguard: &weftv1.WireGuardEnd{Key: bytes.Repeat([]byte{key}, 32)}}
}

func (a *agent) register(req *weftv1.RegisterRequest) *weftv1.RegisterResponse {
	a.t.Helper()
	resp, err := a.client.Node.Register(a.t.Context(), connect.NewRequest(req))
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.Msg
}

// tunnels reports states of tunnels.
func (a *agent) tunnels(states map[string]weftv1.TunnelHealth_State) {
	a.t.Helper()
	r := &weftv1.NodeReport{Version: "test", Wireguard: &weftv1.WireGuardReport{Implementation: "kernel"}}
	for name, s := range states {
		r.Wireguard.Tunnels = append(r.Wireguard.Tunnels, &weftv1.TunnelHealth{Node: name, State: s})
	}
	_, revision, _ := a.now()
	if _, err := a.client.Node.Report(a.t.Context(), connect.NewRequest(&weftv1.ReportRequest{EnforcedRevision: revision, Report: r})); err != nil {
		a.t.Fatal(err)
	}
}

func tunnelOf(n plan.Node, name fabric.NodeName) plan.Tunnel {
	if i := slices.IndexFunc(n.Tunnels, func(t plan.Tunnel) bool { return t.Name == name }); i >= 0 {
		return n.Tunnels[i]
	}
	return plan.Tunnel{}
}

// A key is replaced in two steps, each of which the other end has acknowledged when Register returns.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + encryptedFabric)
	n1, n2 := f.agentWith("n1", keyed("192.0.2.1", 1)), f.agentWith("n2", keyed("192.0.2.2", 2))
	n3 := f.agent("n3", "192.0.2.3") // without a key
	for _, a := range []*agent{n1, n2, n3} {
		a.lease("acme/prod")
	}
	n2.wait("the tunnel", func() bool { return len(n2.plan.Tunnels) == 1 && len(n2.plan.Peers) == 1 })
	p, _, _ := n2.now()
	old := tunnelOf(p, "n1").End
	if old.Key != (fabric.PublicKey(bytes.Repeat([]byte{1}, 32))) || old.Endpoint != netip.MustParseAddrPort("192.0.2.1:51820") || !p.Settings.Encryption.VTEPs.Contains(p.Peers[0].VTEP) {
		t.Errorf("tunnel end %+v, peers %v", old, p.Peers)
	}
	if p, _, _ := n3.now(); len(p.Peers) != 0 || len(p.Tunnels) != 0 || len(p.Routes) != 1 {
		t.Errorf("the node without a key has the peers %v, tunnels %v, routes %v", p.Peers, p.Tunnels, p.Routes)
	}

	both := keyed("192.0.2.1", 1)
	both.WireguardNext = &weftv1.WireGuardEnd{Key: bytes.Repeat([]byte{9}, 32), Port: 51821}
	if resp := n1.register(both); !resp.Known {
		t.Error("the other end doesn't know the next key")
	}
	p, _, _ = n2.now() // known by now, without any wait
	if got := tunnelOf(p, "n1"); got.End != old || got.Next.Key[0] != 9 || got.Next.Endpoint.Port() != 51821 {
		t.Errorf("tunnel with a next key: %+v", got)
	}
	next := keyed("192.0.2.1", 9)
	next.Wireguard.Port = 51821
	n1.register(next)
	p, _, _ = n2.now()
	if got := tunnelOf(p, "n1"); got.End.Key[0] != 9 || got.End.Endpoint.Port() != 51821 || got.Next != (plan.TunnelEnd{}) {
		t.Errorf("tunnel after the rotation: %+v", got)
	}

	n2.setMute(true)
	both = keyed("192.0.2.1", 9)
	both.WireguardNext = &weftv1.WireGuardEnd{Key: bytes.Repeat([]byte{10}, 32)}
	if resp := n1.register(both); resp.Known {
		t.Error("an end that acknowledges nothing knows the next key")
	}
}

// Of two nodes with a tunnel one after the other changes its key. One that has gone keeps nobody waiting, nor does a
// stranger.
func TestNeighboursTakeTurns(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + encryptedFabric)
	n1, n2, n3 := f.agentWith("n1", keyed("192.0.2.1", 1)), f.agentWith("n2", keyed("192.0.2.2", 2)), f.agentWith("n3", keyed("192.0.2.3", 3))
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	for _, a := range []*agent{n1, n2} {
		a.wait("the tunnel", func() bool { return len(a.plan.Tunnels) == 1 })
	}
	announced := func(vtep string, key byte) *weftv1.RegisterRequest {
		r := keyed(vtep, key)
		r.WireguardNext = &weftv1.WireGuardEnd{Key: bytes.Repeat([]byte{key + 10}, 32)}
		return r
	}
	if !n1.register(announced("192.0.2.1", 1)).Known {
		t.Fatal("the first node doesn't get its turn")
	}
	if !n3.register(announced("192.0.2.3", 3)).Known {
		t.Error("a node without a tunnel to the first one has to wait")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := n2.client.Node.Register(ctx, connect.NewRequest(announced("192.0.2.2", 2))); err == nil {
		t.Error("a neighbour of the first node doesn't have to wait")
	}
	done := make(chan *weftv1.RegisterResponse, 1)
	go func() { done <- n2.register(announced("192.0.2.2", 2)) }()
	n1.register(keyed("192.0.2.1", 11))
	if !(<-done).Known {
		t.Error("the neighbour doesn't get its turn")
	}

	n2.leave()
	if !n1.register(announced("192.0.2.1", 11)).Known {
		t.Error("a node that has gone keeps its neighbour waiting")
	}
}

func TestRegisterRefusesBadKeys(t *testing.T) {
	t.Parallel()
	f := start(t)
	n1 := f.agent("n1", "192.0.2.1")
	for _, key := range [][]byte{nil, make([]byte, 32), make([]byte, 31)} {
		_, err := n1.client.Node.Register(f.ctx(), connect.NewRequest(&weftv1.RegisterRequest{Vtep: "192.0.2.1", Wireguard: &weftv1.WireGuardEnd{Key: key}}))
		wantCode(t, err, connect.CodeInvalidArgument)
	}
}

// A tunnel that one end calls down leads over a third node at once, and back when both ends have called it up for a
// while. Whoever has nothing to do with it hears nothing.
func TestRelayTakesOver(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + encryptedFabric)
	var nodes []*agent
	for i, name := range []string{"n1", "n2", "n3", "n4"} {
		a := f.agentWith(name, keyed(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String(), byte(i+1)))
		a.lease("acme/prod")
		nodes = append(nodes, a)
	}
	n1, n2 := nodes[0], nodes[1]
	for _, a := range nodes {
		a.wait("all tunnels", func() bool { return len(a.plan.Tunnels) == 3 })
	}
	down, up := weftv1.TunnelHealth_STATE_DOWN, weftv1.TunnelHealth_STATE_UP
	began := time.Now()
	n1.tunnels(map[string]weftv1.TunnelHealth_State{"n2": down, "n3": up, "n4": up, "n9": down})
	relay := fabric.NodeName("")
	for _, a := range []*agent{n1, n2} {
		a.wait("the relay", func() bool { return len(a.plan.Hops) == 1 })
		p, _, _ := a.now()
		if relay == "" {
			relay = p.Hops[0].Via
		}
		if p.Hops[0].Via != relay || p.Hops[0].Node == a.name || len(p.Tunnels) != 3 {
			t.Errorf("%s: hops %v, the other end has the relay %s; tunnels %v", a.name, p.Hops, relay, tunnelNames(p))
		}
	}
	t.Logf("the relay is in both plans after %v", time.Since(began))
	for _, a := range nodes[2:] {
		a.wait("its role", func() bool { return a.plan.Settings.Encryption.Relay == (a.name == relay) })
	}
	path, err := f.admin.Intent.OverlayPath(f.ctx(), connect.NewRequest(&weftv1.OverlayPathRequest{From: "n1", To: "n2"}))
	if err != nil || len(path.Msg.Steps) != 2 || path.Msg.Steps[0].To != string(relay) || path.Msg.Problem != "" {
		t.Errorf("path %v, %v", path, err)
	}

	n2.tunnels(map[string]weftv1.TunnelHealth_State{"n1": up})
	f.later.Add(int64(9 * time.Second))
	n1.tunnels(map[string]weftv1.TunnelHealth_State{"n2": up})
	if p, _, _ := n1.now(); len(p.Hops) != 1 {
		t.Error("the tunnel is back in use although it has hardly been up")
	}
	f.later.Add(int64(10 * time.Second))
	n2.tunnels(map[string]weftv1.TunnelHealth_State{"n1": up})
	for _, a := range []*agent{n1, n2} {
		a.wait("the end of the relay", func() bool { return len(a.plan.Hops) == 0 })
	}
	shown, err := f.admin.Intent.Overlay(f.ctx(), connect.NewRequest(&weftv1.OverlayRequest{Nodes: []string{"n2"}}))
	if err != nil || len(shown.Msg.Nodes) != 1 || len(shown.Msg.Nodes[0].Tunnels) != 3 || shown.Msg.Nodes[0].Implementation != "kernel" {
		t.Errorf("overlay %v, %v", shown, err)
	}
}

func tunnelNames(n plan.Node) []fabric.NodeName {
	var out []fabric.NodeName
	for _, t := range n.Tunnels {
		out = append(out, t.Name)
	}
	return out
}

// With strict identity others know who may send an identity before ResolveIdentity returns, and forget it when the node
// has had no workload of it for a while.
func TestPlacedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + encryptedFabric)
	n1, n2 := f.agentWith("n1", keyed("192.0.2.1", 1)), f.agentWith("n2", keyed("192.0.2.2", 2))
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	id := n1.resolve("acme/prod", fabric.Labels{"app": "web"}).Identity
	want := plan.Placement{Node: "n1", Identity: fabric.Identity(id)}
	if p, _, _ := n1.now(); !slices.Contains(p.Placements, want) {
		t.Errorf("the node itself has the placements %v", p.Placements)
	}
	if p, _, _ := n2.now(); !slices.Contains(p.Placements, want) || len(p.Placements) != 1 {
		t.Errorf("placements %v", p.Placements)
	}
	n2.resolve("acme/prod", fabric.Labels{"app": "web"}) // known, but not there
	if p, _, _ := n1.now(); !slices.Contains(p.Placements, plan.Placement{Node: "n2", Identity: fabric.Identity(id)}) {
		t.Errorf("placements %v", p.Placements)
	}
	n1.tunnels(nil) // a report without attachments
	f.later.Add(int64(11 * time.Minute))
	n1.tunnels(nil)
	n2.wait("the end of the placement", func() bool { return !slices.Contains(n2.plan.Placements, want) })
	// A workload that was attached just then is placed again.
	report := &weftv1.NodeReport{Version: "test", Attachments: []*weftv1.Attachment{{Interface: "veth1", Network: "acme/prod", Identity: id}}}
	if _, err := n1.client.Node.Report(t.Context(), connect.NewRequest(&weftv1.ReportRequest{Report: report})); err != nil {
		t.Fatal(err)
	}
	n2.wait("the placement", func() bool { return slices.Contains(n2.plan.Placements, want) })
}

func TestReclaim(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	block := n1.lease("acme/prod")
	n2.lease("acme/prod")
	n2.wait("the block of n1", func() bool { return len(n2.plan.Peers) == 1 })
	n1.leave()
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return !n.Connected && n.ReclaimedAt != nil })
	f.later.Add(int64(71 * time.Hour))
	n2.tunnels(nil) // n2 is there all the time
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return len(n.Leases) == 1 })
	f.later.Add(int64(2 * time.Hour))
	n2.tunnels(nil)
	n2.wait("the end of n1's block", func() bool { return len(n2.plan.Peers) == 0 })
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return len(n.Leases) == 0 })
	// It is a member still, and begins anew.
	n1.client = newClient(t, f.server, n1.credentials)
	n1.follow(&weftv1.WatchPlanRequest{})
	if again := n1.lease("acme/prod"); again != block {
		t.Errorf("n1 comes back and leases %s, before %s", again, block)
	}
}
