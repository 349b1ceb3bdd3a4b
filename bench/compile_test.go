package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// compileSize is which fabrics are compiled.
type compileSize struct {
	nodes   []int
	changes int // of each kind
	// ovnPorts are the sizes of OVN's logical switch, rising; ovnChanges the changes of each kind at each size.
	ovnPorts   []int
	ovnChanges int
}

func BenchmarkCompile(b *testing.B) {
	report(b, func() *table {
		return measureCompile(b, compileSize{nodes: []int{100, 1000, 5000}, changes: 100, ovnPorts: []int{2000, 10_000}, ovnChanges: 5})
	})
}

func TestCompile(t *testing.T) {
	smoke(t, func() *table {
		return measureCompile(t, compileSize{nodes: []int{20}, changes: 2, ovnPorts: []int{20}, ovnChanges: 1})
	})
}

const (
	workloadsPerNode = 20
	nodesPerNetwork  = 20
	compileSeed      = 1
	// changeTarget bounds one change at 5,000 nodes.
	changeTarget = 5 * time.Millisecond
)

// measureCompile times what the controller computes: everything from scratch, and one change with the plans that
// follow from it.
func measureCompile(tb testing.TB, size compileSize) *table {
	t := &table{
		title: "Compile",
		inputs: fmt.Sprintf("%d workloads a node, 4 networks on each, %d nodes a network; %d changes of each kind; seed %d",
			workloadsPerNode, nodesPerNetwork, size.changes, compileSeed),
		head: []string{"system", "size", "what", "median", "p99", "of 5 ms", "plans"},
	}
	for _, n := range size.nodes {
		w, refs := compileWorld(n)
		var e *compile.Engine
		scratch := timed(func() { e = w.engine() })
		label := fmt.Sprintf("%d nodes", n)
		t.add("weft", label, "from scratch", ms(scratch), "-", "-", n)
		for _, kind := range changeKinds(w, refs) {
			took, plans := applyChanges(e, kind, size.changes)
			t.add("weft", label, kind.name, ms(median(took)), ms(quantile(took, 0.99)), ratio(median(took), changeTarget), plans)
		}
	}
	if o := startOVN(tb); o != nil {
		o.measure(tb, t, size)
	}
	t.note("plans: nodes whose plan the change concerned. A workload with known labels in a leased block changes nothing, and is not listed.")
	t.note("OVN: northd alone (--wait=sb), one logical switch with all ports, one ACL for every 20 of them; no chassis follows. Its times")
	t.note("hold the start of ovn-nbctl and two databases on disk; weft's hold neither the store nor the stream (see: Fleet).")
	return t
}

// compileWorld is a fabric of n nodes with 20 workloads each.
func compileWorld(n int) (*world, []fabric.NetworkRef) {
	w := newWorld(n, topology.NodeBlock{IPv4: 26})
	perNode := workloadsPerNode / len(tiers)
	refs := w.networks(max(2, n*perNode/nodesPerNetwork))
	for i := range n * workloadsPerNode {
		node := i / workloadsPerNode
		w.attach(nodeName(node), refs[(node/nodesPerNetwork*perNode+i%perNode)%len(refs)])
	}
	return w, refs
}

// changeKind makes the i-th change of a kind, and what takes it back.
type changeKind struct {
	name string
	make func(i int) (do, undo compile.Change)
}

func changeKinds(w *world, refs []fabric.NetworkRef) []changeKind {
	r := rand.New(rand.NewPCG(compileSeed, compileSeed))
	pick := func() (int, fabric.NetworkRef) { i := r.IntN(len(refs)); return i, refs[i] }
	return []changeKind{
		{"one more block", func(int) (compile.Change, compile.Change) {
			_, ref := pick()
			node := nodeName(r.IntN(len(w.state.Nodes)))
			key := compile.LeaseKey{Network: ref, Prefix: w.nextBlock(hosting{node, ref})}
			return compile.Change{Lease: &compile.LeaseChange{Key: key, Lease: &compile.Lease{Node: node, Subnet: "main"}}},
				compile.Change{Lease: &compile.LeaseChange{Key: key}}
		}},
		{"one more label set", func(int) (compile.Change, compile.Change) {
			i, ref := pick()
			id := networkBase(i) + 200
			return compile.Change{Identity: &compile.IdentityChange{ID: id, Alloc: &compile.IdentityAlloc{Network: ref, Labels: fabric.Labels{"tier": "web", "env": "test"}}}},
				compile.Change{Identity: &compile.IdentityChange{ID: id}}
		}},
		{"one more policy", func(i int) (compile.Change, compile.Change) {
			_, ref := pick()
			o := allow(ref.Tenant, "cache", "app", uint16(6000+i))
			return compile.Change{Object: o}, compile.Change{ObjectGone: &o.Key}
		}},
	}
}

// applyChanges applies changes one by one, each taken back untimed, and returns what each took and how many
// plans the last one changed.
func applyChanges(e *compile.Engine, kind changeKind, n int) (took []time.Duration, plans int) {
	for i := range n {
		do, undo := kind.make(i)
		took = append(took, timed(func() {
			e.Apply(do)
			changed, _ := e.Flush()
			plans = len(changed)
		}))
		e.Apply(undo)
		e.Flush()
	}
	return took, plans
}

// measure grows a logical switch, and times single changes of it.
func (o *ovn) measure(tb testing.TB, t *table, size compileSize) {
	tb.Helper()
	o.nb(tb, "ls-add", "big", "--", "pg-add", "all")
	ports := 0
	for _, want := range size.ovnPorts {
		for ports < want {
			var args []string
			for range min(500, want-ports) {
				name := fmt.Sprintf("p%d", ports)
				address := fmt.Sprintf("02:00:00:%02x:%02x:%02x 10.%d.%d.%d", ports>>16, ports>>8&255, ports&255, ports>>16, ports>>8&255, ports&255)
				args = append(args, "--", "lsp-add", "big", name, "--", "lsp-set-addresses", name, address, "--", "lsp-set-port-security", name, address)
				if ports%20 == 0 {
					args = append(args, "--", "acl-add", "all", "to-lport", "1000", ovnMatch(ports), "allow-related")
				}
				ports++
			}
			o.nb(tb, args[1:]...)
		}
		label := fmt.Sprintf("%d ports", want)
		scratch := timed(func() { o.nb(tb, "--wait=sb", "sync") })
		t.add("OVN", label, "after its ports were added", ms(scratch), "-", "-", "-")
		var add, acl []time.Duration
		for i := range size.ovnChanges {
			name := fmt.Sprintf("one-%d-%d", want, i)
			add = append(add, timed(func() { o.nb(tb, "--wait=sb", "lsp-add", "big", name) }))
			acl = append(acl, timed(func() { o.nb(tb, "--wait=sb", "acl-add", "all", "to-lport", "1001", ovnMatch(want+i), "allow-related") }))
		}
		t.add("OVN", label, "one more port (lsp-add)", ms(median(add)), ms(quantile(add, 0.99)), ratio(median(add), changeTarget), "-")
		t.add("OVN", label, "one more policy (acl-add)", ms(median(acl)), ms(quantile(acl, 0.99)), ratio(median(acl), changeTarget), "-")
	}
}

func ovnMatch(i int) string {
	return fmt.Sprintf("outport == @all && ip4.src == 10.%d.%d.0/24 && tcp.dst == %d", i>>16, i>>8&255, 1000+i%60000)
}
