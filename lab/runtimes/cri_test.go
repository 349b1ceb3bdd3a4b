package runtimes

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image is the name of the image that the pods are made of; nobody looks it up anywhere.
const image = "localhost/weft-test:1"

// pod is what the peer's program cri says of a pod.
type pod struct {
	Sandbox, Container, Namespace string
	Addresses                     []netip.Addr
}

// kubelet asks containerd for pods as a kubelet does.
type kubelet struct {
	*rig
	cri []string
}

func (r *rig) kubelet() kubelet {
	r.t.Helper()
	socket := r.containerd(image)
	file := filepath.Join(r.dir, "image.tar")
	writeImage(r.t, file, image, r.rootfs("image"))
	r.ctr(socket)("-n", "k8s.io", "images", "import", "--snapshotter", "native", file)
	return kubelet{r, []string{filepath.Join(build(r.t, "peer", "peer", "./cri"), "cri"), "--socket", socket}}
}

func (k kubelet) ask(args ...string) string {
	k.t.Helper()
	return k.mustRun(nil, append(slices.Clone(k.cri), args...)...)
}

// start runs a pod with what a kubelet sends: labels, annotations and ports. One annotation limits the bandwidth.
func (k kubelet) start(name, direction string) (pod, error) {
	k.t.Helper()
	text, err := k.runWith(string(marshal(k.t, map[string]any{
		"metadata":      map[string]any{"name": name, "namespace": "shop", "uid": "uid-of-" + name},
		"labels":        map[string]string{"app": "web", "io.kubernetes.pod.name": name},
		"annotations":   map[string]string{"kubernetes.io/" + direction + "-bandwidth": "8M"},
		"port_mappings": []map[string]any{{"container_port": 80, "host_port": 8080}},
		"linux":         map[string]any{"security_context": map[string]any{"namespace_options": map[string]any{"network": 0}}},
	})), nil, append(slices.Clone(k.cri), "run", image)...)
	if err != nil {
		return pod{}, err
	}
	var p pod
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		k.t.Fatalf("%v in %s", err, text)
	}
	k.t.Cleanup(func() { // stops it too; what the test removed already succeeds again
		if _, err := k.run(nil, append(slices.Clone(k.cri), "remove", p.Sandbox)...); err != nil {
			k.t.Error(err)
		}
	})
	return p, nil
}

func (k kubelet) mustStart(name string) pod {
	k.t.Helper()
	p, err := k.start(name, "ingress")
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

// call is a line of the plugin's log.
type call struct{ Command, Container, Netns, Error string }

// callsFor returns the plugin's calls for a sandbox, as "command" or "command without namespace".
func (k kubelet) callsFor(p pod) (calls []string) {
	k.t.Helper()
	text, err := os.ReadFile(k.calls())
	if err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			k.t.Fatalf("%v in %s", err, line)
		}
		if c.Container != p.Sandbox {
			continue
		}
		if c.Error != "" {
			k.t.Errorf("%s of sandbox %s: %s", c.Command, p.Sandbox, c.Error)
		}
		if c.Netns == "" {
			c.Command += " without namespace"
		}
		calls = append(calls, c.Command)
	}
	return calls
}

// TestCRI: pods by containerd's Container Runtime Interface get the addresses that the runtime reports, reach each
// other, and leave nothing: when they are stopped and removed, when they are removed twice, and when their namespace
// was lost first, as by a reboot.
func TestCRI(t *testing.T) {
	needRuntime(t, "containerd", "ctr", "runc", "busybox")
	r := newRig(t)
	r.peers()
	behind := []map[string]any{{"type": "bandwidth", "capabilities": map[string]bool{"bandwidth": true}}}
	if _, err := exec.LookPath("iptables"); err == nil {
		behind = append(behind, map[string]any{"type": "portmap", "backend": "iptables", "capabilities": map[string]bool{"portMappings": true}})
	}
	r.network("weft", "1.0.0", "both", behind...)
	k := r.kubelet()
	k.ask("status")
	one, two := k.mustStart("one"), k.mustStart("two")
	r.attached(2)
	shown := k.ask("exec", one.Container, "/bin/ip", "addr", "show", "eth0")
	if len(one.Addresses) != 2 || slices.Contains(one.Addresses, two.Addresses[0]) {
		t.Errorf("the runtime reports %v and %v", one.Addresses, two.Addresses)
	}
	for _, addr := range one.Addresses {
		if !strings.Contains(shown, addr.String()+"/") {
			t.Errorf("the runtime reports %s; the container has %s", addr, shown)
		}
		if got := k.ask("exec", two.Container, "/bin/ping", "-c1", "-W3", addr.String()); !strings.Contains(got, "1 packets received") {
			t.Errorf("ping from the second pod: %s", got)
		}
	}
	if got := r.mustRun(nil, "tc", "qdisc", "show"); !strings.Contains(got, "tbf") {
		t.Errorf("the annotations' bandwidth is not limited: %s", got)
	}

	for _, verb := range []string{"stop", "stop", "remove", "remove"} {
		k.ask(verb, one.Sandbox)
	}
	r.attached(1)
	t.Logf("calls for a pod: %v", k.callsFor(one))

	// The namespace goes before the pod is stopped: the runtime has none to name any more.
	r.mustRun(nil, "umount", "-l", two.Namespace)
	if err := os.Remove(two.Namespace); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"stop", "remove"} {
		k.ask(verb, two.Sandbox)
	}
	r.attached(0)
	calls := k.callsFor(two)
	t.Logf("calls for a pod that lost its namespace: %v", calls)
	if !slices.Contains(calls, "DEL without namespace") {
		t.Errorf("the runtime made the calls %v, and DEL without a namespace was to be seen", calls)
	}
	// A plugin behind ours that fails: the runtime takes back what ours did. See "Chaining" in docs/cni.md for why it does.
	if _, err := k.start("three", "egress"); err == nil || !strings.Contains(err.Error(), "create ingress qdisc") {
		t.Errorf("a limit of what a pod sends: %v", err)
	}
	r.attached(0)
	k.mustStart("three")
	r.attached(1)
}
