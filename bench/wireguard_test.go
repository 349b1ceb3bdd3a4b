package bench

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

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
// the WireGuard device alone, between the nodes' kernels.
func measureWireGuard(tb testing.TB, size wireguardSize) *table {
	ns := newNamespaces(tb)
	plain := labUp(tb, labSpec{nodes: 2, yaml: cniNetwork + allowPolicy})
	encrypted := labUp(tb, labSpec{name: "e", nodes: 2, yaml: cniNetwork + allowPolicy + encryptedFabric})
	ways := []*across{
		acrossFabric(tb, ns, "weft, plain", plain),
		rawWireGuard(tb, encrypted),
		acrossFabric(tb, ns, "weft, encrypted", encrypted),
	}
	for range size.rounds {
		for _, w := range ways {
			w.measure(tb, size)
		}
	}
	both := oneAfterTheOther(ways[0].rate, ways[1].rate)
	t := &table{
		title:  "WireGuard",
		inputs: fmt.Sprintf("userspace datapath, WireGuard in the agents; %d rounds by turns of %s TCP and %d exchanges of 1 byte; medians", size.rounds, size.send, size.trips),
		head:   []string{"between two nodes", "Gbit/s", "of plain", "of the device", "of both", "round trip", "of plain", "of the device"},
	}
	for _, w := range ways {
		t.add(w.name, fmt.Sprintf("%.2f", medianOf(w.rate)), fmt.Sprintf("%.2f", paired(w.rate, ways[0].rate)), fmt.Sprintf("%.2f", paired(w.rate, ways[1].rate)), fmt.Sprintf("%.2f", paired(w.rate, both)),
			fmt.Sprintf("%.0f µs", medianOf(w.trips)), fmt.Sprintf("%.2f", paired(w.trips, ways[0].trips)), fmt.Sprintf("%.2f", paired(w.trips, ways[1].trips)))
	}
	t.note("plain: VXLAN between the same switches without encryption; the device: a tun of golang.zx2c4.com/wireguard in each node, from kernel to")
	t.note("kernel, without a switch or a policy. Both ends and all switches share the machine's processors, so what the limits cost adds up:")
	t.note("both is the rate of the two one after the other, 1/(1/plain + 1/device).")
	t.metric(paired(ways[2].rate, ways[0].rate), "encrypted/plain")
	t.metric(paired(ways[2].rate, both), "encrypted/both")
	return t
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

// rawWireGuard puts a device of its own beside the fabric on two nodes, over the same underlay.
func rawWireGuard(tb testing.TB, r *lab.Record) *across {
	tb.Helper()
	const (
		port = 51999
		mtu  = 1440
	)
	var keys [2]wgtypes.Key
	for i := range keys {
		var err error
		if keys[i], err = wgtypes.GeneratePrivateKey(); err != nil {
			tb.Fatal(err)
		}
	}
	var ends [2]endpoint
	for i := range ends {
		other := 1 - i
		n, public := r.Nodes[i], keys[other].PublicKey()
		name := fmt.Sprintf("raw%d", i)
		ends[i] = endpoint{namespace: n.Namespace, address: fmt.Sprintf("10.254.0.%d", i+1)}
		err := inNamespace(n.Namespace, func() error {
			t, err := tun.CreateTUN(name, mtu)
			if err != nil {
				return err
			}
			d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
			tb.Cleanup(d.Close)
			err = d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s:%d\nallowed_ip=10.254.0.%d/32\n",
				hex.EncodeToString(keys[i][:]), port, hex.EncodeToString(public[:]), r.Nodes[other].VTEP, port, other+1))
			if err != nil {
				return err
			}
			return d.Up()
		})
		if err != nil {
			tb.Fatal(err)
		}
		run(tb, "ip", "-n", n.Namespace, "addr", "add", ends[i].address+"/24", "dev", name)
		run(tb, "ip", "-n", n.Namespace, "link", "set", name, "up")
	}
	return &across{name: "WireGuard device", from: ends[0], to: ends[1]}
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
