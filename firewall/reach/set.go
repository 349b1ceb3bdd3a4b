package reach

import (
	"cmp"
	"slices"
)

// Span is an inclusive interval of numbers: points of the service line, or numbers of address atoms.
type Span struct{ First, Last uint32 }

// Set is a set of numbers: spans in order, disjoint and not adjacent, so equal sets are equal slices. Sets are
// never changed after they are made. The empty set is nil.
type Set []Span

// setOf makes a set of spans in any order, overlapping or not; it reorders its argument.
func setOf(spans []Span) Set {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	var out Set
	for _, s := range spans {
		if n := len(out); n > 0 && uint64(s.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// IsEmpty reports whether s holds nothing.
func (s Set) IsEmpty() bool { return len(s) == 0 }

// Equal reports whether two sets are the same.
func (s Set) Equal(t Set) bool { return slices.Equal(s, t) }

// Contains reports whether x is in s.
func (s Set) Contains(x uint32) bool { return s.holds(Span{x, x}) }

// holds reports whether all of x is in s.
func (s Set) holds(x Span) bool {
	i, _ := slices.BinarySearchFunc(s, x.First, func(a Span, first uint32) int {
		if a.Last < first {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].First <= x.First && x.Last <= s[i].Last
}

// Union returns what is in either.
func (s Set) Union(t Set) Set {
	switch {
	case len(s) == 0:
		return t
	case len(t) == 0:
		return s
	}
	out := make(Set, 0, len(s)+len(t))
	for i, j := 0, 0; i < len(s) || j < len(t); {
		var next Span
		if j == len(t) || i < len(s) && s[i].First <= t[j].First {
			next = s[i]
			i++
		} else {
			next = t[j]
			j++
		}
		if n := len(out); n > 0 && uint64(next.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, next.Last)
			continue
		}
		out = append(out, next)
	}
	return out
}

// Intersect returns what is in both.
func (s Set) Intersect(t Set) Set {
	switch {
	case len(s) == 0 || len(t) == 0:
		return nil
	case len(t) == len(s) && &s[0] == &t[0]:
		return s
	case len(t) == 1 && s.holds(t[0]):
		return t
	case len(s) == 1 && t.holds(s[0]):
		return s
	}
	var out Set
	for i, j := 0, 0; i < len(s) && j < len(t); {
		first, last := max(s[i].First, t[j].First), min(s[i].Last, t[j].Last)
		if first <= last {
			out = append(out, Span{first, last})
		}
		if s[i].Last < t[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// Subtract returns what is in s and not in t.
func (s Set) Subtract(t Set) Set {
	if len(t) == 0 {
		return s
	}
	var out Set
	j := 0
	for _, a := range s {
		for j < len(t) && t[j].Last < a.First {
			j++
		}
		next := uint64(a.First) // wider, so that it can lie behind the last number
		for k := j; k < len(t) && t[k].First <= a.Last; k++ {
			if uint64(t[k].First) > next {
				out = append(out, Span{uint32(next), t[k].First - 1})
			}
			next = max(next, uint64(t[k].Last)+1)
		}
		if next <= uint64(a.Last) {
			out = append(out, Span{uint32(next), a.Last})
		}
	}
	return out
}

// Covers reports whether all of t is in s.
func (s Set) Covers(t Set) bool { return t.Subtract(s).IsEmpty() }
