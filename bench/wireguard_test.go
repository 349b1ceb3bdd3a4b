package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab"
)

// wireguardSize is how much is sent.
type wireguardSize struct {
	rounds int
	send   time.Duration
	trips  int
}

func BenchmarkWireGuard(b *testing.B) {
	report(b, func() *table {
		return measureWireGuard(b, wireguardSize{rounds: 20, send: 500 * time.Millisecond, trips: 500})
	})
}

func TestWireGuard(t *testing.T) {
	smoke(t, func() *table {
		return measureWireGuard(t, wireguardSize{rounds: 1, send: 100 * time.Millisecond, trips: 10})
	})
}

const encryptedFabric = `
---
apiVersion: weft.dev/v1alpha1
kind: Fabric
metadata: {name: default}
spec:
  encryption: {mode: wireguard, required: true}
`

// across is a way between two nodes.
type across struct {
	name        string
	from, to    endpoint
	rate, trips []float64
}

// measureWireGuard compares the fabric with encrypted tunnels with its two limits: the fabric without encryption, and
// the WireGuard device alone, between the nodes' kernels. The nodes' network cards are the kernel's, as docs/encryption.md
// recommends, and once more ports of a bridge of Open vSwitch, through which each packet passes vswitchd twice.
func measureWireGuard(tb testing.TB, size wireguardSize) *table {
	ns := newNamespaces(tb)
	plain := acrossFabric(tb, ns, "weft, plain", labUp(tb, labSpec{nodes: 2, yaml: cniNetwork + allowPolicy}))
	ways := []*across{plain}
	cards := []*struct {
		name              string
		kernel            bool
		device, encrypted *across
	}{{name: "card of the kernel", kernel: true}, {name: "card in a bridge"}}
	for i, c := range cards {
		r := labUp(tb, labSpec{name: fmt.Sprint("e", i), nodes: 2, yaml: cniNetwork + allowPolicy + encryptedFabric, kernelCard: c.kernel})
		c.device, c.encrypted = rawWireGuard(tb, "WireGuard device, "+c.name, r), acrossFabric(tb, ns, "weft, encrypted, "+c.name, r)
		ways = append(ways, c.device, c.encrypted)
	}
	for range size.rounds {
		for _, w := range ways {
			w.measure(tb, size)
		}
	}
	t := &table{
		title: "WireGuard",
		inputs: fmt.Sprintf("userspace datapath, WireGuard in the agents; packet sockets of %s bytes (net.core.rmem_default); %d rounds by turns of %s TCP and %d exchanges of 1 byte; medians",
			packetBuffer(tb), size.rounds, size.send, size.trips),
		head: []string{"between two nodes", "Gbit/s", "of plain", "of the device", "of both", "round trip", "of plain", "of the device"},
	}
	row := func(w, device *across) {
		both := oneAfterTheOther(plain.rate, device.rate)
		ofBoth := "-"
		if w != plain && w != device {
			ofBoth = pairedText(w.rate, both)
		}
		t.add(w.name, fmt.Sprintf("%.2f", medianOf(w.rate)), fmt.Sprintf("%.2f", paired(w.rate, plain.rate)), fmt.Sprintf("%.2f", paired(w.rate, device.rate)), ofBoth,
			fmt.Sprintf("%.0f µs", medianOf(w.trips)), fmt.Sprintf("%.2f", paired(w.trips, plain.trips)), fmt.Sprintf("%.2f", paired(w.trips, device.trips)))
	}
	row(plain, cards[0].device)
	for _, c := range cards {
		row(c.device, c.device)
		row(c.encrypted, c.device)
	}
	t.note("plain: VXLAN between the same switches without encryption; the device: a tun of golang.zx2c4.com/wireguard in a process of its own on each")
	t.note("node, from kernel to kernel, without a switch or a policy. Both ends and all switches share the machine's processors, so what the limits")
	t.note("cost adds up: both is the rate of the two one after the other, 1/(1/plain + 1/device); in brackets the interval of 95 %% confidence.")
	best := cards[0]
	t.metric(paired(best.encrypted.rate, plain.rate), "encrypted/plain")
	t.metric(paired(best.encrypted.rate, oneAfterTheOther(plain.rate, best.device.rate)), "encrypted/both")
	return t
}

// packetBuffer returns the size of the buffers from which vswitchd reads its ports, which docs/install.md has made larger on a
// node. It is the machine's, so a benchmark doesn't change it.
func packetBuffer(tb testing.TB) string {
	tb.Helper()
	size, err := os.ReadFile("/proc/sys/net/core/rmem_default")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(string(size))
}

// oneAfterTheOther returns the rates of doing two things for each bit that take rates a and b alone.
func oneAfterTheOther(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = 1 / (1/a[i] + 1/b[i])
	}
	return out
}

// acrossFabric attaches a container on each of two nodes.
func acrossFabric(tb testing.TB, ns *namespaces, name string, r *lab.Record) *across {
	tb.Helper()
	w := &across{name: name}
	for i, e := range []*endpoint{&w.from, &w.to} {
		e.namespace = ns.add("w")
		if _, err := weftPlugin(r, r.Nodes[i]).call("ADD", e.namespace); err != nil {
			tb.Fatal(err)
		}
		e.address = addressOf(tb, e.namespace)
	}
	return w
}

func (w *across) measure(tb testing.TB, size wireguardSize) {
	tb.Helper()
	bytes, took, err := throughput(tb.Context(), w.from, w.to, size.send)
	if err != nil {
		tb.Fatalf("%s: %v", w.name, err)
	}
	w.rate = append(w.rate, float64(bytes)*8/1e9/took.Seconds())
	trips, err := roundTrips(tb.Context(), w.from, w.to, size.trips)
	if err != nil {
		tb.Fatalf("%s: %v", w.name, err)
	}
	w.trips = append(w.trips, float64(median(trips).Nanoseconds())/1e3)
}
