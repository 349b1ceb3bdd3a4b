package reach_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// TestAnalysisEqualsScratch changes rules again and again, and compares each pair with an analysis from scratch.
func TestAnalysisEqualsScratch(t *testing.T) {
	every := classes()
	all := slices.Concat(every[:4], every[4:6], every[12:])
	rapid.Check(t, func(t *rapid.T) {
		tables := map[fabric.NetworkID]firewall.Table{1: drawTable(t, 1), 2: drawTable(t, 2)}
		in := reach.Input{Tables: tables, Classes: all}
		if rapid.Bool().Draw(t, "apart") {
			in.Joined = func(a, b fabric.NetworkID) bool { return false }
		}
		a := reach.NewAnalysis(in)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			before := texts(a, len(all))
			network := rapid.SampledFrom([]fabric.NetworkID{1, 2}).Draw(t, "network")
			next := map[fabric.NetworkID]firewall.Table{1: tables[1], 2: tables[2]}
			next[network] = changed(t, tables[network])
			tables, in.Tables = next, next
			asked, anew := a.Update(tables)
			scratch, now := texts(reach.NewAnalysis(in), len(all)), texts(a, len(all))
			for i := range scratch {
				p := reach.Pair{From: i / len(all), To: i % len(all)}
				if now[i] != scratch[i] {
					t.Fatalf("%+v:\n%s\nfrom scratch\n%s", p, now[i], scratch[i])
				}
				if now[i] != before[i] && !anew && !slices.Contains(asked, p) {
					t.Fatalf("%+v changed and was not asked", p)
				}
			}
		}
	})
}

// changed returns a table with a rule more, less or another one.
func changed(t *rapid.T, table firewall.Table) firewall.Table {
	out := firewall.Table{Network: table.Network, Rules: slices.Clone(table.Rules)}
	fresh := drawTable(t, table.Network).Rules
	for i := range fresh {
		fresh[i].ID += 1000 // an id is one rule's alone
	}
	switch n := len(out.Rules); {
	case rapid.Bool().Draw(t, "add") && len(fresh) > 0:
		out.Rules = append(out.Rules, fresh[0])
		fresh[0].ID += firewall.RuleID(n)
	case n > 0 && rapid.Bool().Draw(t, "remove"):
		i := rapid.IntRange(0, n-1).Draw(t, "at")
		out.Rules = slices.Delete(out.Rules, i, i+1)
	case n > 0:
		r := &out.Rules[rapid.IntRange(0, n-1).Draw(t, "at")]
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			r.Action = rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action")
		case 1:
			r.Peers = drawPeers(t)
		case 2:
			r.Subject = firewall.Workloads{IDs: drawIDs(t, table.Network)}
		default:
			r.Order.Priority = rapid.IntRange(1, 3).Draw(t, "priority")
		}
	}
	return out
}

// texts writes what is decided for each pair, with the rules' ids.
func texts(a *reach.Analysis, n int) []string {
	e := a.Engine()
	var out []string
	for from := range n {
		for to := range n {
			var b strings.Builder
			for _, p := range a.Between(from, to) {
				id := func(r *firewall.Rule) firewall.RuleID {
					if r == nil {
						return 0
					}
					return r.ID
				}
				fmt.Fprintln(&b, p.Family, e.Atoms.Ranges(e.Addresses(from, p.Family, p.Src)), e.Atoms.Ranges(e.Addresses(to, p.Family, p.Dst)), p.Services, p.Allowed, id(p.Egress), id(p.Ingress))
			}
			out = append(out, b.String())
		}
	}
	return out
}

// BenchmarkChange400 changes one rule of one policy among 200, of a network with 400 workloads, and takes the change back the
// next time; each time every pair is brought up to date.
func BenchmarkChange400(b *testing.B) {
	tables, classes := benchWorld(400, 200, 1)
	a := reach.NewAnalysis(reach.Input{Tables: tables, Classes: classes})
	r := rand.New(rand.NewPCG(2, 2))
	// The thread's own time: other programs of a busy machine lengthen the clock's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took, used []time.Duration
	asked, back := 0, true
	measure(b, 2, []any{tables, classes}, func() {
		next := firewall.Table{Network: 1, Rules: slices.Clone(tables[1].Rules)}
		back = !back
		at := &next.Rules[r.IntN(len(next.Rules)-4)] // the last four are the defaults and the posture
		switch kind := r.IntN(3); {
		case back:
		case kind == 0:
			at.Action = firewall.Deny
		case kind == 1:
			at.Peers.IDs = append(slices.Clone(at.Peers.IDs), fabric.Identity(0x10000+1+r.IntN(400)))
			slices.Sort(at.Peers.IDs)
		default:
			at.Services = []firewall.Service{{Protocol: firewall.UDP, Ports: firewall.PortRange{First: uint16(1 + r.IntN(60000)), Last: 65535}}}
		}
		start, before := time.Now(), threadTime(b)
		pairs, all := a.Update(map[fabric.NetworkID]firewall.Table{1: next})
		took, used = append(took, time.Since(start)), append(used, threadTime(b)-before)
		if asked += len(pairs); all {
			b.Fatal("everything was asked anew")
		}
	})
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	slices.Sort(used)
	b.ReportMetric(float64(used[len(used)*99/100].Microseconds())/1000, "p99-cpu-ms")
	b.ReportMetric(float64(asked)/float64(len(took)), "pairs-asked")
}

// threadTime returns the processor's time that the calling thread has used.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
