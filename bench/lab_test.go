package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/lab"
)

// binaries returns a directory with the shipped binaries: WEFT_BIN_DIR, or they are built.
func binaries(tb testing.TB) string {
	tb.Helper()
	if dir := os.Getenv("WEFT_BIN_DIR"); dir != "" {
		return dir
	}
	return goBuild(tb, "..", "bin", "./cmd/weft-controller", "./cmd/weft-agent", "./cmd/weft-cni", "./cmd/weft-lab-probe")
}

// plugins returns a directory with the reference CNI plugins, in the version that peer/go.mod holds.
func plugins(tb testing.TB) string {
	tb.Helper()
	const path = "github.com/containernetworking/plugins/plugins/"
	return goBuild(tb, "peer", "peer", path+"main/bridge", path+"ipam/host-local")
}

// goBuild builds packages of a module as releases are built, into a directory that stays: what is up to date
// there is not linked again.
func goBuild(tb testing.TB, module, name string, packages ...string) string {
	tb.Helper()
	out, err := filepath.Abs(filepath.Join("..", ".cache", "bench", name))
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"build", "-C", module, "-trimpath", "-ldflags", "-s -w", "-o", out + "/"}, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build in %s: %v\n%s", module, err, text)
	}
	return out
}

// labSpec says what lab a subject needs.
type labSpec struct {
	name  string // sets labs of one benchmark apart
	nodes int
	yaml  string
	// kernelCard leaves the nodes' network cards to the kernel.
	kernelCard bool
}

// labUp builds a lab that goes with the test.
func labUp(tb testing.TB, s labSpec) *lab.Record {
	tb.Helper()
	ovstest.Require(tb)
	file := filepath.Join(tb.TempDir(), "bench.yaml")
	if err := os.WriteFile(file, []byte(s.yaml), 0o600); err != nil {
		tb.Fatal(err)
	}
	topology, err := lab.Load([]string{file}, nil, s.nodes)
	if err != nil {
		tb.Fatal(err)
	}
	o := lab.Options{
		Name: fmt.Sprintf("b%d%s", os.Getpid(), s.name), Topology: topology, Nodes: s.nodes, BinDir: binaries(tb), StateDir: shortDir(tb),
		SkipVMs: true, KernelCard: s.kernelCard, Progress: io.Discard, Now: time.Now,
	}
	r, err := lab.Up(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			logNodes(tb, r)
		}
		if err := lab.Down(context.Background(), o.StateDir, o.Name); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// processOf returns the process id of a node's agent, or of the controller.
func processOf(tb testing.TB, r *lab.Record, name string) int {
	tb.Helper()
	for _, p := range r.Processes {
		if p.Name == name && p.Alive() {
			return p.PID
		}
	}
	tb.Fatalf("the lab has no process %s", name)
	return 0
}

// logNodes says what may explain a failure: what each node drops, and what its agent complains of.
func logNodes(tb testing.TB, r *lab.Record) {
	for _, n := range r.Nodes {
		status, err := lab.AgentStatus(context.Background(), n)
		tb.Logf("%s: %+v, error %v", n.Name, status, err)
	}
}
