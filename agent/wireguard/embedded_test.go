package wireguard_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
)

// nodeEnv makes the test's binary a node: a process of its own, because its sockets must be made in the node's namespace.
const nodeEnv = "WEFT_TEST_WIREGUARD_NODE"

const (
	port = 51820
	mtu  = 1420
)

var vteps = netip.MustParsePrefix("100.92.0.0/16")

func TestMain(m *testing.M) {
	if device := os.Getenv(nodeEnv); device != "" {
		if err := beNode(device, netip.MustParseAddr(os.Args[1])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// macOf returns the MAC address of the bridge with a VTEP.
func macOf(vtep netip.Addr) fabric.MAC {
	b := vtep.As4()
	return fabric.MAC{0x02, 0x77, b[0], b[1], b[2], b[3]}
}

// probeOf returns the probe address of the node with a VTEP.
func probeOf(vtep netip.Addr) netip.Addr {
	b := vtep.As4()
	b[2] |= 0x80
	return netip.AddrFrom4(b)
}

// beNode runs a device until standard input ends. For each line read it prints its counters; a line with a VTEP makes
// it hold back packets to it before, "changed" says that the key has changed, and "renew" and "restart" name a peer by its key.
func beNode(name string, vtep netip.Addr) error {
	tap, err := host.New("").OpenTap(name, mtu)
	if err != nil {
		return err
	}
	e, err := wireguard.Start(name, tap, wireguard.Link{VTEP: vtep, Probe: probeOf(vtep), VTEPs: vteps, MTU: mtu, MAC: macOf(vtep), Relay: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	fmt.Println("{}")
	changed := func() {}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if to, err := netip.ParseAddr(lines.Text()); err == nil {
			changed = e.Hold(map[netip.Addr]netip.Addr{to: probeOf(to)})
		}
		if lines.Text() == "changed" {
			changed()
		}
		verb, text, _ := strings.Cut(lines.Text(), " ")
		if key, err := wgtypes.ParseKey(text); err == nil {
			map[string]func([]wireguard.Key){"renew": e.Renew, "restart": e.Restart}[verb]([]wireguard.Key{key})
		}
		if err := json.NewEncoder(os.Stdout).Encode(e.Counters()); err != nil {
			return err
		}
	}
	return e.Close()
}

// node is a namespace with Open vSwitch, whose bridge has the tunnel address and the tap of an embedded device.
type node struct {
	*ovstest.Server
	device   string
	vtep     netip.Addr
	endpoint netip.AddrPort
	private  wireguard.Key
	control  *wireguard.Device
	in       io.WriteCloser
	out      *bufio.Scanner
}

// startNodes starts n nodes on one Ethernet.
func startNodes(t *testing.T, n int) []*node {
	t.Helper()
	ovstest.Require(t)
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = startNode(t, i+1)
		if i == 0 {
			nodes[0].InNamespace(t, "ip", "link", "add", "ul", "type", "bridge")
			nodes[0].InNamespace(t, "ip", "link", "set", "ul", "up")
			nodes[0].InNamespace(t, "ip", "addr", "add", fmt.Sprintf("%s/24", nodes[0].endpoint.Addr()), "dev", "ul")
			continue
		}
		wire := fmt.Sprintf("ul%d", i+1)
		nodes[i].InNamespace(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", wire, "netns", filepath.Base(nodes[0].Namespace))
		nodes[0].InNamespace(t, "ip", "link", "set", wire, "master", "ul", "up")
		nodes[i].InNamespace(t, "ip", "link", "set", "eth0", "up")
		nodes[i].InNamespace(t, "ip", "addr", "add", fmt.Sprintf("%s/24", nodes[i].endpoint.Addr()), "dev", "eth0")
	}
	return nodes
}

func startNode(t *testing.T, index int) *node {
	t.Helper()
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		Server: ovstest.Start(t), private: private, vtep: netip.AddrFrom4([4]byte{100, 92, 0, byte(index)}),
		endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 30, 9, byte(index)}), port),
	}
	name := filepath.Base(n.Namespace)
	n.device = "wt" + strings.TrimPrefix(name, "weft-test-")
	n.VSCtl(t, "add-br", "weft-vtep", "--", "set", "bridge", "weft-vtep", "datapath_type=netdev", "fail_mode=standalone",
		"other_config:hwaddr="+macOf(n.vtep).String())
	h := host.New(n.Namespace)
	if err := h.SetAddresses("weft-vtep", []netip.Prefix{netip.PrefixFrom(n.vtep, vteps.Bits()), netip.PrefixFrom(probeOf(n.vtep), 32)}, mtu); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", name, os.Args[0], n.vtep.String())
	cmd.Env, cmd.Stderr = append(os.Environ(), nodeEnv+"="+n.device), os.Stderr
	if n.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.out = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node %d: %v", index, err)
		}
	})
	if !n.out.Scan() {
		t.Fatal("the device didn't start")
	}
	n.VSCtl(t, "add-port", "weft-vtep", n.device)
	if n.control, err = wireguard.Open(n.device); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.control.Close() })
	return n
}

