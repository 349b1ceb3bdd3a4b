package verify

import (
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// find splits s by the flows of a table that its packets meet; the flow is nil for those that meet none. It follows
// the classifier of Open vSwitch (ovs-fields(7), "Conjunctive Match Fields"): the highest priority wins, a flow that
// acts wins against conjunctions of its priority, and a conjunction whose clauses all match is looked up again with
// its id. Where flows of one priority overlap, each of them may win: if they do different things, all are followed.
func (r *run) find(s *state, number uint8, yield func(*state, *flow)) {
	c := r.tables.candidates(s, number)
	r.walk(s, number, r.live(c), nil, yield)
}

// live drops conjunctions that lack a clause.
func (r *run) live(candidates []*flow) []*flow {
	if !slices.ContainsFunc(candidates, func(f *flow) bool { return f.soft }) {
		return candidates
	}
	found := r.clausesOf(candidates)
	out := make([]*flow, 0, len(candidates))
	for _, f := range candidates {
		if !f.soft || slices.ContainsFunc(f.clauses, func(c clause) bool { return found[c.slot] == c.all }) {
			out = append(out, f)
		}
	}
	for _, f := range candidates {
		for _, c := range f.clauses {
			found[c.slot] = 0
		}
	}
	return out
}

// clausesOf returns the clauses among flows, by the slots of their conjunctions. The caller clears the result.
func (r *run) clausesOf(flows []*flow) []uint64 {
	if r.scratch == nil {
		r.scratch = make([]uint64, r.tables.conjunctions)
	}
	for _, f := range flows {
		for _, c := range f.clauses {
			r.scratch[c.slot] |= c.bit
		}
	}
	return r.scratch
}

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
	found := r.clausesOf(soft)
	var ids []uint32
	for _, f := range soft {
		for _, c := range f.clauses {
			if found[c.slot] == c.all && !slices.Contains(ids, c.id) {
				ids = append(ids, c.id)
			}
		}
	}
	for _, f := range soft {
		for _, c := range f.clauses {
			found[c.slot] = 0
		}
	}
	slices.Sort(ids)
	var effects []string
	for _, id := range ids {
		t := s.clone()
		t.setNum(openflow.ConjID, uint64(id))
		rows := slices.DeleteFunc(r.tables.candidates(t, number), func(f *flow) bool { return f.soft })
		if len(rows) == 0 {
			continue
		}
		if slices.Contains(effects, rows[0].effect) {
			continue // another conjunction of this priority does the same
		}
		effects = append(effects, rows[0].effect)
		r.walk(t, number, rows, nil, func(u *state, f *flow) {
			u.setNum(openflow.ConjID, 0)
			for _, member := range soft {
				u.path = &step{member, u.path}
			}
			yield(u, f)
		})
	}
	return len(effects) > 0
}
