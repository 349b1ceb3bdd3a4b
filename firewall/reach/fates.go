package reach

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Fate says what a rule does for the classes of an engine, in all tables that hold it.
type Fate struct {
	Rule *firewall.Rule
	// Matches: some packet matches it. Live: it is the first of its tier to match one. Needed: without it, another action
	// would follow in its tier for one of those, or none.
	Matches, Live, Needed bool
	// By holds rules before it that take what it matches, when it isn't live: the first few.
	By []*firewall.Rule
	// Against is a rule after it of the same tier and priority, of another policy and with another action, for packets
	// that it takes: the order of the policies' names decides between them.
	Against *firewall.Rule
}

// maxBy bounds the rules that a Fate names.
const maxBy = 4

// Fates returns the fate of each rule, in the order of tables' numbers and as rules are asked; a rule of several tables
// stands with the first. joined says which classes can be the other side for a table's workloads.
func (e *Engine) Fates(tables map[fabric.NetworkID]firewall.Table, joined func(fabric.NetworkID, int) bool) []Fate {
	var out []Fate
	place := make(map[firewall.RuleID]int)
	ids := make([]fabric.NetworkID, 0, len(tables))
	for id := range tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			l := e.networks[id].directions[d]
			for first := 0; first < len(l.rules); {
				last := first + 1
				for last < len(l.rules) && l.rules[last].rule.Tier == l.rules[first].rule.Tier {
					last++
				}
				s := newStage(e, l, id, [2]int{first, last}, joined)
				for _, f := range s.fates() {
					if i, ok := place[f.Rule.ID]; ok {
						out[i].join(f)
						continue
					}
					place[f.Rule.ID] = len(out)
					out = append(out, f)
				}
				first = last
			}
		}
	}
	return out
}

// join adds what a rule does in another table.
func (f *Fate) join(g Fate) {
	f.Matches, f.Live, f.Needed = f.Matches || g.Matches, f.Live || g.Live, f.Needed || g.Needed
	for _, r := range g.By {
		if len(f.By) < maxBy && !slices.ContainsFunc(f.By, func(have *firewall.Rule) bool { return have.ID == r.ID }) {
			f.By = append(f.By, r)
		}
	}
	f.Against = cmp.Or(f.Against, g.Against)
	if f.Live {
		f.By = nil
	}
}

// mask is a set of a stage's rules, a bit each.
type mask []uint64

func (m mask) set(i int)      { m[i/64] |= 1 << (i % 64) }
func (m mask) key() string    { return string(maskBytes(m)) }
func (m mask) has(i int) bool { return m[i/64]>>(i%64)&1 == 1 }

func maskBytes(m mask) []byte {
	out := make([]byte, 0, 8*len(m))
	for _, w := range m {
		for shift := 0; shift < 64; shift += 8 {
			out = append(out, byte(w>>shift))
		}
	}
	return out
}

// stage is one tier of a table's direction, cut into cells: a kind of subject with a kind of peer. All packets of a cell
// with one service meet the same rules.
type stage struct {
	e        *Engine
	rules    []prepared
	subjects []mask
	peers    []peerKind
	fate     []Fate
}

// peerKind is a set of peers' addresses that the same rules mean.
type peerKind struct {
	rules  mask
	family Family
}

func newStage(e *Engine, l *ruleList, network fabric.NetworkID, at [2]int, joined func(fabric.NetworkID, int) bool) *stage {
	s := &stage{e: e, rules: l.rules[at[0]:at[1]]}
	words := (len(s.rules) + 63) / 64
	seen := make(map[string]bool)
	for _, p := range s.rules {
		s.fate = append(s.fate, Fate{Rule: p.rule})
	}
	for i, c := range e.classes {
		if c.Network != network || c.Identity == 0 {
			continue
		}
		m := make(mask, words)
		for _, r := range e.sides[i].subject[s.rules[0].rule.Direction].rules {
			if int(r) >= at[0] && int(r) < at[1] {
				m.set(int(r) - at[0])
			}
		}
		if key := m.key(); !seen[key] {
			seen[key] = true
			s.subjects = append(s.subjects, m)
		}
	}
	s.findPeers(network, words, joined)
	return s
}

