package verify

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// find splits s by the flows of a table that its packets meet; the flow is nil for those that meet none. It follows
// the classifier of Open vSwitch (ovs-fields(7), "Conjunctive Match Fields"): the highest priority wins, a flow that
// acts wins against conjunctions of its priority, and a conjunction whose clauses all match is looked up again with
// its id. Where flows of one priority overlap, each of them may win: if they do different things, all are followed.
func (r *run) find(s *state, number uint8, yield func(*state, *flow)) {
	c := r.tables.candidates(s, number)
	r.walk(s, number, live(c), nil, yield)
}

// live drops conjunctions that lack a clause.
func live(candidates []*flow) []*flow {
	if !slices.ContainsFunc(candidates, func(f *flow) bool { return f.soft }) {
		return candidates
	}
	type place struct {
		priority uint16
		id       uint32
	}
	clauses := make(map[place]uint64)
	counts := make(map[place]uint8)
	each := func(f *flow, do func(place, openflow.Conjunction)) {
		for _, a := range f.Actions {
			if c, ok := a.(openflow.Conjunction); ok {
				do(place{f.Priority, c.ID}, c)
			}
		}
	}
	for _, f := range candidates {
		each(f, func(p place, c openflow.Conjunction) {
			clauses[p] |= 1 << c.Clause
			counts[p] = c.Count
		})
	}
	return slices.DeleteFunc(candidates, func(f *flow) bool {
		if !f.soft {
			return false
		}
		alive := false
		each(f, func(p place, c openflow.Conjunction) { alive = alive || full(clauses[p], counts[p]) })
		return !alive
	})
}

// full reports whether all clauses from 1 to n are set.
func full(clauses uint64, n uint8) bool { return clauses == (1<<n-1)<<1 }

// walk goes through candidates; soft are the conjunctive flows of the current priority that packets of s match.
func (r *run) walk(s *state, number uint8, candidates []*flow, soft []*flow, yield func(*state, *flow)) {
	for len(candidates) > 0 {
		f := candidates[0]
		if len(soft) > 0 && soft[0].Priority > f.Priority {
			if r.conjunction(s, number, soft, yield) {
				return
			}
			soft = nil
		}
		result, terms, trouble := s.match(f)
		if trouble != "" && result != no {
			s.trouble = trouble
			yield(s, f)
			return
		}
		rest := candidates[1:]
		switch result {
		case some:
			if t := s.clone(); t.assume(terms) {
				if f.soft {
					r.walk(t, number, rest, append(soft[:len(soft):len(soft)], f), yield)
				} else {
					r.take(t, f, rest, yield)
				}
			}
			if !s.exclude(terms) {
				return
			}
		case yes:
			if !f.soft {
				r.take(s, f, rest, yield)
				return
			}
			soft = append(soft[:len(soft):len(soft)], f)
		}
		candidates = rest
	}
	if len(soft) > 0 && r.conjunction(s, number, soft, yield) {
		return
	}
	yield(s, nil)
}

// take yields s with f, and with other flows of the same priority that could win instead and do something else.
func (r *run) take(s *state, f *flow, rest []*flow, yield func(*state, *flow)) {
	for _, g := range rest {
		if g.Priority != f.Priority || g.soft {
			break
		}
		if g.effect == f.effect {
			continue
		}
		if result, terms, _ := s.match(g); result != no {
			if t := s.clone(); t.assume(terms) {
				yield(t, g)
			}
		}
	}
	yield(s, f)
}

// conjunction looks for a conjunction all of whose clauses are among soft. It reports false if there is none.
func (r *run) conjunction(s *state, number uint8, soft []*flow, yield func(*state, *flow)) bool {
	clauses := make(map[uint32]uint64)
	counts := make(map[uint32]uint8)
	for _, f := range soft {
		for _, a := range f.Actions {
			if c, ok := a.(openflow.Conjunction); ok {
				clauses[c.ID] |= 1 << c.Clause
				counts[c.ID] = c.Count
			}
		}
	}
	var effects []string
	for _, id := range slices.Sorted(maps.Keys(clauses)) {
		if !full(clauses[id], counts[id]) {
			continue
		}
		t := s.clone()
		t.setNum(openflow.ConjID, uint64(id))
		found := slices.DeleteFunc(r.tables.candidates(t, number), func(f *flow) bool { return f.soft })
		if len(found) == 0 {
			continue
		}
		if slices.Contains(effects, found[0].effect) {
			continue // another conjunction of this priority does the same
		}
		effects = append(effects, found[0].effect)
		r.walk(t, number, found, nil, func(u *state, f *flow) {
			u.setNum(openflow.ConjID, 0)
			for _, member := range soft {
				u.path = &step{member, u.path}
			}
			yield(u, f)
		})
	}
	return len(effects) > 0
}
