package lab

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// One MAC address answers for a node's tunnel address: with two, tunnel packets that follow the wrong one reach nobody
// until the next answer, and connections across nodes stand still.
func TestOneAnswerForATunnelAddress(t *testing.T) {
	ovstest.Require(t)
	r, err := newRecord(Options{Name: "arp", StateDir: shortDir(t), BinDir: "/nonexistent", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := r.makeNetworks(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		n, err := r.makeNode(t.Context(), i, underlay{net: underlayNet, mtu: 1500}, DeclaredNode{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.startOVS(t.Context(), n, 1500); err != nil {
			t.Fatal(err)
		}
	}
	from, to := r.Nodes[0], r.Nodes[1]
	want, err := command(t.Context(), within(to.Namespace, "cat", "/sys/class/net/br-ul/address")...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), within(from.Namespace, "busybox", "arping", "-c", "3", "-w", "5", "-I", "br-ul", to.VTEP.String())...)
	if err != nil {
		t.Fatal(err)
	}
	answers := regexp.MustCompile(`[0-9a-f]{2}(:[0-9a-f]{2}){5}`).FindAllString(out, -1)
	slices.Sort(answers)
	if answers = slices.Compact(answers); !slices.Equal(answers, []string{strings.TrimSpace(want)}) {
		t.Errorf("answers come from %v, want %s alone:\n%s", answers, want, out)
	}
}
