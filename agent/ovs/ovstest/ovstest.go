// Package ovstest runs a private Open vSwitch for a test: an ovsdb-server and an ovs-vswitchd with the
// userspace datapath, in a network namespace of their own.
package ovstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	schemaFile   = "/usr/share/openvswitch/vswitch.ovsschema"
	startTimeout = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// Server is a running Open vSwitch.
type Server struct {
	// Dir is its run directory: databases, sockets and logs.
	Dir string
	// Database is how a client connects to it.
	Database string
	// Namespace is the path of the network namespace that the switch works in.
	Namespace string

	name     string
	database *exec.Cmd
	vswitch  *exec.Cmd
}

// Require skips the test unless root may run Open vSwitch here. Where WEFT_REQUIRE_OVS is set, as in CI, it
// fails instead.
func Require(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	}
	for _, tool := range []string{"ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = tool
		}
	}
	switch {
	case missing == "":
	case os.Getenv("WEFT_REQUIRE_OVS") != "":
		t.Fatalf("this test needs %s", missing)
	default:
		t.Skipf("this test needs %s", missing)
	}
}

// Start runs an Open vSwitch until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	Require(t)
	// Sockets' paths must fit into 108 bytes, which t.TempDir's don't always.
	dir, err := os.MkdirTemp("", "weft-ovs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{Dir: dir, Database: "unix:" + filepath.Join(dir, "db.sock"), name: "weft-test-" + randomName(t)}
	run(t, "ip", "netns", "add", s.name)
	s.Namespace = filepath.Join("/run/netns", s.name)
	t.Cleanup(func() { run(t, "ip", "netns", "del", s.name) })
	run(t, "ip", "-n", s.name, "link", "set", "lo", "up")

	run(t, "ovsdb-tool", "create", filepath.Join(dir, "conf.db"), schemaFile)
	s.StartDatabase(t)
	s.VSCtl(t, "--no-wait", "init")
	s.StartSwitch(t)
	return s
}

// StartDatabase starts ovsdb-server, and waits until it listens. The end of the test stops it.
func (s *Server) StartDatabase(t testing.TB) {
	t.Helper()
	socket := filepath.Join(s.Dir, "db.sock")
	_ = os.Remove(socket)
	s.database = s.start(t, "ovsdb-server", filepath.Join(s.Dir, "conf.db"), "--remote=punix:"+socket, "--unixctl="+filepath.Join(s.Dir, "ovsdb-server.ctl"))
	waitFor(t, socket)
}

// StopDatabase kills ovsdb-server, as a crash would.
func (s *Server) StopDatabase(t testing.TB) {
	t.Helper()
	_ = s.database.Process.Kill()
	_ = s.database.Wait()
}

// StartSwitch starts ovs-vswitchd. The end of the test stops it.
func (s *Server) StartSwitch(t testing.TB) {
	t.Helper()
	s.vswitch = s.start(t, "ovs-vswitchd", s.Database, "--unixctl="+filepath.Join(s.Dir, "ovs-vswitchd.ctl"), "--disable-system")
}

// StopSwitch kills ovs-vswitchd, as a crash would.
func (s *Server) StopSwitch(t testing.TB) {
	t.Helper()
	_ = s.vswitch.Process.Kill()
	_ = s.vswitch.Wait()
}

// VSCtl runs ovs-vsctl on the server's database and returns its output.
func (s *Server) VSCtl(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "ovs-vsctl", append([]string{"--db=" + s.Database, "--timeout=10"}, args...)...)
}

// OFCtl runs ovs-ofctl with OpenFlow 1.5 on a bridge of the switch: OFCtl(t, "dump-flows", "br-int").
func (s *Server) OFCtl(t testing.TB, command, bridge string, args ...string) string {
	t.Helper()
	target := "unix:" + filepath.Join(s.Dir, bridge+".mgmt")
	return run(t, "ovs-ofctl", append([]string{"-O", "OpenFlow15", command, target}, args...)...)
}

// AppCtl gives vswitchd a command and returns its output.
func (s *Server) AppCtl(t testing.TB, command string, args ...string) string {
	t.Helper()
	return run(t, "ovs-appctl", append([]string{"--target=" + filepath.Join(s.Dir, "ovs-vswitchd.ctl"), command}, args...)...)
}

// InNamespace runs a command in the switch's namespace and returns its output.
func (s *Server) InNamespace(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "ip", append([]string{"netns", "exec", s.name}, args...)...)
}

// start runs a daemon of Open vSwitch as a child in the namespace.
func (s *Server) start(t testing.TB, tool string, args ...string) *exec.Cmd {
	t.Helper()
	log := filepath.Join(s.Dir, tool+".log")
	args = append([]string{"netns", "exec", s.name, tool}, append(args, "--no-chdir", "-vconsole:off", "--log-file="+log)...)
	cmd := exec.Command("ip", args...) // ip replaces itself by the tool, so the child is the daemon
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+s.Dir, "OVS_LOGDIR="+s.Dir, "OVS_DBDIR="+s.Dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", tool, err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			if text, err := os.ReadFile(log); err == nil {
				t.Logf("%s says:\n%s", tool, tail(text, 4000))
			}
		}
	})
	return cmd
}

// run runs a command to its end and returns its output; a failure ends the test.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // a child of its may keep the output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// waitFor waits until somebody listens on a socket.
func waitFor(t testing.TB, path string) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(pollInterval) {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = c.Close() // it was only to see
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens on %s: %v", path, err)
		}
	}
}

// randomName makes names of namespaces unique across test processes.
func randomName(t testing.TB) string {
	t.Helper()
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b[:])
}

// tail returns the end of a log.
func tail(text []byte, n int) string {
	if len(text) > n {
		text = text[len(text)-n:]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return string(text)
}
