package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// Switches and wires alone, without controller and agents: built, crashed, and removed from the record.
func TestNodesAndRemoval(t *testing.T) {
	ovstest.Require(t)
	state := shortDir(t)
	o := Options{Name: "rig", StateDir: state, BinDir: "/nonexistent", Now: time.Now}
	r, err := newRecord(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.remove(context.Background()) })
	ctx := t.Context()
	if err := r.makeNetworks(ctx); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		n, err := r.makeNode(ctx, i, underlay{net: underlayNet, mtu: 1500}, DeclaredNode{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.startOVS(ctx, n, 1500); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.warmUnderlay(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := command(ctx, within(r.Nodes[0].Namespace, "ping", "-c", "1", "-w", "5", hostAddr(managementNet, controllerHost).String())...); err != nil {
		t.Errorf("a node does not reach the controller's namespace: %v", err)
	}

	if _, err := newRecord(o); err == nil || !strings.Contains(err.Error(), "lab rig exists") {
		t.Errorf("a second lab of one name: %v", err)
	}

	// As after a crash: what a process of the lab left is all there is.
	found, err := Open(state, "rig")
	if err != nil {
		t.Fatal(err)
	}
	namespaces := found.Namespaces
	processes := slices.Concat(found.Processes, marked(found.dir))
	if len(namespaces) != 4 || len(processes) < 4 {
		t.Fatalf("the record holds namespaces %v and processes %v", namespaces, processes)
	}
	if err := Down(ctx, state, "rig"); err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.Alive() {
			t.Errorf("process %+v lives", p)
		}
	}
	for _, name := range namespaces {
		if _, err := os.Lstat(filepath.Join(netnsDir, name)); err == nil {
			t.Errorf("namespace %s is there", name)
		}
	}
	if _, err := os.Stat(found.dir); err == nil {
		t.Errorf("%s is there", found.dir)
	}
	if err := r.remove(ctx); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

// A process id alone is not enough to end a process.
func TestStopKnowsOtherProcesses(t *testing.T) {
	own, ok := startTime(os.Getpid())
	if !ok {
		t.Fatal("our own process does not live")
	}
	other := Process{Name: "another", PID: os.Getpid(), Start: own + 1}
	if other.Alive() {
		t.Error("a process with another start time counts as alive")
	}
	if err := stop([]Process{other}); err != nil {
		t.Error(err)
	}
}

// A process that is killed shows as a zombie before its last thread has let go of its files.
func TestProcessWithoutItsFirstThreadIsAlive(t *testing.T) {
	if os.Getenv("WEFT_TEST_HELPER") != "" {
		endFirstThread()
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessWithoutItsFirstThreadIsAlive$")
	cmd.Env = append(os.Environ(), "WEFT_TEST_HELPER=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	p := Process{Name: "helper", PID: cmd.Process.Pid}
	p.Start, _ = startTime(p.PID)
	zombie := func() bool {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "stat"))
		return err == nil && strings.Contains(string(text), ") Z ")
	}
	for deadline := time.Now().Add(10 * time.Second); !zombie(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the helper's first thread does not end")
		}
	}
	if !p.Alive() {
		t.Error("a process with threads left counts as gone")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if left := waitGone([]Process{p}, killTime); len(left) > 0 {
		t.Error("a process without threads counts as alive")
	}
}

// endFirstThread ends the process's first thread alone, and never returns.
func endFirstThread() {
	for {
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == os.Getpid() {
				_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
			}
			select {} // keeps its thread, so that another goroutine gets the first one
		}()
		time.Sleep(time.Millisecond)
	}
}

// shortDir is a temporary directory whose sockets' paths fit into 108 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wlab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
