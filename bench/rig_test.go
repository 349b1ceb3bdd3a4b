package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// peersEnv allows a benchmark to need what is not part of weft: it then fails where a peer is missing instead
// of leaving it out.
const peersEnv = "WEFT_BENCH_PEERS"

// processLimit bounds a program that a benchmark runs to its end.
const processLimit = 3 * time.Minute

// run runs a program to its end, and returns what it printed.
func run(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := tryRun(args...)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func tryRun(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), processLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}

// namespaces makes network namespaces, with names unique in this process.
type namespaces struct {
	tb   testing.TB
	made int
}

// newNamespaces returns a maker of network namespaces, which go with the test. It skips the test where root and
// Open vSwitch are not to be had.
func newNamespaces(tb testing.TB) *namespaces {
	tb.Helper()
	ovstest.Require(tb)
	return &namespaces{tb: tb}
}

// add makes a namespace with its loopback up, and without IPv6 of its own.
func (n *namespaces) add(part string) string {
	n.tb.Helper()
	n.made++
	name := fmt.Sprintf("wb%d-%d-%s", os.Getpid(), n.made, part)
	run(n.tb, "ip", "netns", "add", name)
	n.tb.Cleanup(func() {
		if _, err := tryRun("ip", "netns", "del", name); err != nil {
			n.tb.Error(err)
		}
	})
	run(n.tb, "ip", "netns", "exec", name, "sh", "-ec",
		`ip link set lo up; for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done
		for f in iptables ip6tables arptables; do [ ! -e /proc/sys/net/bridge/bridge-nf-call-$f ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-$f; done`)
	return name
}

func netnsPath(name string) string { return filepath.Join("/run/netns", name) }

// inNamespace runs f on a thread in a network namespace. What f starts, and the sockets that it opens, are in
// that namespace; the thread is thrown away, because f's goroutine ends without unlocking it.
func inNamespace(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			ns, err := unix.Open(netnsPath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("namespace %s: %w", name, err)
			}
			defer func() { _ = unix.Close(ns) }()
			if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter namespace %s: %w", name, err)
			}
			return f()
		}()
	}()
	return <-done
}

// daemon runs a program in a namespace (empty: ours) until the test ends, as a child of ours.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    string
}

type daemonSpec struct {
	namespace string
	env, args []string
	dir       string // of its log
}

func startDaemon(tb testing.TB, s daemonSpec) *daemon {
	tb.Helper()
	d := &daemon{cmd: exec.Command(s.args[0], s.args[1:]...), exited: make(chan struct{})}
	out, err := os.CreateTemp(s.dir, filepath.Base(s.args[0])+"-*.out")
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	d.log = out.Name()
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.Env = append(os.Environ(), s.env...)
	if s.namespace == "" {
		err = d.cmd.Start()
	} else {
		err = inNamespace(s.namespace, d.cmd.Start)
	}
	if err != nil {
		tb.Fatalf("start %s: %v", s.args[0], err)
	}
	go func() {
		_ = d.cmd.Wait() // whoever waits for the daemon's effect sees that it ended
		close(d.exited)
	}()
	tb.Cleanup(func() {
		d.stop(tb)
		if text, err := os.ReadFile(d.log); err == nil && tb.Failed() {
			tb.Logf("%s says:\n%s", filepath.Base(s.args[0]), text)
		}
	})
	return d
}

// stop ends the daemon, and waits until it has gone.
func (d *daemon) stop(tb testing.TB) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := d.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			tb.Error(err)
		}
		select {
		case <-d.exited:
			return
		case <-time.After(10 * time.Second):
		}
	}
	tb.Errorf("%s doesn't end", d.cmd.Path)
}

// eventually waits until a condition holds; what says in the failure what was waited for.
func eventually(tb testing.TB, what string, limit time.Duration, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("%s did not come within %s", what, limit)
		}
	}
}

// residentKB returns a process's resident memory from /proc/PID/status, in units of 1024 bytes.
func residentKB(tb testing.TB, pid int) int {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb
		}
	}
	tb.Fatalf("process %d has no VmRSS", pid)
	return 0
}

// cpuOf returns how long a process's threads have been on a processor (the first field of schedstat, in
// nanoseconds: Documentation/scheduler/sched-stats.rst).
func cpuOf(tb testing.TB, pid int) (sum time.Duration) {
	tb.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			tb.Fatal(err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			tb.Fatalf("%s: %v", task, err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// shortDir is a temporary directory whose sockets' paths fit into 108 bytes.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "wb")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
