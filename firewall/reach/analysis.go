package reach

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Analysis is what policy decides for every pair of classes, kept up to date as rules change. It belongs to one goroutine.
//
// What a change of rules costs depends on the subjects of which the rules that govern them are others now: their pairs are
// asked again, the rest stays. It is asked anew as a whole when rules name addresses at which the atoms are not cut yet, and
// after so many changes that what they left behind is worth it.
type Analysis struct {
	in     Input
	engine *Engine
	parts  [][]Part // by from*classes+to
}

// maxOutcomes bounds what an engine may remember of rules that are no more.
const maxOutcomes = 1 << 20

// Pair is two classes, by their places.
type Pair struct{ From, To int }

// NewAnalysis asks for every pair.
func NewAnalysis(in Input) *Analysis {
	a := &Analysis{}
	a.start(in)
	return a
}

func (a *Analysis) start(in Input) {
	n := len(in.Classes)
	a.in, a.engine, a.parts = in, NewEngine(in), make([][]Part, n*n)
	for from := range n {
		for to := range n {
			a.parts[from*n+to] = a.engine.Between(from, to)
		}
	}
}

// Engine returns the engine by whose atoms the parts are to be read: until the next change.
func (a *Analysis) Engine() *Engine { return a.engine }

// Between returns what policy decides from one class to another. Rules that govern others now than when the pair was asked
// stand in its parts with the subjects of then.
func (a *Analysis) Between(from, to int) []Part { return a.parts[from*len(a.in.Classes)+to] }

// Update takes other tables for the same classes, and returns the pairs that were asked again, in order; all says that
// every pair was.
func (a *Analysis) Update(tables map[fabric.NetworkID]firewall.Table) (asked []Pair, all bool) {
	in := a.in
	in.Tables = tables
	if len(a.engine.outcomes) > maxOutcomes || len(tables) != len(a.in.Tables) || !a.engine.Atoms.cutAt(RangesOf(tables)) {
		a.start(in)
		return nil, true
	}
	a.in = in
	e, n := a.engine, len(in.Classes)
	e.pairs = make(map[pairKey][]Part)      // a large one takes long to grow, and few of its pairs are asked again
	var changed [firewall.Egress + 1][]bool // by class
	for d := range changed {
		changed[d] = make([]bool, n)
	}
	for id, t := range tables {
		old := e.networks[id]
		if old == nil {
			a.start(in)
			return nil, true
		}
		e.networks[id] = old.with(t, e)
		for i, c := range e.classes {
			if c.Network != id || c.Identity == 0 {
				continue
			}
			for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
				was := e.sides[i].subject[d]
				is := e.networks[id].directions[d].groupOf(c.Identity)
				if !is.sameRules(was) {
					changed[d][i] = true
				} else if is != was && is.code == nil { // what is known of the old group holds for the new one
					is.code, is.byCode = was.code, was.byCode
				}
				e.sides[i].subject[d] = is
			}
		}
	}
	ask := func(from, to int) {
		a.parts[from*n+to] = e.Between(from, to)
		asked = append(asked, Pair{from, to})
	}
	var receivers []int
	for to, c := range changed[firewall.Ingress] {
		if c {
			receivers = append(receivers, to)
		}
	}
	senders := 0
	for _, c := range changed[firewall.Egress] {
		if c {
			senders++
		}
	}
	asked = make([]Pair, 0, senders*n+(n-senders)*len(receivers))
	for from, c := range changed[firewall.Egress] {
		if c {
			for to := range n {
				ask(from, to)
			}
			continue
		}
		for _, to := range receivers {
			ask(from, to)
		}
	}
	return asked, false
}

// cutAt reports whether both ends of each range are ends of atoms.
func (a *Atoms) cutAt(ranges []Range) bool {
	for _, r := range ranges {
		if _, found := slices.BinarySearchFunc(a.firsts, r.First, netip.Addr.Compare); !found {
			return false
		}
		if next := r.Last.Next(); next.IsValid() {
			if _, found := slices.BinarySearchFunc(a.firsts, next, netip.Addr.Compare); !found {
				return false
			}
		}
	}
	return true
}

// with returns the table prepared anew, with what is known of rules that stay.
func (t *table) with(next firewall.Table, e *Engine) *table {
	out := &table{}
	for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
		old := t.directions[d]
		known := make(map[firewall.RuleID]*prepared, len(old.rules))
		for i := range old.rules {
			known[old.rules[i].rule.ID] = &old.rules[i]
		}
		out.directions[d] = newRuleList(rulesOf(next, d), e, old.peers, known)
	}
	return out
}

// decidesAlike reports whether two rules do the same for those whom they govern.
func decidesAlike(a, b *firewall.Rule) bool {
	return a.ID == b.ID && a.Tier == b.Tier && a.Direction == b.Direction && a.Order == b.Order && a.Action == b.Action &&
		a.Peers.Any == b.Peers.Any && slices.Equal(a.Peers.IDs, b.Peers.IDs) && slices.Equal(a.Peers.Blocks, b.Peers.Blocks) &&
		slices.EqualFunc(a.Peers.CIDRs, b.Peers.CIDRs, func(x, y firewall.CIDR) bool {
			return x.Prefix == y.Prefix && slices.Equal(x.Except, y.Except)
		}) && slices.Equal(a.Services, b.Services)
}

// sameRules reports whether two groups are governed by rules that do the same, in the same order.
func (g *group) sameRules(h *group) bool {
	if g == h {
		return true
	}
	if h == nil || len(g.rules) != len(h.rules) {
		return false
	}
	for i := range g.rules {
		if x, y := &g.list.rules[g.rules[i]], &h.list.rules[h.rules[i]]; x.rule != y.rule && !decidesAlike(x.rule, y.rule) {
			return false
		}
	}
	return true
}
