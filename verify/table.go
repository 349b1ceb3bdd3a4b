package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// flow is a flow as the lookup needs it.
type flow struct {
	openflow.Flow
	// does are the flow's actions that can matter to where packets go.
	does []openflow.Action
	// soft flows are members of conjunctions, and do nothing else.
	soft bool
	// effect names what the flow does, apart from registers that nobody reads: flows of one effect are as good as
	// each other.
	effect string
	number int
	// clauses are the conjunctions that a soft flow is a member of.
	clauses []clause
}

// clause is a clause of a conjunction; slot numbers the conjunction of one table and priority.
type clause struct {
	slot int
	id   uint32
	bit  uint64
	all  uint64 // the bits of all clauses
}

// table is the flows of one table. Those with the same mask on the key fields form a group, in which a hash finds
// them when these fields are known.
type table struct {
	groups []*group
}

// keyFields are what tables are mostly told apart by, and what is mostly known.
var keyFields = [...]openflow.Field{
	openflow.InPort, openflow.ConjID, openflow.Reg0, openflow.Reg1, openflow.Reg2, openflow.Reg3, openflow.Reg4, openflow.Reg5,
	openflow.Reg8, openflow.TunSrc, openflow.EthType, openflow.IPv4Dst,
}

// key is the masked values of the key fields; fields of up to 64 bits only.
type key [len(keyFields)]uint64

type group struct {
	mask key
	rows map[key][]*flow
	all  []*flow
}

// tables are all flows of a switch.
type tables struct {
	byNumber [256]*table
	flows    []*flow
	// carriers are the fields that an identity can be moved to.
	carriers map[openflow.Field]bool
	// conjunctions is how many slots there are.
	conjunctions int
}

// compileTables makes flows ready for lookups.
func compileTables(flows []openflow.Flow) *tables {
	t := &tables{}
	tallies := onlyTallies(flows)
	unread := unreadRegisters(flows, tallies)
	type place struct {
		table    uint8
		priority uint16
		id       uint32
	}
	slots := make(map[place]int)
	for i := range flows {
		f := &flow{Flow: flows[i], number: i}
		f.does = withoutNotes(f.Actions, tallies)
		f.Match = f.Match.Canonical()
		conjunctions := 0
		for _, a := range f.Actions {
			if c, ok := a.(openflow.Conjunction); ok {
				conjunctions++
				p := place{f.Table, f.Priority, c.ID}
				slot, ok := slots[p]
				if !ok {
					slot = len(slots)
					slots[p] = slot
				}
				f.clauses = append(f.clauses, clause{slot, c.ID, 1 << c.Clause, (1<<c.Count - 1) << 1})
			}
		}
		f.soft = conjunctions > 0 && conjunctions == len(f.Actions)
		f.effect = effectOf(f.does, unread)
		t.flows = append(t.flows, f)
	}
	slices.SortStableFunc(t.flows, compareRank)
	for _, f := range t.flows {
		t.add(f)
	}
	t.carriers = carriersOf(flows)
	t.conjunctions = len(slots)
	return t
}

// compareRank is the order in which flows of a table are looked at.
func compareRank(a, b *flow) int {
	return cmp.Or(-cmp.Compare(a.Priority, b.Priority), cmp.Compare(rankSoft(a), rankSoft(b)), cmp.Compare(a.number, b.number))
}

// rankSoft: of equal priority, a flow that acts wins against a conjunction.
func rankSoft(f *flow) int {
	if f.soft {
		return 1
	}
	return 0
}

func (t *tables) add(f *flow) {
	tb := t.byNumber[f.Table]
	if tb == nil {
		tb = &table{}
		t.byNumber[f.Table] = tb
	}
	var mask, value key
	for _, m := range f.Match {
		if i := slices.Index(keyFields[:], m.Field); i >= 0 {
			mask[i], value[i] = m.Mask.Lo, m.Value.Lo
		}
	}
	i := slices.IndexFunc(tb.groups, func(g *group) bool { return g.mask == mask })
	if i < 0 {
		i = len(tb.groups)
		tb.groups = append(tb.groups, &group{mask: mask, rows: make(map[key][]*flow)})
	}
	g := tb.groups[i]
	g.rows[value] = append(g.rows[value], f)
	g.all = append(g.all, f)
}

