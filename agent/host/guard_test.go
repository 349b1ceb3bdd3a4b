package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/host"
)

// testNamespace makes a network namespace that goes with the test.
func testNamespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("WEFT_REQUIRE_OVS") != "" {
				t.Fatalf("this test needs %s", tool)
			}
			t.Skipf("this test needs %s", tool)
		}
	}
	name := "weft-guard-" + strconv.Itoa(os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return name
}

func TestGuard(t *testing.T) {
	name := testNamespace(t)
	in := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("ip", append([]string{"netns", "exec", name}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	in("ip", "link", "add", "wg0", "type", "bridge") // the guard doesn't care what the device is
	h := host.New(filepath.Join("/run/netns", name))
	g := host.Guard{Device: "wg0", VXLANPort: 4789, ProbePort: 6783}
	for range 2 { // twice is once
		if err := h.SetGuard(g); err != nil {
			t.Fatal(err)
		}
		rules := in("iptables", "-S")
		for _, want := range []string{
			"-A INPUT -j WEFT-INPUT", "-A FORWARD -j WEFT-FORWARD", "-A WEFT-INPUT ! -i wg0 -p udp -m udp --dport 4789 -j DROP",
			"-A WEFT-INPUT -i wg0 -j DROP", "-A WEFT-FORWARD -i wg0 -j DROP", "-A WEFT-FORWARD -o wg0 -j DROP",
		} {
			if strings.Count(rules, want+"\n") != 1 {
				t.Errorf("%q isn't there once:\n%s", want, rules)
			}
		}
		if strings.Contains(rules, "ACCEPT\n-A WEFT") || strings.Contains(rules, "-o wg0 -j ACCEPT") {
			t.Errorf("a node that is no relay forwards:\n%s", rules)
		}
	}
	g.Relay = true
	if err := h.SetGuard(g); err != nil {
		t.Fatal(err)
	}
	if rules := in("iptables", "-S", "WEFT-FORWARD"); !strings.HasPrefix(rules, "-N WEFT-FORWARD\n-A WEFT-FORWARD -i wg0 -o wg0 -j ACCEPT\n") {
		t.Errorf("a relay has\n%s", rules)
	}
	if got := strings.TrimSpace(in("cat", "/proc/sys/net/ipv4/conf/wg0/forwarding")); got != "1" {
		t.Errorf("forwarding is %s", got)
	}
	for range 2 {
		if err := h.ClearGuard(); err != nil {
			t.Fatal(err)
		}
	}
	if rules := in("iptables", "-S"); strings.Contains(rules, "WEFT") {
		t.Errorf("left:\n%s", rules)
	}
}
