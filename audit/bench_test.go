package audit_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// size is how large a generated topology is. Of each network: workloads with one of apps x tiers x stages label sets, and
// policies of one ingress and one egress rule, by labels, now and then by addresses.
type size struct {
	networks, workloads, policies int
	apps, tiers, stages           int
}

// generate makes a dual-stack topology of a seed: each network has its own addresses, labels and policies.
func generate(b testing.TB, s size, seed uint64) (*topology.Intent, []audit.Workload) {
	b.Helper()
	r := rand.New(rand.NewPCG(seed, seed))
	var objects []*topology.Object
	add := func(body any) {
		o, ok := topology.NewObject(body)
		if !ok {
			b.Fatalf("%T is no kind", body)
		}
		objects = append(objects, o)
	}
	selector := func() topology.Selector {
		l := fabric.Labels{"app": fmt.Sprint("a", r.IntN(s.apps))}
		switch r.IntN(4) {
		case 0:
			l["tier"] = fmt.Sprint("t", r.IntN(s.tiers))
		case 1:
			l = fabric.Labels{"tier": fmt.Sprint("t", r.IntN(s.tiers)), "stage": fmt.Sprint("s", r.IntN(s.stages))}
		}
		return topology.Selector{MatchLabels: l}
	}
	rule := func(network int, peers *[]topology.Peer) {
		*peers = []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: selector()}}}
		if r.IntN(10) == 0 {
			*peers = append(*peers, topology.Peer{CIDR: &topology.CIDRPeer{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(network), byte(r.IntN(16) * 16), 0}), 20)}})
		}
	}
	ports := func() []topology.PortRange {
		first := uint16(1 + r.IntN(60000))
		return []topology.PortRange{{Protocol: topology.TCP, Port: first, EndPort: first + uint16(r.IntN(20))}}
	}
	var workloads []audit.Workload
	add(&topology.Tenant{Metadata: topology.Metadata{Name: "t"}})
	for n := range s.networks {
		name := fmt.Sprint("n", n)
		v4, v6 := [4]byte{10, byte(n)}, [16]byte{0xfd, 0, 0, byte(n)}
		add(&topology.Network{Metadata: topology.Metadata{Name: name, Tenant: "t"}, Spec: topology.NetworkSpec{Subnets: []topology.Subnet{
			{Name: "s", IPv4: netip.PrefixFrom(netip.AddrFrom4(v4), 16), IPv6: netip.PrefixFrom(netip.AddrFrom16(v6), 64)}}}})
		for i := range s.workloads {
			v4[2], v4[3], v6[14], v6[15] = byte((i+2)>>8), byte(i+2), byte((i+2)>>8), byte(i+2)
			workloads = append(workloads, audit.Workload{
				Name: fmt.Sprintf("t/%s-%d", name, i), Network: fabric.NetworkRef{Tenant: "t", Name: name}, Addresses: []netip.Addr{netip.AddrFrom4(v4), netip.AddrFrom16(v6)},
				Labels: fabric.Labels{"app": fmt.Sprint("a", r.IntN(s.apps)), "tier": fmt.Sprint("t", r.IntN(s.tiers)), "stage": fmt.Sprint("s", r.IntN(s.stages))},
			})
		}
		for p := range s.policies {
			f := &topology.FirewallPolicy{Metadata: topology.Metadata{Name: fmt.Sprintf("p%d-%d", n, p), Tenant: "t"}, Spec: topology.FirewallPolicySpec{
				Network: name, Subject: selector(), Ingress: []topology.Rule{{Ports: ports()}}, Egress: []topology.Rule{{Ports: ports()}},
			}}
			rule(n, &f.Spec.Ingress[0].From)
			rule(n, &f.Spec.Egress[0].To)
			add(f)
		}
	}
	return topology.NewIntent(objects...), workloads
}

// BenchmarkReach100000 asks for every pair of label sets of 100,000 dual-stack workloads in 100 networks under 10,000 rules,
// from the declared objects on.
func BenchmarkReach100000(b *testing.B) {
	benchReach(b, size{networks: 100, workloads: 1000, policies: 50, apps: 20, tiers: 4, stages: 3}, 1)
}

// BenchmarkReachRows100000 is the same with a row for each pair that connects, as "weft audit reach" prints them.
func BenchmarkReachRows100000(b *testing.B) {
	intent, workloads := generate(b, size{networks: 100, workloads: 1000, policies: 50, apps: 20, tiers: 4, stages: 3}, 1)
	rows := 0
	before := cpuTime(b)
	for b.Loop() {
		r, err := audit.ReachOf(intent, workloads, audit.Question{})
		if err != nil {
			b.Fatal(err)
		}
		rows = len(r.Rows)
	}
	b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(rows), "rows")
}

// BenchmarkReach400 is 400 workloads under 200 policies in one network, from the declared objects on.
func BenchmarkReach400(b *testing.B) {
	benchReach(b, size{networks: 1, workloads: 400, policies: 200, apps: 40, tiers: 4, stages: 3}, 1)
}

func benchReach(b *testing.B, s size, seed uint64) {
	intent, workloads := generate(b, s, seed)
	sum := sha256.New()
	for _, o := range intent.Objects() {
		text, err := o.MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		sum.Write(text)
	}
	fmt.Fprint(sum, workloads)
	b.Logf("seed %d, input sha256:%x", seed, sum.Sum(nil)[:8])
	classes, pairs, allowed := 0, 0, 0
	before := cpuTime(b)
	for b.Loop() {
		w, err := audit.NewWorld(intent, workloads, nil)
		if err != nil {
			b.Fatal(err)
		}
		classes, pairs, allowed = len(w.Classes), 0, 0
		w.Pairs(func(_, _ int, parts []reach.Part) {
			pairs++
			for i := range parts {
				if parts[i].Allowed {
					allowed++
				}
			}
		})
	}
	b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(classes), "classes")
	b.ReportMetric(float64(pairs), "pairs")
	b.ReportMetric(float64(allowed), "connections")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-of-process")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