// candidates returns the flows of a table that packets of s may match, in their rank.
func (t *tables) candidates(s *state, number uint8) []*flow {
	tb := t.byNumber[number]
	if tb == nil {
		return nil
	}
	var have, value key
	for i, f := range keyFields {
		c := &s.cells[f]
		if c.opaque {
			continue
		}
		v, known := s.read(c)
		have[i], value[i] = known.Lo, v.Lo
	}
	var out []*flow
	for _, g := range tb.groups {
		rows := g.all
		if probe, ok := g.probe(have, value); ok {
			rows = g.rows[probe]
		}
		for _, f := range rows {
			if s.mayMatch(f) {
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, compareRank)
	return out
}

func (g *group) probe(have, value key) (key, bool) {
	var k key
	for i, m := range g.mask {
		if m&^have[i] != 0 {
			return k, false
		}
		k[i] = value[i] & m
	}
	return k, true
}

func (s *state) mayMatch(f *flow) bool {
	for i := range f.Match {
		m := &f.Match[i]
		c := &s.cells[m.Field]
		if c.opaque {
			continue
		}
		v, known := s.read(c)
		if !xor(v, m.Value).And(m.Mask).And(known).IsZero() {
			return false
		}
	}
	return true
}

// match says which packets of s the flow matches; the terms hold for some. trouble names an opaque field.
func (s *state) match(f *flow) (result truth, terms cube, trouble string) {
	result = yes
	for i := range f.Match {
		m := &f.Match[i]
		c := &s.cells[m.Field]
		if c.opaque {
			trouble = fmt.Sprintf("a flow matches %s, whose value isn't modelled there", m.Field)
			continue
		}
		switch r, t := s.test(c, m.Value, m.Mask); r {
		case no:
			return no, nil, ""
		case some:
			result = some
			terms = append(terms, t)
		}
	}
	return result, terms, trouble
}

// unreadRegisters returns the registers that no flow reads, other than into a connection's label or to count.
func unreadRegisters(flows []openflow.Flow, tallies bool) map[openflow.Field]bool {
	out := make(map[openflow.Field]bool)
	for r := openflow.Reg0; r <= openflow.Reg15; r++ {
		out[r] = true
	}
	for _, f := range flows {
		if tallies && f.Table == tableTally {
			continue
		}
		for _, m := range f.Match.Canonical() {
			delete(out, m.Field)
		}
		for _, a := range f.Actions {
			switch a := a.(type) {
			case openflow.Move:
				delete(out, a.Src.Field)
			case openflow.Push:
				delete(out, a.Src.Field)
			case openflow.OutputReg:
				delete(out, a.Src.Field)
			case openflow.CT:
				delete(out, a.ZoneSrc.Field)
			}
		}
	}
	return out
}

// effectOf writes actions without what they set in registers that nobody reads.
func effectOf(actions []openflow.Action, unread map[openflow.Field]bool) string {
	var kept []openflow.Action
	for _, a := range actions {
		if set, ok := a.(openflow.SetField); ok && unread[set.Field] {
			continue
		}
		kept = append(kept, a)
	}
	return openflow.FormatActions(kept)
}

// carriersOf returns the fields that can hold an identity: the registers of both ends, and what is moved from them.
func carriersOf(flows []openflow.Flow) map[openflow.Field]bool {
	out := map[openflow.Field]bool{regSrcID: true, regDstID: true}
	for grown := true; grown; {
		grown = false
		add := func(f openflow.Field) {
			if !out[f] {
				out[f], grown = true, true
			}
		}
		for _, f := range flows {
			pushed := false
			for _, a := range f.Actions {
				switch a := a.(type) {
				case openflow.Move:
					if out[a.Src.Field] && a.Dst.Bits > 8 {
						add(a.Dst.Field)
					}
				case openflow.Push:
					pushed = pushed || out[a.Src.Field]
				case openflow.Pop:
					if pushed && !addressField(a.Dst.Field) {
						add(a.Dst.Field)
					}
				}
			}
		}
	}
	return out
}

func addressField(f openflow.Field) bool { return f >= openflow.EthDst }
