package host_test

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/host"
)

// TestLinkMTU: the link is found by its address, of either family; where none has it, nothing is known.
func TestLinkMTU(t *testing.T) {
	name := testNamespace(t)
	for _, line := range []string{
		"link add ul0 mtu 1420 type bridge", "address add 192.0.2.7/24 dev ul0", "address add 2001:db8::7/64 dev ul0", "link add ul1 mtu 9000 type bridge",
	} {
		if out, err := exec.Command("ip", append([]string{"-n", name}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	h := host.New(filepath.Join("/run/netns", name))
	for address, want := range map[string]int{"192.0.2.7": 1420, "2001:db8::7": 1420, "192.0.2.8": 0, "192.0.2.0": 0, "2001:db8::8": 0} {
		if got, err := h.LinkMTU(netip.MustParseAddr(address)); err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", address, got, err, want)
		}
	}
}
