package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/agent/pipeline"
)

// talkEnv makes the test binary a small program within a namespace: "echo ADDR", "ask FROM TO" and "send FROM TO"
// speak UDP, "tcp-echo ADDR" and "tcp-ask FROM TO" TCP.
const talkEnv = "WEFT_PIPELINE_TEST_TALK"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(talkEnv)); len(args) > 0 {
		if err := talk(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func talk(args []string) error {
	switch args[0] {
	case "tcp-echo":
		return tcpEcho(args[1])
	case "tcp-ask":
		return tcpAsk(args[1], args[2])
	}
	return udp(args)
}

func tcpEcho(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}
}

// tcpAsk exchanges some segments: what one node remembers must serve for all of them.
func tcpAsk(from, to string) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 10_000)
	for range 10 {
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
	}
	return nil
}

func udp(args []string) error {
	local := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(args[1]))
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 1500)
	if args[0] == "echo" {
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return err
			}
			if _, err := conn.WriteToUDPAddrPort(buf[:n], from); err != nil {
				return err
			}
		}
	}
	to := netip.MustParseAddrPort(args[2])
	for range 50 { // the first packets wait for the peer's address in the underlay
		if _, err := conn.WriteToUDPAddrPort([]byte("weft"), to); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		if _, _, err := conn.ReadFromUDPAddrPort(buf); err == nil && args[0] == "ask" {
			return nil
		}
	}
	if args[0] == "ask" {
		return fmt.Errorf("no answer from %s", to)
	}
	return nil
}

// realNode is a node with the userspace datapath in a namespace, and a workload's namespace for each attachment.
type realNode struct {
	*ovstest.Server
	ns        string
	workloads map[string]string // interface -> namespace
}

func startNode(t *testing.T, in pipeline.Input) *realNode {
	t.Helper()
	s := ovstest.Start(t)
	n := &realNode{Server: s, ns: filepath.Base(s.Namespace), workloads: map[string]string{}}
	s.VSCtl(t, "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure",
		"--", "add-br", "br-ul", "--", "set", "bridge", "br-ul", "datapath_type=netdev", "fail_mode=standalone",
		"--", "add-port", "br-int", "vx", "--", "set", "interface", "vx", "type=vxlan", "options:remote_ip=flow", "options:key=flow", fmt.Sprintf("ofport_request=%d", tunnelPort))
	for _, a := range in.Attachments {
		n.attach(t, a)
	}
	flows := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(flows, []byte(flowText(pipeline.Render(in))), 0o600); err != nil {
		t.Fatal(err)
	}
	s.OFCtl(t, "add-flows", "br-int", "--bundle", flows)
	s.InNamespace(t, "ip", "link", "set", "br-ul", "up")
	underlay := []string{"ip", "addr", "add", in.Plan.Settings.VTEP.String() + "/24", "dev", "br-ul"}
	if in.Plan.Settings.VTEP.Is6() {
		underlay = append(underlay, "nodad") // it may be used at once
	}
	s.InNamespace(t, underlay...)
	return n
}

// attach makes a workload's namespace with an interface on br-int, its addresses and default routes.
func (n *realNode) attach(t *testing.T, a pipeline.Attachment) {
	t.Helper()
	ns := n.ns + "-" + a.Interface
	sh(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { sh(t, "ip", "netns", "del", ns) })
	n.workloads[a.Interface] = ns
	sh(t, "ip", "-n", n.ns, "link", "add", a.Interface, "type", "veth", "peer", "name", "eth0", "netns", ns)
	sh(t, "ip", "-n", n.ns, "link", "set", a.Interface, "up")
	sh(t, "ip", "-n", ns, "link", "set", "eth0", "address", a.MAC.String(), "mtu", "1400", "up")
	sh(t, "ip", "netns", "exec", ns, "ethtool", "-K", "eth0", "tx", "off")
	for _, addr := range a.Addresses {
		family, bits, gateway := "-4", 24, netip.AddrFrom4([4]byte{10, 0, addr.AsSlice()[2], 1})
		if addr.Is6() {
			family, bits, gateway = "-6", 64, netip.MustParseAddr("fd00:1::1")
		}
		sh(t, "ip", family, "-n", ns, "addr", "add", fmt.Sprintf("%s/%d", addr, bits), "dev", "eth0")
		if addr.Is4() {
			sh(t, "ip", family, "-n", ns, "route", "add", "default", "via", gateway.String())
		}
	}
	n.VSCtl(t, "add-port", "br-int", a.Interface, "--", "set", "interface", a.Interface, fmt.Sprintf("ofport_request=%d", a.OFPort))
}

// in runs a command in a workload's namespace, and ends the test if it fails.
func (n *realNode) in(t *testing.T, workload string, args ...string) string {
	t.Helper()
	return sh(t, "ip", append([]string{"netns", "exec", n.workloads[workload]}, args...)...)
}

// talk starts the test binary as one of talkEnv's programs in a workload's namespace.
func (n *realNode) talk(ctx context.Context, t *testing.T, workload, args string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", n.workloads[workload], self)
	cmd.Env = append(os.Environ(), talkEnv+"="+args)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

var counted = regexp.MustCompile(`cookie=(0x[0-9a-f]+),.* n_packets=(\d+),`)

func (n *realNode) drops(t *testing.T) map[pipeline.Reason]uint64 {
	t.Helper()
	var counts []pipeline.FlowCount
	for _, m := range counted.FindAllStringSubmatch(n.OFCtl(t, "dump-flows", "br-int"), -1) {
		cookie, err := strconv.ParseUint(m[1], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		packets, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, pipeline.FlowCount{Cookie: cookie, Packets: packets})
	}
	return pipeline.Drops(counts)
}

// sh runs a command to its end; a failure ends the test.
func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// until asks until ok says yes.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 15 s: %s", what)
		}
	}
}
