package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/forge"
	"github.com/weftfabric/weft/lab/probe"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Every packet between the nodes is captured while the fabric runs, its agents and switches are killed and started
// again, and somebody on the wire forges tunnel packets: none is VXLAN in the plain, and none of the forged arrives.
func TestEncrypted(t *testing.T) {
	r, topo := testLab(t, "../examples/encrypted")
	var captures []*capture
	for _, n := range r.Nodes {
		captures = append(captures, startCapture(t, n.Namespace, "eth0"))
		// Without the route to the tunnel addresses, tunnel packets must not take this one.
		if err := runIP(t.Context(), fmt.Sprintf("-n %s route add default via %s dev %s", n.Namespace, hostAddr(underlayNet, 250), n.underlayLink())); err != nil {
			t.Fatal(err)
		}
	}
	wantPredicted(t, r, topo.Intent)
	t.Run("relayed", func(t *testing.T) { testRelayed(t, r) })
	t.Run("forged", func(t *testing.T) { testForgedPlain(t, r) })
	paths, err := r.Paths(topo.Intent)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t: t, lab: r, paths: testPaths(paths)}
	k.under(t, func() {}) // the first packet between two nodes may be lost while Open vSwitch asks for the other's MAC
	if onKernel() {
		t.Run("keys change", func(t *testing.T) { testPingsAcrossKeys(t, r, paths) })
	} else {
		testKeyChanges(t, r, k)
	}
	type kill struct {
		node  int // from 0; the first is the hub
		parts []Part
	}
	kills := []kill{{1, []Part{Agent}}, {0, []Part{Agent}}, {2, []Part{Switch}}, {0, []Part{Switch, Agent}}}
	if emulated() {
		kills = kills[3:] // minutes each
	}
	for _, kill := range kills {
		n := r.Nodes[kill.node]
		t.Run(fmt.Sprintf("killed %v of %s", kill.parts, n.Name), func(t *testing.T) {
			k.under(t, func() { k.cycle(t, n, kill.parts...) })
			wantPredicted(t, r, topo.Intent)
		})
	}
	if !onKernel() {
		t.Run("keys change by themselves", func(t *testing.T) { testScheduledRotation(t, r, k) })
	}
	for i, c := range captures {
		name := r.Nodes[i].Name
		c.stop()
		const plain = "udp port 4789 and not ether src " + forger
		if got := c.count(plain); got != 0 {
			t.Errorf("%s: %d packets of VXLAN in the plain:\n%s", name, got, c.text(plain))
		}
		if got := c.count("udp port 51820"); got < 100 {
			t.Errorf("%s: %d packets of WireGuard only: the capture doesn't see the traffic", name, got)
		}
		for _, w := range r.Workloads {
			for _, a := range w.Addresses {
				if got := c.count("host " + a.Addr().String()); got != 0 {
					t.Errorf("%s: %d packets of %s on the wire", name, got, w.Workload.Ref())
				}
			}
		}
	}
}

// forger is the MAC address of who sends forged packets on the wire.
const forger = "02:ba:db:ad:00:03"

// testKeyChanges has nodes change their keys under traffic: nothing may be lost.
func testKeyChanges(t *testing.T, r *Record, k *killer) {
	k.patience = 10 * time.Second // packets that are held back aren't lost
	t.Run("all keys change", func(t *testing.T) { k.lossless(t, func() { rotateKeys(t, r) }) })
	t.Run("all keys change at once", func(t *testing.T) {
		for range 3 {
			k.lossless(t, func() {
				var all sync.WaitGroup
				for _, n := range r.Nodes {
					all.Go(func() { rotateKeys(t, r, string(n.Name)) })
				}
				all.Wait()
			})
		}
	})
	k.patience = 0
}

// testPingsAcrossKeys counts what is lost of 100 pings a second on the kernel's device, which has no hold for its packets, while
// all keys change, and beside it what is lost while none does.
func testPingsAcrossKeys(t *testing.T, r *Record, paths []Path) {
	i := slices.IndexFunc(paths, func(p Path) bool { return p.Ping && p.From.Node != p.To.Node })
	if i < 0 {
		t.Fatal("nobody may ping across nodes")
	}
	k := &killer{t: t, lab: r, paths: paths[i : i+1], rates: testRates()}
	k.rates.Pings = 10 * time.Millisecond
	const rounds = 2
	count := func(what string, do func()) {
		lost, sent := 0, 0
		for range rounds {
			for _, res := range k.under(t, do) {
				lost, sent = lost+res.Pings.Lost, sent+res.Pings.Sent
				if res.Stream.Breaks > 0 {
					t.Errorf("%s: the established connection to %s broke: %s", what, res.Path.Address, res.Stream.Why)
				}
			}
		}
		t.Logf("%s: %d of %d pings lost", what, lost, sent)
	}
	count("no key changes", func() {})
	count(fmt.Sprintf("each of %d nodes changes its key %d times", len(r.Nodes), rounds), func() { rotateKeys(t, r) })
}

