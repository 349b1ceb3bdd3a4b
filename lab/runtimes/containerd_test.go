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

// containerd starts containerd on the node until the test ends, and returns its socket. The image is what CRI makes
// sandboxes of.
func (r *rig) containerd(image string) (socket string) {
	r.t.Helper()
	socket, config := filepath.Join(r.dir, "cd.sock"), filepath.Join(r.dir, "containerd.toml")
	write(r.t, config, fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
address = %q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
disable_tcp_service = true
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %q
conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
`, filepath.Join(r.dir, "cd-root"), filepath.Join(r.dir, "cd-state"), socket, image, r.plugins(), r.configs()))
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
		if text, err := os.ReadFile(log.Name()); err == nil && r.t.Failed() {
			r.t.Logf("containerd says:\n%s", text[max(0, len(text)-4000):])
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(deadline) {
			r.t.Fatal("containerd doesn't listen")
		}
	}
}

// ctr returns a function that runs ctr with arguments.
func (r *rig) ctr(socket string) func(args ...string) string {
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
	ctr := r.ctr(r.containerd(""))
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
