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
	in      Input
	engine  *Engine
	parts   [][]Part // by from*classes+to
	changes int      // since it was asked anew
}

// maxChanges bounds the changes after which everything is asked anew, so that nothing is kept of rules that are no more.
const maxChanges = 1000

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
	a.in, a.engine, a.parts, a.changes = in, NewEngine(in), make([][]Part, n*n), 0
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
	a.changes++
	if a.changes > maxChanges || len(tables) != len(a.in.Tables) || !a.engine.Atoms.cutAt(RangesOf(tables)) {
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
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			e.follow(old.directions[d], rulesOf(t, d), changed[d])
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

// follow gives the subjects of a table that other rules govern now other groups, and marks their classes. The groups of others
// stay, with the rules as they were prepared.
func (e *Engine) follow(old *ruleList, rules []*firewall.Rule, changed []bool) {
	known := make(map[firewall.RuleID]*prepared, len(old.rules))
	for i := range old.rules {
		known[old.rules[i].rule.ID] = &old.rules[i]
	}
	touched := touchedBy(old, rules)
	if !touched.all && len(touched.ids) == 0 {
		return
	}
	next := newRuleList(rules, e, old.peers, known)
	next.direction = old.direction
	e.networks[old.peers.network].directions[old.direction] = next
	for i, c := range e.classes {
		if c.Network != old.peers.network || c.Identity == 0 || !touched.all && !touched.ids[c.Identity] {
			continue
		}
		g := next.groupOf(c.Identity)
		changed[i] = !g.sameRules(e.sides[i].subject[old.direction])
		e.sides[i].subject[old.direction] = g
	}
}

// touched are the subjects that a change of rules may concern.
type touched struct {
	all bool
	ids map[fabric.Identity]bool
}

func (t *touched) add(w firewall.Workloads) {
	t.all = t.all || w.Any
	for _, id := range w.IDs {
		t.ids[id] = true
	}
}

// touchedBy compares rules by their ids. Rules that stand in another order than before touch everybody.
func touchedBy(old *ruleList, rules []*firewall.Rule) touched {
	t := touched{ids: make(map[fabric.Identity]bool)}
	places := make(map[firewall.RuleID]int, len(old.rules))
	for i := range old.rules {
		places[old.rules[i].rule.ID] = i
	}
	t.all = len(places) != len(old.rules) // an id that two rules have says nothing
	last := -1
	for _, r := range rules {
		i, ok := places[r.ID]
		if !ok {
			t.add(r.Subject)
			continue
		}
		delete(places, r.ID)
		was := old.rules[i].rule
		alike := decidesAlike(was, r)
		if alike { // others are touched already
			t.all = t.all || i < last
			last = i
		}
		switch {
		case !alike, was.Subject.Any != r.Subject.Any:
			t.add(was.Subject)
			t.add(r.Subject)
		case !slices.Equal(was.Subject.IDs, r.Subject.IDs):
			for _, lists := range [][2][]fabric.Identity{{was.Subject.IDs, r.Subject.IDs}, {r.Subject.IDs, was.Subject.IDs}} {
				for _, id := range lists[0] {
					if !slices.Contains(lists[1], id) {
						t.ids[id] = true
					}
				}
			}
		}
	}
	for _, i := range places {
		t.add(old.rules[i].rule.Subject)
	}
	return t
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
