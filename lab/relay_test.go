package lab

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Two nodes lose sight of each other, and both see a third, which takes over; when the way heals, it is used again.
func TestRelayTakesOver(t *testing.T) {
	// With the network cards left to the kernel, as docs/encryption.md recommends it.
	r, topo := testLabWith(t, func(o *Options) { o.KernelCard = true }, "testdata/mesh")
	wantPredicted(t, r, topo.Intent)
	a, b := r.Nodes[1], r.Nodes[2]
	k := &killer{t: t, lab: r, paths: r.pathsBetween(t, topo, b, a)}
	k.under(t, func() {})
	wantSteps(t, r, a, b, 1)

	s, err := r.StartSteady(t.Context(), k.paths, DefaultRates())
	if err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	if err := r.separate(t, "add", a, b); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	// Answers that were on the wire still come in for a moment.
	wantSteps(t, r, a, b, 2)
	took := k.firstAnswers(t, s, cut)
	t.Logf("traffic goes on over the relay after %v", took.Round(time.Millisecond))
	wantMetric(t, r, a, fmt.Sprintf(`weft_tunnel_up{peer="%s"} 0`, b.Name))
	wantMetric(t, r, a, "weft_agent_relayed_nodes 1")
	wantMetric(t, r, Node{}, "weft_controller_failed_links 1")
	k.more(t, s)

	if err := r.separate(t, "del", a, b); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, r, a, b, 1)
	k.more(t, s)
	k.finish(t, s)
}

// separate makes, or takes back, that two nodes don't reach each other's underlay addresses.
func (r *Record) separate(t *testing.T, verb string, a, b Node) error {
	t.Helper()
	return runIP(t.Context(),
		fmt.Sprintf("-n %s route %s blackhole %s/32", a.Namespace, verb, b.VTEP),
		fmt.Sprintf("-n %s route %s blackhole %s/32", b.Namespace, verb, a.VTEP))
}

// wantSteps waits until the way between two nodes is so many tunnels long.
func wantSteps(t *testing.T, r *Record, a, b Node, want int) {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		res, err := client.Intent.OverlayPath(t.Context(), connect.NewRequest(&weftv1.OverlayPathRequest{From: string(a.Name), To: string(b.Name)}))
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Msg.GetSteps()) == want && res.Msg.GetProblem() == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the way from %s to %s is %v, want %d steps", a.Name, b.Name, res.Msg, want)
		}
	}
}
