package openflow_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/weftfabric/weft/wire/openflow"
)

// needOVS returns the path of a program of Open vSwitch. Without it the test is skipped, or fails where
// WEFT_REQUIRE_OVS=1 says that it must be there.
func needOVS(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("WEFT_REQUIRE_OVS") == "1" {
		tb.Fatalf("%s is not installed, and WEFT_REQUIRE_OVS=1 requires it", program)
	}
	if err != nil {
		tb.Skipf("%s is not installed", program)
	}
	return path
}

// run runs a program of Open vSwitch and returns what it wrote.
func run(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(needOVS(tb, program), args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s %q: %v: %s", program, args, err, stderr.String())
	}
	return string(out)
}

// ovs is an Open vSwitch of one test, with a userspace datapath that needs no privileges and dummy ports.
type ovs struct {
	tb  testing.TB
	dir string
}

// startOVS starts the two daemons with a run directory of their own and a bridge br0 with ports p1 and p2,
// numbered so. They end with the test.
func startOVS(tb testing.TB) *ovs {
	tb.Helper()
	needOVS(tb, "ovs-vswitchd")
	dir, err := os.MkdirTemp("", "weft-of") // a short path: that of a socket has 107 octets at most
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	s := &ovs{tb, dir}
	db := s.path("db.sock")
	run(tb, "ovsdb-tool", "create", s.path("conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	s.daemon("ovsdb-server", "--remote=punix:"+db, s.path("conf.db"))
	s.await("the database", func() bool { _, err := os.Stat(db); return err == nil })
	s.vsctl("--no-wait", "init")
	s.daemon("ovs-vswitchd", "--enable-dummy=override", "--disable-system", "--disable-system-route", "unix:"+db)
	s.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail-mode=secure", "datapath-type=dummy",
		"--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1",
		"--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2")
	return s
}

func (s *ovs) path(name string) string { return filepath.Join(s.dir, name) }

func (s *ovs) vsctl(args ...string) {
	s.tb.Helper()
	run(s.tb, "ovs-vsctl", append([]string{"--timeout=20", "--db=unix:" + s.path("db.sock")}, args...)...)
}

// ofctl runs ovs-ofctl on the bridge.
func (s *ovs) ofctl(command string, args ...string) string {
	s.tb.Helper()
	return run(s.tb, "ovs-ofctl", append([]string{"-O", "OpenFlow15", command, "unix:" + s.mgmt()}, args...)...)
}

// appctl gives vswitchd a command.
func (s *ovs) appctl(command string, args ...string) string {
	s.tb.Helper()
	return run(s.tb, "ovs-appctl", append([]string{"--target=" + s.path("ovs-vswitchd.ctl"), command}, args...)...)
}

func (s *ovs) mgmt() string { return s.path("br0.mgmt") }

// daemon starts a daemon as a child, which the test's end kills and waits for.
func (s *ovs) daemon(program string, args ...string) {
	s.tb.Helper()
	log, err := os.Create(s.path(program + ".out"))
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd := exec.Command(needOVS(s.tb, program), append(args, "--unixctl="+s.path(program+".ctl"), "--log-file="+s.path(program+".log"), "--no-chdir")...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+s.dir, "OVS_LOGDIR="+s.dir, "OVS_DBDIR="+s.dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
	})
}

// await polls until the condition holds.
func (s *ovs) await(what string, ok func() bool) {
	s.tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.tb.Fatalf("%s didn't come up", what)
		}
	}
}

// dial connects to the bridge; the connection ends with the test.
func (s *ovs) dial() *Conn {
	s.tb.Helper()
	c, err := Dial(context.Background(), s.mgmt())
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { c.Close() })
	return c
}