// configure tells a node of its peers; behind are the VTEPs that are reached through each of them besides their own.
func (n *node) configure(t *testing.T, peers []*node, behind map[*node][]*node) {
	t.Helper()
	c := wireguard.Config{Private: n.private, Port: port}
	for _, p := range peers {
		peer := wireguard.Peer{Key: p.private.PublicKey(), Endpoint: p.endpoint, Allowed: []netip.Prefix{netip.PrefixFrom(p.vtep, 32)}}
		for _, b := range behind[p] {
			peer.Allowed = append(peer.Allowed, netip.PrefixFrom(b.vtep, 32))
		}
		c.Peers = append(c.Peers, peer)
	}
	if err := n.control.Configure(c); err != nil {
		t.Fatal(err)
	}
}

func (n *node) counters(t *testing.T) wireguard.Counters { return n.tell(t, "") }

// tell gives the device a line, and returns its counters.
func (n *node) tell(t *testing.T, line string) (c wireguard.Counters) {
	t.Helper()
	if _, err := fmt.Fprintln(n.in, line); err != nil || !n.out.Scan() {
		t.Fatal("the device doesn't answer")
	}
	if err := json.Unmarshal(n.out.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// reaches reports whether a ping from one VTEP to another is answered; extra are options of ping.
func (n *node) reaches(other *node, extra ...string) bool {
	args := append([]string{"netns", "exec", filepath.Base(n.Namespace), "ping", "-q", "-c", "1", "-W", "1"}, extra...)
	return exec.Command("ip", append(args, other.vtep.String())...).Run() == nil
}

func TestTunnelBetweenTwoNodes(t *testing.T) {
	n := startNodes(t, 2)
	if n[0].reaches(n[1]) {
		t.Fatal("nodes without peers reach each other")
	}
	n[0].configure(t, n[1:], nil)
	n[1].configure(t, n[:1], nil)
	if !n[0].reaches(n[1]) || !n[1].reaches(n[0]) {
		t.Fatal("peers don't reach each other")
	}
	if !n[0].reaches(n[1], "-M", "do", "-s", fmt.Sprint(mtu-28)) {
		t.Error("a packet of the MTU's size doesn't arrive")
	}
	s, err := n[0].control.Status()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Peers) != 1 || time.Since(s.Peers[0].Handshake) > time.Minute || s.Peers[0].Received == 0 || s.Peers[0].Endpoint != n[1].endpoint || s.Kind != "userspace" {
		t.Errorf("status is %+v", s)
	}
	// Another key takes over the address: the old session must not serve it any more.
	n[1].configure(t, nil, nil)
	if n[0].reaches(n[1]) {
		t.Error("a node whose peer was removed is still reached")
	}
}

// A new session can be begun right after another, which WireGuard alone puts off for 5 seconds.
func TestRestart(t *testing.T) {
	n := startNodes(t, 2)
	n[0].configure(t, n[1:], nil)
	n[1].configure(t, n[:1], nil)
	if !n[0].reaches(n[1]) {
		t.Fatal("peers don't reach each other")
	}
	handshake := func() time.Time {
		t.Helper()
		s, err := n[0].control.Status()
		if err != nil || len(s.Peers) != 1 {
			t.Fatalf("status %+v, %v", s, err)
		}
		return s.Peers[0].Handshake
	}
	key := n[1].private.PublicKey().String()
	first := handshake()
	n[0].tell(t, "renew "+key) // too soon: nothing happens, then or later
	n[0].tell(t, "restart "+key)
	for deadline := time.Now().Add(30 * time.Second); handshake().Equal(first); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no new session")
		}
	}
	if !n[0].reaches(n[1]) || !n[1].reaches(n[0]) {
		t.Error("peers don't reach each other under the new session")
	}
}

