package kubernetes

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// Reach says which connections policies allow between workloads, and with addresses outside of the cluster.
type Reach struct {
	audit.Header
	// Rows hold the pairs with an allowed connection, in order: those from workloads, then those from outside.
	Rows []Row `json:"rows"`
	Summary
}

// Summary says what an answer was computed from.
type Summary struct {
	Workloads  int      `json:"workloads"`
	Namespaces int      `json:"namespaces"`
	Policies   int      `json:"policies"`
	Skipped    []Count  `json:"skipped"`
	Notes      []string `json:"notes"`
}

// Row is a pair with what can be opened from one to the other. Each end is a workload, as namespace/Kind/name, or a range
// of addresses outside of the cluster as a CIDR.
type Row struct {
	From        string        `json:"from"`
	To          string        `json:"to"`
	Connections []Connections `json:"connections"`

	// outside is the whole range of which the CIDR is a part; nil between workloads.
	outside *reach.Range
}

// Connections are the ports of one protocol: "80,443-445".
type Connections struct {
	Protocol string `json:"protocol"`
	Ports    string `json:"ports"`
}

// String returns "TCP 80,443-445", or "TCP" for all its ports.
func (c Connections) String() string {
	if c.Ports == allPorts {
		return c.Protocol
	}
	return c.Protocol + " " + c.Ports
}

const allPorts = "1-65535"

// Text returns connections in one line; "any" is every port of every protocol.
func Text(cs []Connections) string {
	if len(cs) == len(protocols) && !slices.ContainsFunc(cs, func(c Connections) bool { return c.Ports != allPorts }) {
		return "any"
	}
	var out []string
	for _, c := range cs {
		out = append(out, c.String())
	}
	return strings.Join(out, "; ")
}

// connections describes services.
func connections(s reach.Set) []Connections {
	var out []Connections
	for _, p := range reach.Describe(s) {
		out = append(out, Connections{strings.ToUpper(p.Protocol), cmp.Or(p.Ports, allPorts)})
	}
	return out
}

// ReachOf answers for all pairs, or for those between the ends that q names.
func ReachOf(w *World, q audit.Question) (Reach, error) {
	out := Reach{Header: audit.HeaderOf("KubernetesReach"), Rows: []Row{}, Summary: w.Summary()}
	from, err := w.ends(q.From)
	if err != nil {
		return out, err
	}
	to, err := w.ends(q.To)
	if err != nil {
		return out, err
	}
	type place struct { // of a set: pairs that are alike share theirs
		first *reach.Span
		n     int
	}
	memo := make(map[place][]Connections)
	describe := func(s reach.Set) []Connections {
		key := place{&s[0], len(s)}
		if _, known := memo[key]; !known {
			memo[key] = connections(s)
		}
		return memo[key]
	}
	names := make([]string, len(w.Cluster.Workloads))
	for i, l := range w.Cluster.Workloads {
		names[i] = l.String()
	}
	for _, i := range from.workloads {
		out.Rows = slices.Grow(out.Rows, len(to.workloads))
		for _, j := range to.workloads {
			if i == j && !w.Cluster.Workloads[i].Several {
				continue
			}
			if s := w.connects(i, j); !s.IsEmpty() {
				out.Rows = append(out.Rows, Row{From: names[i], To: names[j], Connections: describe(s)})
			}
		}
		for r, s := range w.outsideRows(i, firewall.Egress, to) {
			for _, p := range prefixesOf(r) {
				out.Rows = append(out.Rows, Row{From: names[i], To: p.String(), Connections: describe(s), outside: &r})
			}
		}
	}
	var incoming []Row
	for _, j := range to.workloads {
		for r, s := range w.outsideRows(j, firewall.Ingress, from) {
			for _, p := range prefixesOf(r) {
				incoming = append(incoming, Row{From: p.String(), To: names[j], Connections: describe(s), outside: &r})
			}
		}
	}
	slices.SortStableFunc(incoming, func(a, b Row) int {
		return cmp.Or(netip.MustParsePrefix(a.From).Compare(netip.MustParsePrefix(b.From)), strings.Compare(a.To, b.To))
	})
	out.Rows = append(out.Rows, incoming...)
	return out, nil
}

