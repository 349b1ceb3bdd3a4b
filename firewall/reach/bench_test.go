package reach_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// benchWorld is one network with classes of workloads, each at an address of its own, and policies that select some of
// them for ingress and egress by identities, with an address range here and there.
func benchWorld(classes, policies int, seed uint64) (map[fabric.NetworkID]firewall.Table, []reach.Class) {
	r := rand.New(rand.NewPCG(seed, seed))
	base := fabric.Identity(0x10000)
	some := func(n int) (ids []fabric.Identity) {
		for range n {
			ids = append(ids, base+fabric.Identity(r.IntN(classes)+1))
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	t := firewall.Table{Network: 1}
	var governed [firewall.Egress + 1][]fabric.Identity
	id := firewall.RuleID(1)
	add := func(rule firewall.Rule) {
		rule.ID = id
		id++
		t.Rules = append(t.Rules, rule)
	}
	for p := range policies {
		subject := some(2 + r.IntN(6))
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			governed[d] = append(governed[d], subject...)
			for i := range 2 {
				rule := firewall.Rule{
					Tier: firewall.Tenant, Direction: d, Action: firewall.Allow, Order: firewall.Order{Priority: 500, Index: p*2 + i},
					Subject: firewall.Workloads{IDs: subject}, Peers: firewall.Peers{IDs: some(20)},
					Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: uint16(1000 + p), Last: uint16(1000 + p + r.IntN(5))}}},
				}
				if r.IntN(10) == 0 {
					rule.Peers.CIDRs = []firewall.CIDR{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), 0}), 24)}}
				}
				add(rule)
			}
		}
	}
	for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
		slices.Sort(governed[d])
		add(firewall.Rule{Tier: firewall.Tenant, Direction: d, Action: firewall.Deny, Order: firewall.Order{Last: true}, Subject: firewall.Workloads{IDs: slices.Compact(governed[d])}, Peers: firewall.Peers{Any: true}})
		add(firewall.Rule{Tier: firewall.Posture, Direction: d, Action: firewall.Allow, Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}})
	}
	var all []reach.Class
	for i := range classes {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		all = append(all, reach.Class{Network: 1, Identity: base + fabric.Identity(i+1), Addresses: []reach.Range{{First: a, Last: a}}})
	}
	return map[fabric.NetworkID]firewall.Table{1: t}, all
}

// measure runs a benchmark's loop, and reports the processor's time beside the clock's, which other programs lengthen. It says
// which input was measured.
func measure(b *testing.B, seed uint64, input any, loop func()) {
	b.Helper()
	sum := sha256.New()
	fmt.Fprintf(sum, "%+v", input)
	b.Logf("seed %d, input sha256:%x", seed, sum.Sum(nil)[:8])
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	for b.Loop() {
		loop()
	}
	b.ReportMetric(float64((used()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkAllPairs400 asks for every pair of 400 workloads, each of a class of its own, under 200 policies.
func BenchmarkAllPairs400(b *testing.B) {
	tables, classes := benchWorld(400, 200, 1)
	parts := 0
	measure(b, 1, []any{tables, classes}, func() {
		e := reach.New(tables, classes)
		parts = 0
		for from := range classes {
			for to := range classes {
				parts += len(e.Between(from, to))
			}
		}
	})
	b.ReportMetric(float64(parts), "parts")
}