// The middle node relays; its own peers' sources stay what they are, so the ends see each other's VTEPs.
func TestRelay(t *testing.T) {
	n := startNodes(t, 3)
	a, relay, b := n[0], n[1], n[2]
	a.configure(t, []*node{relay}, map[*node][]*node{relay: {b}})
	b.configure(t, []*node{relay}, map[*node][]*node{relay: {a}})
	relay.configure(t, []*node{a, b}, nil)
	if !a.reaches(b) {
		t.Fatal("the relay doesn't forward")
	}
	if c := relay.counters(t); c.Relayed != 2 || c.Expired != 0 {
		t.Errorf("the relay counts %+v, want 2 relayed", c)
	}
	if a.reaches(b, "-t", "1") {
		t.Error("a packet without hops left was forwarded")
	}
	if c := relay.counters(t); c.Expired != 1 {
		t.Errorf("the relay counts %+v, want 1 expired", c)
	}
	// b doesn't accept a's address from a's own key, once the plan says that a is behind the relay.
	a.configure(t, []*node{relay, b}, nil)
	if a.reaches(b) {
		t.Error("an address was accepted from a peer that it doesn't belong to")
	}
}

// What isn't the fabric's doesn't pass: TCP, and other addresses of the node.
func TestTunnelCarriesOnlyTheFabric(t *testing.T) {
	n := startNodes(t, 2)
	n[0].configure(t, n[1:], nil)
	n[1].configure(t, n[:1], nil)
	if !n[0].reaches(n[1]) {
		t.Fatal("peers don't reach each other")
	}
	before := n[0].counters(t).Foreign
	name := filepath.Base(n[0].Namespace)
	_ = exec.Command("ip", "netns", "exec", name, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+n[1].vtep.String()+"/22").Run() // it must fail
	if after := n[0].counters(t).Foreign; after == before {
		t.Error("TCP to another VTEP wasn't dropped and counted")
	}
}

// A node changes its key under traffic in both directions, while its peer looks for the new key's first handshake
// every few milliseconds.
func TestKeyChangeLosesNothing(t *testing.T) {
	n := startNodes(t, 2)
	a, b := n[0], n[1]
	a.configure(t, n[1:], nil)
	b.configure(t, n[:1], nil)
	if !a.reaches(b) {
		t.Fatal("peers don't reach each other")
	}
	next, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	peer := func(key wireguard.Key, allowed bool) wireguard.Peer {
		p := wireguard.Peer{Key: key.PublicKey(), Endpoint: a.endpoint}
		if allowed {
			p.Allowed = []netip.Prefix{netip.PrefixFrom(a.vtep, 32), netip.PrefixFrom(probeOf(a.vtep), 32)}
		}
		return p
	}
	set := func(n *node, private wireguard.Key, peers ...wireguard.Peer) {
		t.Helper()
		if err := n.control.Configure(wireguard.Config{Private: private, Port: port, Peers: peers}); err != nil {
			t.Fatal(err)
		}
	}
	toB := wireguard.Peer{Key: b.private.PublicKey(), Endpoint: b.endpoint, Allowed: []netip.Prefix{netip.PrefixFrom(b.vtep, 32), netip.PrefixFrom(probeOf(b.vtep), 32)}}
	set(a, a.private, toB)
	set(b, b.private, peer(a.private, true), peer(next, false))

	const pings = "300"
	run := func(from, to *node) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.Command("ip", "netns", "exec", filepath.Base(from.Namespace), "ping", "-q", "-i", "0.01", "-c", pings, "-W", "3", to.vtep.String())
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	first, firstOut := run(a, b)
	second, secondOut := run(b, a)
	start, err := b.control.Status()
	if err != nil {
		t.Fatal(err)
	}
	// Some traffic goes by under the old key.
	for received := start.Peers[0].Received; ; {
		s, err := b.control.Status()
		if err != nil {
			t.Fatal(err)
		}
		if sum(s) > received+20_000 {
			break
		}
	}
	a.tell(t, b.vtep.String())
	set(a, next, toB)
	if _, err := fmt.Fprintln(a.in, "changed"); err != nil { // it answers once b has followed
		t.Fatal(err)
	}
	for moved := false; !moved; time.Sleep(5 * time.Millisecond) {
		s, err := b.control.Status()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Peers {
			moved = moved || p.Key == next.PublicKey() && !p.Handshake.IsZero()
		}
	}
	set(b, b.private, peer(a.private, false), peer(next, true))
	if !a.out.Scan() {
		t.Fatal("the device doesn't answer")
	}
	for _, c := range []struct {
		cmd *exec.Cmd
		out *bytes.Buffer
	}{{first, firstOut}, {second, secondOut}} {
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, c.out)
		}
		if !strings.Contains(c.out.String(), pings+" received") {
			t.Errorf("packets were lost:\n%s", c.out)
		}
	}
}

func sum(s wireguard.Status) (received uint64) {
	for _, p := range s.Peers {
		received += p.Received
	}
	return received
}
