package host_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// TestShieldOfForeignLinks: what arrives on a shielded tap doesn't reach the node's own addresses; the shield comes off
// without a trace; and filters of somebody else are left alone.
func TestShieldOfForeignLinks(t *testing.T) {
	ovstest.Require(t)
	path, guest := namespace(t), filepath.Base(namespace(t))
	h := host.New(path)
	node := func(args ...string) string {
		t.Helper()
		return command(t, "ip", append([]string{"netns", "exec", filepath.Base(path)}, args...)...)
	}
	node("ip", "link", "add", "plugged", "type", "veth", "peer", "name", "eth0", "netns", guest)
	node("ip", "addr", "add", "192.0.2.1/24", "dev", "plugged")
	node("ip", "link", "set", "plugged", "up")
	command(t, "ip", "-n", guest, "addr", "add", "192.0.2.2/24", "dev", "eth0")
	command(t, "ip", "-n", guest, "link", "set", "eth0", "up")
	reaches := func() bool {
		return exec.Command("ip", "netns", "exec", guest, "ping", "-c1", "-W1", "192.0.2.1").Run() == nil
	}
	shielded := func(want ...string) {
		t.Helper()
		got, err := h.Shielded(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("shielded are %v, %v; want %v", got, err, want)
		}
	}

	if !reaches() {
		t.Fatal("the node doesn't answer without a shield")
	}
	shielded()
	for range 2 {
		if err := h.Shield(t.Context(), "plugged"); err != nil {
			t.Fatal(err)
		}
	}
	shielded("plugged")
	if reaches() {
		t.Error("the node answers through the shield")
	}
	for range 2 {
		if err := h.Unshield(t.Context(), "plugged"); err != nil {
			t.Fatal(err)
		}
	}
	shielded()
	if out := node("tc", "qdisc", "show", "dev", "plugged"); strings.Contains(out, "clsact") || !reaches() {
		t.Errorf("the shield left %s", out)
	}

	node("tc", "qdisc", "add", "dev", "plugged", "clsact")
	node("tc", "filter", "add", "dev", "plugged", "ingress", "bpf", "bytecode", "1,6 0 0 0")
	if err := h.Shield(t.Context(), "plugged"); err == nil || !strings.Contains(err.Error(), "filters of somebody else") {
		t.Errorf("a link with filters of somebody else: %v", err)
	}
	if err := h.Unshield(t.Context(), "plugged"); err != nil {
		t.Error(err)
	}
	if out := node("tc", "filter", "show", "dev", "plugged", "ingress"); !strings.Contains(out, "bytecode") {
		t.Error("the filter of somebody else is gone")
	}
	if err := h.Unshield(t.Context(), "nosuchlink"); err != nil {
		t.Error(err)
	}
}
