package runtimes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/lab"
)

// intent is what the containers are attached to: subnets of both families and of each one.
const intent = `
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: prod, tenant: acme}
spec:
  subnets:
    - {name: both, ipv4: 10.9.0.0/24, ipv6: "fd09::/64"}
    - {name: four, ipv4: 10.9.4.0/24}
    - {name: six, ipv6: "fd09:6::/64"}
`

// rig is a node, and a directory with plugins and configurations for a runtime on it.
type rig struct {
	t    *testing.T
	lab  *lab.Record
	node lab.Node
	dir  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ovstest.Require(t)
	dir, err := os.MkdirTemp("", "wrt") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "intent.yaml")
	write(t, file, intent)
	topology, err := lab.Load([]string{file}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	bin := os.Getenv("WEFT_BIN_DIR")
	if bin == "" {
		bin = build(t, filepath.Join("..", ".."), "bin", "./cmd/weft-controller", "./cmd/weft-agent", "./cmd/weft-cni", "./cmd/weft-lab-probe")
	}
	o := lab.Options{Name: fmt.Sprintf("rt%d", os.Getpid()), Topology: topology, Nodes: 1, BinDir: bin, StateDir: filepath.Join(dir, "lab"), Progress: io.Discard, Now: time.Now}
	record, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), o.StateDir, o.Name); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, lab: record, node: record.Nodes[0], dir: dir}
	for _, d := range []string{r.plugins(), r.configs()} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(bin, "weft-cni"), filepath.Join(r.plugins(), "weft-cni")); err != nil {
		t.Fatal(err)
	}
	return r
}

// plugins is where runtimes find plugins, configs where they find networks.
func (r *rig) plugins() string { return filepath.Join(r.dir, "plugins") }
func (r *rig) configs() string { return filepath.Join(r.dir, "net.d") }

// calls is where weft-cni writes a line for each call.
func (r *rig) calls() string { return filepath.Join(r.dir, "calls.log") }

// network writes the configuration of a CNI network on a subnet, with further plugins behind weft-cni.
func (r *rig) network(name, cniVersion, subnet string, behind ...map[string]any) {
	r.t.Helper()
	plugins := []map[string]any{{
		"type": "weft-cni", "tenant": "acme", "network": "prod", "subnet": subnet, "labels": map[string]string{"app": "web"},
		"socket": r.node.AgentSocket(), "logFile": r.calls(), "capabilities": map[string]bool{"mac": true, "ips": true},
	}}
	text, err := json.Marshal(map[string]any{"cniVersion": cniVersion, "name": name, "plugins": append(plugins, behind...)})
	if err != nil {
		r.t.Fatal(err)
	}
	write(r.t, filepath.Join(r.configs(), name+".conflist"), string(text))
}

// run runs a program on the node, that is in its network namespace, and returns what it printed.
func (r *rig) run(env []string, args ...string) (string, error) {
	r.t.Helper()
	return r.runWith("", env, args...)
}

// runWith is run with standard input.
func (r *rig) runWith(input string, env []string, args ...string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// Not `ip netns exec`, which also makes a mount namespace: the agent has to see the runtime's mounts.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + filepath.Join("/run/netns", r.node.Namespace)}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, stderr.String(), stdout.String())
	}
	return stdout.String(), nil
}

// mustRun runs a program on the node that must succeed.
func (r *rig) mustRun(env []string, args ...string) string {
	r.t.Helper()
	out, err := r.run(env, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// attached waits until the node has so many attachments.
func (r *rig) attached(want int) {
	r.t.Helper()
	got := -1
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, err := lab.AgentStatus(r.t.Context(), r.node)
		if err != nil {
			r.t.Fatal(err)
		}
		if got = status.Attachments; got == want {
			return
		}
	}
	r.t.Fatalf("the node has %d attachments, want %d", got, want)
}

// build builds packages of a module into a directory that stays.
func build(t *testing.T, module, name string, packages ...string) string {
	t.Helper()
	out, err := filepath.Abs(filepath.Join("..", "..", ".cache", "runtimes", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"build", "-C", module, "-trimpath", "-o", out + "/"}, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", module, err, text)
	}
	return out
}

// needRuntime skips a test of a heavy runtime, or fails it where WEFT_RUNTIMES says that the runtime must be there.
func needRuntime(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("WEFT_RUNTIMES") == "" {
		t.Skipf("WEFT_RUNTIMES is not set: `make test-runtimes` installs %s and runs this test", strings.Join(programs, ", "))
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("WEFT_RUNTIMES is set: %v", err)
		}
	}
}

// rootfs makes a container's file system of busybox alone.
func (r *rig) rootfs(name string) string {
	r.t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		r.t.Fatal(err)
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		r.t.Fatal(err)
	}
	root := filepath.Join(r.dir, name)
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), binary, 0o755); err != nil {
		r.t.Fatal(err)
	}
	for _, applet := range []string{"sh", "sleep", "ip", "ping"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			r.t.Fatal(err)
		}
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
