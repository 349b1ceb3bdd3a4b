package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/lab"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// tunnelsSize is how long pings go on.
type tunnelsSize struct {
	rekey   time.Duration
	changes int // of a node's key meanwhile
	cuts    int
}

func BenchmarkTunnels(b *testing.B) {
	report(b, func() *table { return measureTunnels(b, tunnelsSize{rekey: time.Minute, changes: 10, cuts: 3}) })
}

func TestTunnels(t *testing.T) {
	smoke(t, func() *table { return measureTunnels(t, tunnelsSize{rekey: 3 * time.Second, changes: 1, cuts: 1}) })
}

const openFabric = `
---
apiVersion: weft.dev/v1alpha1
kind: Fabric
metadata: {name: default}
spec:
  posture: allow
  encryption: {mode: wireguard, required: true}
`

const (
	pingInterval   = 10 * time.Millisecond
	takeoverTarget = 3 * time.Second // docs/performance.md
)

// measureTunnels counts the packets that are lost while keys change, and measures how long traffic stands still when two nodes
// lose sight of each other and a third takes over.
func measureTunnels(tb testing.TB, size tunnelsSize) *table {
	ns := newNamespaces(tb)
	r := labUp(tb, labSpec{nodes: 3, yaml: cniNetwork + openFabric, kernelCard: true})
	var ends [3]endpoint
	for i := range ends {
		ends[i].namespace = ns.add("w")
		if _, err := weftPlugin(r, r.Nodes[i]).call("ADD", ends[i].namespace); err != nil {
			tb.Fatal(err)
		}
		ends[i].address = addressOf(tb, ends[i].namespace)
	}
	eventually(tb, "an answer over the tunnel", 10*time.Second, func() bool {
		_, err := tryRun("ip", "netns", "exec", ends[0].namespace, "ping", "-c", "1", "-W", "1", ends[1].address)
		return err == nil
	})
	t := &table{
		title:  "Tunnels",
		inputs: fmt.Sprintf("3 nodes in an encrypted mesh, WireGuard in the agents; pings from node 1 to node 2, one in %s", pingInterval),
		head:   []string{"what", "pings", "lost", "longest without an answer", "target"},
	}
	row := func(what, target string, p pings) {
		t.add(what, p.sent, p.sent-p.answered, ms(p.gap), target)
	}
	still := pinging(tb, ends[0], ends[1], size.rekey/6)
	row("nothing happens", "-", still())

	changing := pinging(tb, ends[0], ends[1], size.rekey)
	for i := range size.changes {
		start := time.Now()
		changeKey(tb, r, string(r.Nodes[i%2].Name))
		time.Sleep(max(0, size.rekey/time.Duration(size.changes+1)-time.Since(start))) // the changes are spread over the pings: the subject of the measurement
	}
	p := changing()
	row(fmt.Sprintf("%d changes of a key, by turns of either node", size.changes), "0 lost", p)
	t.metric(float64(p.sent-p.answered), "lost/rekeys")

	a, b := r.Nodes[0], r.Nodes[1]
	var worst time.Duration
	for i := range size.cuts {
		if i > 0 {
			waitDirect(tb, r, a, b)
		}
		separated := pinging(tb, ends[0], ends[1], 2*takeoverTarget)
		separate(tb, "add", a, b)
		p := separated()
		worst = max(worst, p.gap)
		row("two nodes are separated: over the relay", fmt.Sprintf("%.2f of %s", p.gap.Seconds()/takeoverTarget.Seconds(), takeoverTarget), p)
		separate(tb, "del", a, b)
	}
	t.metric(worst.Seconds()/takeoverTarget.Seconds(), "takeover/target")
	t.note("a key changes in two steps, announced and used; packets are held back meanwhile.")
	return t
}

// separate makes, or takes back, that two nodes don't reach each other's underlay addresses.
func separate(tb testing.TB, verb string, a, b lab.Node) {
	tb.Helper()
	run(tb, "ip", "-n", a.Namespace, "route", verb, "blackhole", b.VTEP.String()+"/32")
	run(tb, "ip", "-n", b.Namespace, "route", verb, "blackhole", a.VTEP.String()+"/32")
}

// waitDirect waits until the way between two nodes is one tunnel.
func waitDirect(tb testing.TB, r *lab.Record, a, b lab.Node) {
	tb.Helper()
	client, err := r.Client()
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	eventually(tb, "the direct way", 2*time.Minute, func() bool {
		res, err := client.Intent.OverlayPath(tb.Context(), connect.NewRequest(&weftv1.OverlayPathRequest{From: string(a.Name), To: string(b.Name)}))
		return err == nil && len(res.Msg.GetSteps()) == 1 && res.Msg.GetProblem() == ""
	})
}

// changeKey has a node change its key.
func changeKey(tb testing.TB, r *lab.Record, node string) {
	tb.Helper()
	client, err := r.Client()
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	stream, err := client.Observe.RotateKeys(tb.Context(), connect.NewRequest(&weftv1.RotateKeysRequest{Nodes: []string{node}}))
	if err != nil {
		tb.Fatal(err)
	}
	changed := false
	for stream.Receive() {
		if m := stream.Msg(); m.GetError() != "" {
			tb.Fatalf("%s: %s", m.GetNode(), m.GetError())
		} else if part := m.GetPart(); part != nil {
			changed = !bytes.Equal(part.GetOld(), part.GetNew())
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		tb.Fatal(err)
	}
	if !changed {
		tb.Fatalf("%s has not changed its key", node)
	}
}

// pings is what became of some.
type pings struct {
	sent, answered int
	gap            time.Duration // the longest time without an answer
}

// pinging pings for some time, and returns what waits for the end.
func pinging(tb testing.TB, from, to endpoint, d time.Duration) (wait func() pings) {
	tb.Helper()
	count := int(d / pingInterval)
	var out bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), "ip", "netns", "exec", from.namespace, "ping", "-D", "-i", fmt.Sprint(pingInterval.Seconds()), "-c", strconv.Itoa(count), "-W", "1", to.address)
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return func() pings {
		tb.Helper()
		err := cmd.Wait() // its exit code says that a ping was lost, which is what is counted
		p, ok := parsePings(start, out.String())
		if !ok {
			tb.Fatalf("ping: %v: %s", err, out.String())
		}
		return p
	}
}

// parsePings reads what a ping(8) that was started at a time printed with -D.
func parsePings(start time.Time, text string) (p pings, ok bool) {
	last := time.Duration(start.UnixNano())
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		var at float64
		if n, _ := fmt.Sscanf(line, "[%f]", &at); n == 1 && strings.Contains(line, "bytes from") {
			now := time.Duration(at * float64(time.Second))
			p.gap, last = max(p.gap, now-last), now
		}
		if n, _ := fmt.Sscanf(line, "%d packets transmitted, %d received", &p.sent, &p.answered); n == 2 {
			ok = true
		}
	}
	return p, ok
}
