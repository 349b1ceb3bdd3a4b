package runtimes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// containerd starts containerd on the node until the test ends, and returns a function that runs ctr.
func (r *rig) containerd() func(args ...string) string {
	r.t.Helper()
	socket, config := filepath.Join(r.dir, "cd.sock"), filepath.Join(r.dir, "containerd.toml")
	write(r.t, config, fmt.Sprintf("version = 2\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n", filepath.Join(r.dir, "cd-root"), filepath.Join(r.dir, "cd-state"), socket))
	log, err := os.Create(filepath.Join(r.dir, "containerd.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "--net="+filepath.Join("/run/netns", r.node.Namespace), "containerd", "-c", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = log.Close()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("containerd doesn't listen: see %s", log.Name())
		}
	}
	// ctr looks for networks in /etc/cni/net.d and for plugins in /opt/cni/bin alone; it gets its own view of them.
	script := `mount -t tmpfs tmpfs /opt && mkdir -p /opt/cni/bin && mount --bind "$PLUGINS" /opt/cni/bin
mkdir -p /etc/cni/net.d && mount --bind "$CONFIGS" /etc/cni/net.d && exec ctr -a "$SOCKET" "$@"`
	env := []string{"PLUGINS=" + r.plugins(), "CONFIGS=" + r.configs(), "SOCKET=" + socket}
	return func(args ...string) string {
		r.t.Helper()
		return r.mustRun(env, append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "ctr"}, args...)...)
	}
}

func TestContainerd(t *testing.T) {
	needRuntime(t, "containerd", "ctr", "runc", "busybox")
	r := newRig(t)
	ctr := r.containerd()
	r.network("weft", "1.0.0", "both")
	run := []string{"run", "--rootfs", "--cni", "--runtime", "io.containerd.runc.v2"}
	ctr(append(run, "-d", r.rootfs("one"), "one", "/bin/sleep", "600")...)
	r.attached(1)
	one := ctr("task", "exec", "--exec-id", "a", "one", "/bin/ip", "-4", "addr", "show", "eth0")
	_, after, _ := strings.Cut(one, "inet ")
	address, _, ok := strings.Cut(after, "/")
	if !ok {
		t.Fatalf("the container has %s", one)
	}
	// In the foreground ctr calls ADD, waits, and calls DEL.
	if got := ctr(append(run, "--rm", r.rootfs("two"), "two", "/bin/ping", "-c1", "-W3", address)...); !strings.Contains(got, "1 packets received") {
		t.Errorf("ping from the second container: %s", got)
	}
	r.attached(1)
	ctr("task", "kill", "-s", "SIGKILL", "one")
	for deadline := time.Now().Add(10 * time.Second); strings.Contains(ctr("task", "ls"), "RUNNING") && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	ctr("task", "delete", "one")
	ctr("container", "delete", "one")
}