// findPeers fills in the kinds of peers.
func (s *stage) findPeers(network fabric.NetworkID, words int, joined func(fabric.NetworkID, int) bool) {
	meant := make([]mask, len(s.e.classes))
	touched := make([][]int, len(s.e.classes)) // by rules that mean some of the class's addresses
	for i := range meant {
		meant[i] = make(mask, words)
	}
	for i, p := range s.rules {
		for class := range meant {
			if p.rule.Peers.Any {
				meant[class].set(i)
			}
		}
		for _, class := range p.means {
			meant[class].set(i)
		}
		for _, class := range p.touches {
			touched[class] = append(touched[class], i)
		}
	}
	seen := make(map[string]bool)
	add := func(m mask, f Family) {
		if key := string(byte(f)) + m.key(); !seen[key] {
			seen[key] = true
			s.peers = append(s.peers, peerKind{m, f})
		}
	}
	for class := range s.e.classes {
		if !joined(network, class) {
			continue
		}
		for _, f := range []Family{IPv4, IPv6} {
			addresses := s.e.sides[class].addresses[f]
			if len(addresses) > 0 && len(touched[class]) == 0 {
				add(meant[class], f)
				continue
			}
			for _, span := range addresses {
				for atom := span.First; atom <= span.Last; atom++ {
					m := slices.Clone(meant[class])
					for _, i := range touched[class] {
						if s.rules[i].addresses.Contains(atom) {
							m.set(i)
						}
					}
					add(m, f)
				}
			}
		}
	}
}

// fates looks at each cell.
func (s *stage) fates() []Fate {
	for _, subject := range s.subjects {
		for _, p := range s.peers {
			s.cell(subject, p)
		}
	}
	for i := range s.fate {
		if f := &s.fate[i]; f.Matches && !f.Live {
			s.findBy(i)
		}
	}
	return s.fate
}

// cell asks the rules of a cell in order for all services at once, until everything is taken.
func (s *stage) cell(subject mask, p peerKind) {
	var taken Set
	all := s.e.all[p.family]
	for i := range both(subject, p.rules, 0) {
		services := s.rules[i].services[p.family]
		if services.IsEmpty() {
			continue
		}
		f := &s.fate[i]
		f.Matches = true
		own := services.Subtract(taken)
		if own.IsEmpty() {
			continue
		}
		f.Live = true
		if !f.Needed || f.Against == nil {
			s.follow(i, own, subject, p)
		}
		if taken = taken.Union(own); taken.Equal(all) {
			break
		}
	}
	if taken.Equal(all) {
		s.markRest(subject, p)
	}
}

// markRest notes the rules that match, for those after the cell was full.
func (s *stage) markRest(subject mask, p peerKind) {
	for i := range both(subject, p.rules, 0) {
		if !s.fate[i].Matches && !s.rules[i].services[p.family].IsEmpty() {
			s.fate[i].Matches = true
		}
	}
}

// follow looks at what would happen to the packets that rule i takes in a cell if it weren't there.
func (s *stage) follow(i int, own Set, subject mask, p peerKind) {
	f, r := &s.fate[i], s.rules[i].rule
	for j := range both(subject, p.rules, i+1) {
		next := s.rules[j].rule
		sameRank := !next.Order.Last && next.Order.Priority == r.Order.Priority && next.Order.Policy != r.Order.Policy
		if f.Needed && !sameRank {
			if next.Order.Last || next.Order.Priority != r.Order.Priority {
				return // no contradiction follows any more
			}
			if own = own.Subtract(s.rules[j].services[p.family]); own.IsEmpty() {
				return
			}
			continue
		}
		hit := own.Intersect(s.rules[j].services[p.family])
		if hit.IsEmpty() {
			continue
		}
		if next.Action != r.Action {
			f.Needed = true
			if sameRank && f.Against == nil {
				f.Against = next
				return
			}
		}
		if own = own.Subtract(hit); own.IsEmpty() {
			return
		}
	}
	if r.Action != firewall.Pass {
		f.Needed = true
	}
}

// findBy names the first rules that take what rule i matches.
func (s *stage) findBy(i int) {
	f := &s.fate[i]
	for _, subject := range s.subjects {
		for _, p := range s.peers {
			if !subject.has(i) || !p.rules.has(i) {
				continue
			}
			open := s.rules[i].services[p.family]
			for j := range both(subject, p.rules, 0) {
				if j >= i || open.IsEmpty() {
					break
				}
				if rest := open.Subtract(s.rules[j].services[p.family]); !rest.Equal(open) {
					open = rest
					if r := s.rules[j].rule; !slices.Contains(f.By, r) {
						f.By = append(f.By, r)
					}
				}
			}
			if len(f.By) >= maxBy {
				f.By = f.By[:maxBy]
				return
			}
		}
	}
}

// both yields the rules in both masks from one on, in order.
func both(a, b mask, from int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for w := from / 64; w < len(a); w++ {
			m := a[w] & b[w]
			if w == from/64 {
				m &= ^uint64(0) << (from % 64)
			}
			for ; m != 0; m &= m - 1 {
				if !yield(w*64 + bits.TrailingZeros64(m)) {
					return
				}
			}
		}
	}
}
