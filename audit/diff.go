package audit

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Diff says which connections a change of the files gains and loses. The whole difference is the sum of two: what the new
// policies say about the old workloads, and what then the new workloads make of it.
type Diff struct {
	Header
	// Policy holds pairs of the old topology's classes, for which policies, networks or peerings changed.
	Policy []DiffRow `json:"policy"`
	// Membership holds pairs of workloads of which at least one is new, gone, or has other labels, another network or
	// other addresses.
	Membership []DiffRow `json:"membership"`
}

// IsEmpty reports whether no connection is gained or lost.
func (d Diff) IsEmpty() bool { return len(d.Policy) == 0 && len(d.Membership) == 0 }

// DiffRow is a pair, and what it gains or loses.
type DiffRow struct {
	From   string        `json:"from"`
	To     string        `json:"to"`
	Gained []Connections `json:"gained,omitempty"`
	Lost   []Connections `json:"lost,omitempty"`
}

// Side is one side of a comparison.
type Side struct {
	Intent    *topology.Intent
	Workloads []Workload
}

// DiffOf compares two topologies.
func DiffOf(before, after Side) (Diff, error) {
	out := Diff{Header: header("Diff"), Policy: []DiffRow{}, Membership: []DiffRow{}}
	// Three worlds with addresses cut alike: old policies on old workloads, new policies on old workloads, new ones on new
	// ones. Workloads are classes of their own too.
	moved := movedWorkloads(before.Workloads, after.Workloads)
	kept := slices.DeleteFunc(slices.Clone(before.Workloads), func(l Workload) bool { return !stands(after.Intent, l) })
	sides := [3]Side{before, {after.Intent, kept}, after}
	var worlds [3]*World
	var cuts []reach.Range
	for range 2 { // the second time with the cuts of all
		for i, s := range sides {
			w, err := NewWorld(s.Intent, s.Workloads, singles(s), cuts...)
			if err != nil {
				return out, err
			}
			worlds[i] = w
		}
		for _, w := range worlds {
			cuts = append(cuts, reach.RangesOf(w.Tables)...)
			for _, c := range w.Classes {
				cuts = append(cuts, c.Addresses...)
			}
		}
	}
	policy := comparison{worlds[0], worlds[1]}
	var classes []string
	for _, c := range classesOf(before.Intent, before.Workloads) {
		classes = append(classes, c.Name())
	}
	for _, a := range classes {
		for _, b := range classes {
			if row, differs := policy.row(a, b, (*World).declared); differs {
				out.Policy = append(out.Policy, row)
			}
		}
	}
	membership := comparison{worlds[1], worlds[2]}
	names := allNames(before.Workloads, after.Workloads)
	for _, a := range names {
		for _, b := range names {
			if a == b || !moved[a] && !moved[b] {
				continue
			}
			if row, differs := membership.row(a, b, (*World).single); differs {
				out.Membership = append(out.Membership, row)
			}
		}
	}
	return out, nil
}

// stands reports whether a workload's network and subnet are declared.
func stands(intent *topology.Intent, l Workload) bool {
	n := intent.Network(l.Network)
	return n != nil && (l.Subnet == "" || n.Subnet(l.Subnet) != nil)
}

// singles returns each workload as a class of its own.
func singles(s Side) []Class {
	var out []Class
	for _, l := range s.Workloads {
		out = append(out, Class{Network: l.Network, Labels: l.Labels, Workloads: []string{l.Name}, Addresses: l.ranges(s.Intent)})
	}
	return out
}

// movedWorkloads returns the names of workloads that are not the same on both sides.
func movedWorkloads(before, after []Workload) map[string]bool {
	text := func(l Workload) string {
		return fmt.Sprint(l.Network, " ", l.Subnet, " ", l.Labels.String(), " ", l.Addresses)
	}
	was, is := make(map[string]string), make(map[string]string)
	for _, l := range before {
		was[l.Name] = text(l)
	}
	for _, l := range after {
		is[l.Name] = text(l)
	}
	moved := make(map[string]bool)
	for _, name := range allNames(before, after) {
		moved[name] = was[name] != is[name]
	}
	return moved
}

func allNames(before, after []Workload) []string {
	var out []string
	for _, l := range slices.Concat(before, after) {
		out = append(out, l.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// declared returns the declared class of a name: those come first.
func (w *World) declared(name string) (int, bool) {
	i, ok := w.byName[name]
	return i, ok
}

// single returns the class that a workload is alone.
func (w *World) single(name string) (int, bool) {
	i, ok := w.alone[name]
	return i, ok
}

// comparison compares two worlds whose addresses are cut alike.
type comparison struct{ before, after *World }

// row compares a pair of classes that find looks up by name in both worlds.
func (c comparison) row(from, to string, find func(*World, string) (int, bool)) (row DiffRow, differs bool) {
	was, is := c.before.allowed(from, to, find), c.after.allowed(from, to, find)
	row = DiffRow{From: from, To: to}
	row.Gained = c.after.rest(is, was)
	row.Lost = c.before.rest(was, is)
	return row, len(row.Gained)+len(row.Lost) > 0
}

// pairParts are what is allowed from one class to another, with all addresses written out.
type pairParts struct {
	from, to int
	families int
	parts    []reach.Part
}

func (w *World) allowed(from, to string, find func(*World, string) (int, bool)) pairParts {
	i, okFrom := find(w, from)
	j, okTo := find(w, to)
	out := pairParts{from: i, to: j}
	if !okFrom || !okTo || !w.Joined(w.Classes[i].Network, w.Classes[j].Network) {
		return out
	}
	parts := w.between(i, j)
	out.families = familiesOf(parts)
	for _, p := range parts {
		if p.Allowed {
			p.Src, p.Dst = w.engine.Addresses(i, p.Family, p.Src), w.engine.Addresses(j, p.Family, p.Dst)
			out.parts = append(out.parts, p)
		}
	}
	return out
}

// rest describes what is in a, which is of the world, and not in b.
func (w *World) rest(a, b pairParts) []Connections {
	var out []reach.Part
	for _, p := range a.parts {
		left := []reach.Part{p}
		for _, q := range b.parts {
			var next []reach.Part
			for _, l := range left {
				next = appendWithout(next, l, q)
			}
			left = next
		}
		for _, l := range left {
			if l.Src.Equal(w.engine.Addresses(a.from, l.Family, nil)) {
				l.Src = nil
			}
			if l.Dst.Equal(w.engine.Addresses(a.to, l.Family, nil)) {
				l.Dst = nil
			}
			out = append(out, l)
		}
	}
	return w.connections(out, a.families)
}

// appendWithout appends the parts of p that are not in q.
func appendWithout(to []reach.Part, p, q reach.Part) []reach.Part {
	src, dst, services := p.Src.Intersect(q.Src), p.Dst.Intersect(q.Dst), p.Services.Intersect(q.Services)
	if p.Family != q.Family || src.IsEmpty() || dst.IsEmpty() || services.IsEmpty() {
		return append(to, p)
	}
	add := func(src, dst, services reach.Set) {
		if !src.IsEmpty() && !dst.IsEmpty() && !services.IsEmpty() {
			r := p
			r.Src, r.Dst, r.Services = src, dst, services
			to = append(to, r)
		}
	}
	add(p.Src.Subtract(q.Src), p.Dst, p.Services)
	add(src, p.Dst.Subtract(q.Dst), p.Services)
	add(src, dst, p.Services.Subtract(q.Services))
	return to
}