// rotateKeys has nodes change their keys, one after the other; without names, all of them. On an emulated machine one may be
// told to try again, since others have not acknowledged the next key in time; there it is enough that some keys change.
func rotateKeys(t *testing.T, r *Record, nodes ...string) {
	t.Helper()
	tries := 1
	if emulated() {
		tries = 10
	}
	left := nodes
	if len(left) == 0 {
		for _, n := range r.Nodes {
			left = append(left, string(n.Name))
		}
	}
	var refused []string
	for ; tries > 0 && len(left) > 0; tries-- {
		left, refused = rotate(t, r, left)
	}
	switch {
	case len(left) > 0 && emulated() && len(left) < max(len(nodes), len(r.Nodes)):
		t.Logf("the keys of %v didn't change: %v", left, refused)
	case len(left) > 0:
		t.Errorf("the keys of %v didn't change: %v", left, refused)
	}
}

// rotate has nodes change their keys, and returns those that didn't, and what nodes said.
func rotate(t *testing.T, r *Record, nodes []string) (left, refused []string) {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		return nodes, []string{err.Error()}
	}
	defer client.Close()
	stream, err := client.Observe.RotateKeys(t.Context(), connect.NewRequest(&weftv1.RotateKeysRequest{Nodes: nodes}))
	if err != nil {
		return nodes, []string{err.Error()}
	}
	changed := map[string]bool{}
	for stream.Receive() {
		m := stream.Msg()
		if m.GetError() != "" {
			refused = append(refused, m.GetNode()+": "+m.GetError())
		}
		if p := m.GetPart(); p != nil && !bytes.Equal(p.GetOld(), p.GetNew()) {
			changed[m.GetNode()] = true
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		refused = append(refused, err.Error())
	}
	for _, n := range nodes {
		if !changed[n] {
			left = append(left, n)
		}
	}
	return left, refused
}

