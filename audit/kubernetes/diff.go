package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// Diff says which connections a change of manifests gains and loses. The whole difference is the sum of two: what the new
// policies and namespaces say about the old workloads, and what then the new workloads make of it.
type Diff struct {
	audit.Header
	Policy     []DiffRow `json:"policy"`
	Membership []DiffRow `json:"membership"`
}

// IsEmpty reports whether no connection is gained or lost.
func (d Diff) IsEmpty() bool { return len(d.Policy) == 0 && len(d.Membership) == 0 }

// DiffRow is a pair, named as in Row, and what it gains or loses.
type DiffRow struct {
	From   string        `json:"from"`
	To     string        `json:"to"`
	Gained []Connections `json:"gained,omitempty"`
	Lost   []Connections `json:"lost,omitempty"`

	outside *reach.Range // as in Row
}

// DiffLines returns rows with the CIDRs of a range joined to the range, for tables.
func DiffLines(rows []DiffRow) []DiffRow {
	return lines(rows, func(x *DiffRow) (from, to *string, outside *reach.Range) { return &x.From, &x.To, x.outside })
}

// DiffOf compares two clusters.
func DiffOf(before, after *Cluster, o Options) (Diff, error) {
	out := Diff{Header: audit.HeaderOf("KubernetesDiff"), Policy: []DiffRow{}, Membership: []DiffRow{}}
	between := *after // what is new decides about what was
	between.Workloads = before.Workloads
	between.Namespaces = slices.Clone(after.Namespaces)
	for _, n := range before.Namespaces {
		if !slices.ContainsFunc(between.Namespaces, func(m Namespace) bool { return m.Name == n.Name }) {
			between.Namespaces = append(between.Namespaces, n)
		}
	}
	slices.SortFunc(between.Namespaces, func(a, b Namespace) int { return strings.Compare(a.Name, b.Name) })
	clusters := [3]*Cluster{before, &between, after}
	var worlds [3]*World
	var cuts []reach.Range
	for range 2 { // the second time with the cuts of all, so that they number addresses alike
		for i, c := range clusters {
			w, err := NewWorld(c, o, cuts...)
			if err != nil {
				return out, err
			}
			worlds[i] = w
		}
		for _, w := range worlds {
			cuts = append(cuts, reach.RangesOf(w.Tables)...)
			for _, x := range w.classes {
				cuts = append(cuts, x.addresses...)
			}
		}
	}
	out.Policy = append(out.Policy, compare(worlds[0], worlds[1])...)
	out.Membership = append(out.Membership, compare(worlds[1], worlds[2])...)
	return out, nil
}

// compare returns the pairs that differ in two worlds, in the order of rows of a Reach.
func compare(before, after *World) []DiffRow {
	was, is := before.places(), after.places()
	var names []string
	for name := range was {
		names = append(names, name)
	}
	for name := range is {
		if _, both := was[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out, incoming []DiffRow
	for _, a := range names {
		for _, b := range names {
			if row, differs := diffRow(a, b, before.pair(was, a, b), after.pair(is, a, b)); differs {
				out = append(out, row)
			}
		}
		for r, d := range before.exposureDiff(after, was, is, a, firewall.Egress) {
			for _, p := range prefixesOf(r) {
				row, _ := diffRow(a, p.String(), d.lost, d.gained)
				row.outside = &r
				out = append(out, row)
			}
		}
		for r, d := range before.exposureDiff(after, was, is, a, firewall.Ingress) {
			for _, p := range prefixesOf(r) {
				row, _ := diffRow(p.String(), a, d.lost, d.gained)
				row.outside = &r
				incoming = append(incoming, row)
			}
		}
	}
	slices.SortStableFunc(incoming, func(a, b DiffRow) int {
		return cmp.Or(netip.MustParsePrefix(a.From).Compare(netip.MustParsePrefix(b.From)), strings.Compare(a.To, b.To))
	})
	return append(out, incoming...)
}

// places returns the workloads by name.
func (w *World) places() map[string]int {
	out := make(map[string]int)
	for i, l := range w.Cluster.Workloads {
		out[l.String()] = i
	}
	return out
}

// pair returns what one workload can open to another, nothing when one isn't there.
func (w *World) pair(places map[string]int, from, to string) reach.Set {
	i, ok := places[from]
	j, also := places[to]
	if !ok || !also || i == j && !w.Cluster.Workloads[i].Several {
		return nil
	}
	return w.connects(i, j)
}

func diffRow(from, to string, was, is reach.Set) (row DiffRow, differs bool) {
	row = DiffRow{From: from, To: to, Gained: connections(is.Subtract(was)), Lost: connections(was.Subtract(is))}
	return row, len(row.Gained)+len(row.Lost) > 0
}

// change is what is gained and lost.
type change struct{ gained, lost reach.Set }

// exposureDiff yields the outside addresses with which a workload gains or loses connections, in order.
func (w *World) exposureDiff(after *World, was, is map[string]int, name string, d firewall.Direction) func(yield func(reach.Range, change) bool) {
	var old, young []exposure
	if i, ok := was[name]; ok {
		old = w.exposures(i, d)
	}
	if i, ok := is[name]; ok {
		young = after.exposures(i, d)
	}
	var ends []uint32
	for _, x := range slices.Concat(old, young) {
		ends = append(ends, x.addresses.First, x.addresses.Last+1)
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	return func(yield func(reach.Range, change) bool) {
		first6 := w.engine.Atoms.Of(netip.IPv6Unspecified())
		var open reach.Span
		var now change
		flush := func() bool {
			empty := now.gained.IsEmpty() && now.lost.IsEmpty()
			return empty || yield(w.rangeOf(open), now)
		}
		for i := 0; i+1 < len(ends); i++ {
			a, b := servicesAt(old, ends[i]), servicesAt(young, ends[i])
			next := change{b.Subtract(a), a.Subtract(b)}
			if i > 0 && ends[i] != first6 && fmt.Sprint(next) == fmt.Sprint(now) {
				open.Last = ends[i+1] - 1
				continue
			}
			if !flush() {
				return
			}
			open, now = reach.Span{First: ends[i], Last: ends[i+1] - 1}, next
		}
		flush()
	}
}

// servicesAt returns the services of the exposure that holds an atom.
func servicesAt(list []exposure, atom uint32) reach.Set {
	for _, x := range list {
		if x.addresses.First <= atom && atom <= x.addresses.Last {
			return x.services
		}
	}
	return nil
}