// ends are what one side of a question means.
type ends struct {
	workloads []int
	outside   bool
	at        netip.Addr // an outside address; the zero one means all
}

// ends returns the workloads and the outside addresses that a text means; an empty one means all.
func (w *World) ends(text string) (ends, error) {
	if text == "" {
		e := ends{outside: true}
		for i := range w.Cluster.Workloads {
			e.workloads = append(e.workloads, i)
		}
		return e, nil
	}
	classes, at, err := w.end(text)
	if err != nil {
		return ends{}, err
	}
	if at.IsValid() {
		return ends{outside: true, at: at}, nil
	}
	return ends{workloads: []int{w.classes[classes[0]].workload}}, nil
}

// outsideRows yields the outside addresses among e that have connections with a workload.
func (w *World) outsideRows(workload int, d firewall.Direction, e ends) func(yield func(reach.Range, reach.Set) bool) {
	return func(yield func(reach.Range, reach.Set) bool) {
		if !e.outside {
			return
		}
		for _, x := range w.exposures(workload, d) {
			r := w.rangeOf(x.addresses)
			if e.at.IsValid() {
				if e.at.BitLen() != r.First.BitLen() || e.at.Less(r.First) || r.Last.Less(e.at) {
					continue
				}
				r = reach.Range{First: e.at, Last: e.at}
			}
			if !yield(r, x.services) {
				return
			}
		}
	}
}

// Summary says what the world was made from.
func (w *World) Summary() Summary {
	c := w.Cluster
	s := Summary{Workloads: len(c.Workloads), Namespaces: len(c.Namespaces), Policies: len(c.Policies), Skipped: append([]Count{}, c.Skipped...), Notes: append([]string{}, c.Notes...)}
	var host []string
	for _, l := range c.Workloads {
		if l.HostNetwork {
			host = append(host, l.String())
		}
	}
	if len(host) > 0 {
		s.Notes = append(s.Notes, "on the network of their nodes, where no policy governs them: "+strings.Join(host, ", "))
	}
	if n := w.unplaced(); n > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("the addresses of %d workloads are not known: address ranges in policies don't select their pods, except those that hold every address", n))
	}
	return s
}

// unplaced counts the workloads with pods whose addresses aren't known, if policies name ranges of addresses.
func (w *World) unplaced() int {
	part := func(r reach.Range) bool { return !slices.Contains(reach.Everywhere(), r) }
	if !slices.ContainsFunc(reach.RangesOf(w.Tables), part) {
		return 0
	}
	n := 0
	for i := range w.of {
		if slices.ContainsFunc(w.of[i], func(c int) bool {
			a := w.classes[c].addresses[0].First
			return nowhere4.Contains(a) || nowhere6.Contains(a)
		}) {
			n++
		}
	}
	return n
}

// Lines returns the rows with the CIDRs of a range joined to the range, for tables.
func (r Reach) Lines() []Row {
	return lines(r.Rows, func(x *Row) (from, to *string, outside *reach.Range) { return &x.From, &x.To, x.outside })
}

// lines joins rows of which the outside end is a part of one range.
func lines[R any](rows []R, ends func(*R) (from, to *string, outside *reach.Range)) []R {
	var out []R
	seen := make(map[[2]string]bool)
	for _, row := range rows {
		from, to, outside := ends(&row)
		if outside != nil {
			end := to
			if _, err := netip.ParsePrefix(*from); err == nil {
				end = from
			}
			*end = outside.String()
		}
		if key := [2]string{*from, *to}; !seen[key] {
			seen[key] = true
			out = append(out, row)
		}
	}
	return out
}

// WriteCSV prints a line for each row and protocol.
func (r Reach) WriteCSV(to io.Writer) error {
	out := csv.NewWriter(to)
	lines := [][]string{{"from", "to", "protocol", "ports"}}
	for _, row := range r.Rows {
		for _, c := range row.Connections {
			lines = append(lines, []string{row.From, row.To, c.Protocol, c.Ports})
		}
	}
	if err := out.WriteAll(lines); err != nil {
		return err
	}
	return out.Error()
}
