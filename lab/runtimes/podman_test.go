package runtimes

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// podman returns a function that runs podman on the node, with storage of its own and its CNI backend.
func (r *rig) podman() func(args ...string) string {
	r.t.Helper()
	needRuntime(r.t, "podman", "runc", "conmon", "busybox")
	conf, storage := filepath.Join(r.dir, "containers.conf"), filepath.Join(r.dir, "storage.conf")
	write(r.t, conf, fmt.Sprintf(`[network]
network_backend = "cni"
cni_plugin_dirs = [%q]
network_config_dir = %q
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
`, r.plugins(), r.configs()))
	write(r.t, storage, fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(r.dir, "images"), filepath.Join(r.dir, "run")))
	env := []string{"CONTAINERS_CONF=" + conf, "CONTAINERS_STORAGE_CONF=" + storage}
	r.t.Cleanup(func() { _, _ = r.run(env, "podman", "rm", "-fa", "-t0") })
	return func(args ...string) string {
		r.t.Helper()
		return r.mustRun(env, append([]string{"podman"}, args...)...)
	}
}

func TestPodman(t *testing.T) {
	needRuntime(t, "podman")
	r := newRig(t)
	podman := r.podman()
	r.network("weft", "1.0.0", "both")
	podman("run", "-d", "--name", "one", "--network", "weft", "--rootfs", r.rootfs("one"), "sleep", "600")
	podman("run", "-d", "--name", "two", "--network", "weft:ip=10.9.0.40,mac=02:00:00:00:00:40", "--rootfs", r.rootfs("two"), "sleep", "600")
	r.attached(2)
	if got := podman("exec", "two", "ip", "addr", "show", "eth0"); !strings.Contains(got, "10.9.0.40/24") || !strings.Contains(got, "02:00:00:00:00:40") || !strings.Contains(got, "inet6 fd09::") {
		t.Errorf("the container with a fixed address has %s", got)
	}
	podman("exec", "one", "ping", "-c1", "-W3", "10.9.0.40")
	podman("restart", "-t0", "two") // DEL, and ADD of the same container
	podman("exec", "one", "ping", "-c1", "-W3", "10.9.0.40")
	podman("stop", "-t0", "one")
	r.attached(1)
	podman("start", "one")
	r.attached(2)
	podman("rm", "-f", "-t0", "one", "two")
	r.attached(0)
}
