package lab

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// roamTime bounds how long traffic may stand still after a router has forgotten a mapping or changed its address.
const roamTime = 10 * time.Second

// Two nodes are behind routers that translate addresses, and have the same address there. They have tunnels with the third
// node, and talk with each other over it.
func TestNAT(t *testing.T) {
	r, topo := testLab(t, "testdata/nat")
	c := startCapture(t, r.underlayNamespace(), underlayBridge)
	wantPredicted(t, r, topo.Intent)
	open, hidden := r.Nodes[0], r.Nodes[1:]
	wantSteps(t, r, hidden[0], hidden[1], 2)
	r.wantKeepalive(t, open, 0)
	for _, n := range hidden {
		r.wantKeepalive(t, n, 25*time.Second)
	}
	all, err := r.Paths(topo.Intent)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t: t, lab: r, paths: all}
	home := hidden[0]
	before := r.endpointOf(t, open, home)
	k.roams(t, "a mapping is forgotten", func() { r.forgetMappings(t, home) })
	after := r.endpointOf(t, open, home)
	if before.Addr() != after.Addr() || before.Port() == after.Port() {
		t.Errorf("the node was at %s, and is at %s: want the same address and another port", before, after)
	}
	outside := hostAddr(underlayNet, 200)
	k.roams(t, "the router has another address", func() {
		if err := runIP(t.Context(),
			fmt.Sprintf("-n %s addr flush dev %s", r.router(home), natOutside),
			fmt.Sprintf("-n %s addr add %s/%d dev %s", r.router(home), outside, underlayNet.Bits(), natOutside)); err != nil {
			t.Fatal(err)
		}
	})
	if got := r.endpointOf(t, open, home); got.Addr() != outside {
		t.Errorf("the node is at %s, want one of %s", got, outside)
	}
	for _, n := range []Node{open, home} {
		k.roams(t, "the agent of "+string(n.Name)+" starts anew", func() {
			if err := r.Kill(t.Context(), Agent, n); err != nil {
				t.Fatal(err)
			}
			if err := r.Revive(t.Context(), Agent, n); err != nil {
				t.Fatal(err)
			}
		})
	}
	wantPredicted(t, r, topo.Intent)
	c.stop()
	const plain = "udp port 4789 or net 192.168.0.0/24"
	if got := c.count(plain); got != 0 {
		t.Errorf("%d packets are in the plain, or not translated:\n%s", got, c.text(plain))
	}
}

// roams does something to a node's way to the others, and measures how long traffic on each path stands still.
func (k *killer) roams(t *testing.T, what string, do func()) {
	t.Helper()
	s, err := k.lab.StartSteady(t.Context(), k.paths, DefaultRates())
	if err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	do()
	done := time.Now()
	took := k.firstAnswers(t, s, done)
	k.more(t, s)
	results, err := s.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := PrintSteady(&out, results); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: traffic goes on after %v\n%s", what, took.Round(time.Millisecond), out.String())
	if took > roamTime {
		t.Errorf("%s: traffic goes on after %v only", what, took)
	}
	for _, res := range results {
		if res.Stream.Breaks > 0 {
			t.Errorf("the established connection from %s to %s broke: %s", res.Path.From.Ref(), res.Path.Address, res.Stream.Why)
		}
	}
}

// forgetMappings empties the connection tracker of a node's router.
func (r *Record) forgetMappings(t *testing.T, n Node) {
	t.Helper()
	ns, err := netns.GetFromPath(filepath.Join(netnsDir, r.router(n)))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		t.Fatal(err)
	}
}

// wantKeepalive checks the interval at which a node sends something through each of its tunnels.
func (r *Record) wantKeepalive(t *testing.T, n Node, want time.Duration) {
	t.Helper()
	for _, p := range r.wireguardOf(t, n).Peers {
		if p.PersistentKeepaliveInterval != want {
			t.Errorf("%s keeps the way to %s alive every %v, want %v", n.Name, p.PublicKey, p.PersistentKeepaliveInterval, want)
		}
	}
}

// endpointOf returns where a node sends what goes through the tunnel to another.
func (r *Record) endpointOf(t *testing.T, n, to Node) netip.AddrPort {
	t.Helper()
	vtep := r.vtepOf(t, to)
	for _, p := range r.wireguardOf(t, n).Peers {
		if p.Endpoint != nil && slices.ContainsFunc(p.AllowedIPs, func(a net.IPNet) bool { return a.IP.String() == vtep.String() }) {
			at := p.Endpoint.AddrPort()
			return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		}
	}
	t.Fatalf("%s has no tunnel to %s", n.Name, to.Name)
	return netip.AddrPort{}
}
