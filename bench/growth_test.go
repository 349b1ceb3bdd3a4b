package bench

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/planwire"
)

// growth is how far the workloads on other nodes grow.
type growth struct {
	nodes int // besides the one that is looked at
	steps []int
}

func BenchmarkGrowth(b *testing.B) {
	report(b, func() *table { return measureGrowth(growth{nodes: 100, steps: []int{100, 1000, 10_000, 100_000}}) })
}

func TestGrowth(t *testing.T) {
	smoke(t, func() *table { return measureGrowth(growth{nodes: 5, steps: []int{5, 50}}) })
}

// localWorkloads run on the node that is looked at, all in the first network.
const localWorkloads = 20

// measureGrowth counts what one node holds, and how often it hears from the controller, while workloads are
// attached elsewhere.
func measureGrowth(g growth) *table {
	t := &table{
		title:  "One node, while workloads elsewhere grow",
		inputs: fmt.Sprintf("%d other nodes; %d local workloads of one network with a peered one; 4 label sets a network", g.nodes, localWorkloads),
		head:   []string{"elsewhere", "workloads", "flows", "ratio", "plan bytes", "ratio", "updates since first row"},
	}
	for _, c := range []struct {
		name, unit string
		block      int
		networks   int // of the other nodes; a single one is the local one's
	}{
		{"other networks, /26 blocks", "flows-growth/other-26", 26, 100},
		{"same network, /22 blocks", "flows-growth/same-22", 22, 1},
		{"same network, /26 blocks", "flows-growth/same-26", 26, 1},
	} {
		rows := grow(g, c.block, c.networks)
		for i, r := range rows {
			t.add(c.name, g.steps[i], r.flows, ratio(r.flows, rows[0].flows), r.bytes, ratio(r.bytes, rows[0].bytes), r.updates)
		}
		last := rows[len(rows)-1]
		t.metric(float64(last.flows)/float64(rows[0].flows), c.unit)
	}
	t.note("Blocks are told to the nodes of their network, workloads to nobody. A new block costs its network's nodes one update;")
	t.note("a node leases one when its workloads of the network outgrow those that it has: the first of the size in the table")
	t.note("(Fabric.spec.nodeBlock: /26 by default), each further one so that it makes one range with those before, with one route.")
	return t
}

// held is what the node holds.
type held struct{ flows, bytes, updates int }

func grow(g growth, block, networks int) (rows []held) {
	const local = "node0"
	w := newWorld(g.nodes+1, topology.NodeBlock{IPv4: block})
	refs := w.networks(2 + 2*networks)
	elsewhere := refs[2 : 2+networks]
	if networks == 1 {
		elsewhere = refs[:1]
	}
	for range localWorkloads {
		w.attach(local, refs[0])
	}
	e := w.engine()
	r := pipeline.NewRenderer()
	updates := 0
	attached := 0
	for _, step := range g.steps {
		for ; attached < step; attached++ {
			changes := w.attach(nodeName(1+attached%g.nodes), elsewhere[attached/7%len(elsewhere)])
			if len(changes) == 0 {
				continue // the controller hears nothing of it
			}
			e.Apply(changes...)
			if changed, _ := e.Flush(); changed != nil {
				if _, ok := changed[local]; ok {
					updates++
				}
			}
		}
		n, _ := e.Plan(local)
		r.Sync(pipeline.Input{Plan: n, TunnelPort: 1, Attachments: localAttachments(n)})
		if len(rows) == 0 {
			updates = 0
		}
		rows = append(rows, held{flows: r.Len(), bytes: len(planwire.MarshalSnapshot(1, n)), updates: updates})
	}
	return rows
}

// localAttachments are workloads at the first addresses of the node's own block.
func localAttachments(n plan.Node) (out []pipeline.Attachment) {
	for _, r := range n.Routes {
		if r.Node != n.Name {
			continue
		}
		addr := r.Prefix.Addr()
		for i := range localWorkloads {
			addr = addr.Next()
			out = append(out, pipeline.Attachment{
				Interface: fmt.Sprintf("veth%d", i), OFPort: uint32(10 + i), Network: r.Network, Identity: networkBase(int(r.Network) - 1),
				MAC: fabric.MAC{2, 0, 0, 0, 0, byte(i)}, Addresses: []netip.Addr{addr},
			})
		}
	}
	return out
}