// testScheduledRotation gives keys a short life, and counts what is lost while each node changes its own twice.
func testScheduledRotation(t *testing.T, r *Record, k *killer) {
	r.AgentFlags = []string{"--key-lifetime", "2s"}
	for _, n := range r.Nodes {
		if err := r.RestartAgent(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	k.patience = 10 * time.Second
	k.under(t, func() {}) // until the restarted agents carry traffic again
	k.lossless(t, func() {
		seen := map[wireguard.Key]bool{}
		for _, n := range r.Nodes {
			seen[r.wireguardOf(t, n).PublicKey] = true
		}
		for deadline := time.Now().Add(2 * time.Minute); len(seen) < 3*len(r.Nodes); time.Sleep(20 * time.Millisecond) {
			for _, n := range r.Nodes {
				seen[r.wireguardOf(t, n).PublicKey] = true
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d keys were in use", len(seen))
			}
		}
	})
}

// wireguardOf returns the state of a node's WireGuard device.
func (r *Record) wireguardOf(t *testing.T, n Node) *wgtypes.Device {
	t.Helper()
	control, err := wgctrl.New()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	d, err := control.Device(r.wireguardDevice(n))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// testRelayed shows that two nodes without a tunnel with each other talk over the hub alone.
func testRelayed(t *testing.T, r *Record) {
	from, to := r.Nodes[1], r.Nodes[2]
	c := startCapture(t, from.Namespace, "eth0")
	if out, err := command(t.Context(), within(from.Namespace, "ping", "-q", "-c", "3", "-i", "0.2", "-W", "2", r.vtepOf(t, to).String())...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.stop()
	if got := c.count("udp port 51820 and host " + to.VTEP.String()); got != 0 {
		t.Errorf("%d packets went directly", got)
	}
}

// vtepOf returns a node's tunnel address, which a link for it has.
func (r *Record) vtepOf(t *testing.T, n Node) netip.Addr {
	t.Helper()
	out, err := command(t.Context(), "ip", "-n", n.Namespace, "-4", "-o", "addr", "show", "dev", r.tunnelLink(n))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(out) {
		if p, err := netip.ParsePrefix(field); err == nil && !p.IsSingleIP() {
			return p.Addr()
		}
	}
	t.Fatalf("%s has no tunnel address: %s", n.Name, out)
	return netip.Addr{}
}

// testForgedPlain sends a workload's packet as plain VXLAN from the wire, to every address at which the node could
// take it for its own.
func testForgedPlain(t *testing.T, r *Record) {
	victim, friend := tunnelPair(t, r)
	n, peer := *r.NodeNamed(victim.Node), *r.NodeNamed(friend.Node)
	mac, err := command(t.Context(), within(n.Namespace, "cat", "/sys/class/net/"+n.underlayLink()+"/address")...)
	if err != nil {
		t.Fatal(err)
	}
	target, err := fabric.ParseMAC(strings.TrimSpace(mac))
	if err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(r.dir, "workload", "wire.sock")
	p, err := r.start(spec{name: "workload/wire", namespace: r.underlayNamespace(), args: []string{
		filepath.Join(r.BinDir, "weft-lab-probe"), "-name", "wire", "-socket", control}})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t.Context(), p, probeStart, "its socket", exists(control)); err != nil {
		t.Fatal(err)
	}
	client, err := probe.Dial(t.Context(), control)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sender, err := fabric.ParseMAC(forger)
	if err != nil {
		t.Fatal(err)
	}
	const mark = 5999 // the source port by which the victim's capture knows the forged packet
	c := startCapture(t, filepath.Base(victim.Namespace), "eth0")
	inner := forge.Packet{SrcMAC: friend.MAC, DstMAC: victim.MAC, Src: friend.Addresses[0].Addr(), Dst: victim.Addresses[0].Addr(), SrcPort: mark, DstPort: 80}
	for _, to := range []netip.Addr{n.VTEP, r.vtepOf(t, n)} {
		for _, from := range []netip.Addr{peer.VTEP, r.vtepOf(t, peer)} {
			// A stranger knows the underlay's MAC addresses, and has seen those of other nodes.
			targets := []fabric.MAC{target, forge.Broadcast, wireguard.GatewayMAC()}
			if !peer.Kernel {
				targets = append(targets, bridgeMAC(t, peer))
			}
			for _, dst := range targets {
				frame := forge.Packet{
					SrcMAC: sender, DstMAC: dst, Src: from, Dst: to,
					SrcPort: 50000, DstPort: 4788 + 1, Payload: forge.VXLAN(identityOf(t, r, friend), inner.Frame()),
				}.Frame()
				if _, err := client.Ask(t.Context(), probe.Request{Raw: &probe.Raw{Interface: underlayBridge, Frame: frame}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// What comes after the forged packets on the same wire has arrived: so have they.
	intent, err := r.Intent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, intent)
	c.stop()
	if got := c.count("udp port " + strconv.Itoa(mark)); got != 0 {
		t.Errorf("%d forged packets arrived", got)
	}
}

// bridgeMAC returns the MAC address of the bridge with the tunnel address.
func bridgeMAC(t *testing.T, n Node) fabric.MAC {
	t.Helper()
	out, err := command(t.Context(), within(n.Namespace, "cat", "/sys/class/net/"+overlay.DefaultBridge+"/address")...)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := fabric.ParseMAC(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// capture is tcpdump on a link.
type capture struct {
	t    *testing.T
	cmd  *exec.Cmd
	file string
}

// startCapture returns once packets are captured. The end of the test stops it at the latest.
func startCapture(t *testing.T, namespace, link string) *capture {
	t.Helper()
	c := &capture{t: t, file: filepath.Join(t.TempDir(), "capture")}
	var said bytes.Buffer
	c.cmd = exec.Command("ip", "netns", "exec", namespace, "tcpdump", "-i", link, "-U", "-s", "160", "-w", c.file, "not port "+strconv.Itoa(controllerPort))
	c.cmd.Stderr = &said
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	p := Process{Name: "tcpdump", PID: c.cmd.Process.Pid}
	p.Start, _ = startTime(p.PID)
	if err := waitFor(t.Context(), p, 10*time.Second, "its file", exists(c.file)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *capture) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	_ = c.cmd.Wait() // how it ends doesn't matter: the file does
}

// count returns how many captured packets a filter of pcap-filter(7) finds.
func (c *capture) count(filter string) int { return strings.Count(c.text(filter), "\n") }

func (c *capture) text(filter string) string {
	c.t.Helper()
	cmd := exec.Command("tcpdump", "-n", "-r", c.file, filter)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("read the capture: %v: %s", err, &said)
	}
	return string(out)
}
