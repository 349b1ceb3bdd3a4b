package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// brokenLab has a controller that is a script of the test.
func brokenLab(t *testing.T, controller string) Options {
	t.Helper()
	ovstest.Require(t)
	bin := t.TempDir()
	for _, name := range []string{"weft-controller", "weft-agent", "weft-cni", "weft-lab-probe"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+controller+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	topo, err := Load([]string{"../examples/dual-stack"}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Name: "broken", Topology: topo, Nodes: 1, BinDir: bin, StateDir: shortDir(t), SkipVMs: true, Now: time.Now}
}

func TestFailedUpLeavesNothing(t *testing.T) {
	o := brokenLab(t, "echo out of cheese; exit 1")
	_, err := Up(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "weft-controller ended before an answer") || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("got %v, want the controller's last words", err)
	}
	checkNothingLeft(t, &Record{Name: o.Name, dir: filepath.Join(o.StateDir, o.Name)})
}

func TestInterruptedUpLeavesNothing(t *testing.T) {
	o := brokenLab(t, "touch \"$2/started\"; exec sleep 1000") // $2 is the data directory
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Up(ctx, o)
		done <- err
	}()
	started := exists(filepath.Join(o.StateDir, o.Name, "controller", "started"))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); !started(ctx); {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("up ended by itself: %v", err)
		case <-limit:
			t.Fatal("the controller was not started")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled context", err)
	}
	checkNothingLeft(t, &Record{Name: o.Name, dir: filepath.Join(o.StateDir, o.Name)})
}

func TestUpSaysWhatIsMissing(t *testing.T) {
	o := brokenLab(t, "exit 1")
	o.BinDir = t.TempDir()
	_, err := Up(t.Context(), o)
	for _, name := range []string{"weft-controller", "weft-agent", "weft-cni", "weft-lab-probe"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not in") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	o.Name = "Bad Name"
	if _, err := Up(t.Context(), o); err == nil || !strings.Contains(err.Error(), "may hold only") {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := Open(o.StateDir, "none"); !errors.Is(err, ErrNoLab) {
		t.Errorf("got %v, want ErrNoLab", err)
	}
}
