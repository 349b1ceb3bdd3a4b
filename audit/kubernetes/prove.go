package kubernetes

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// Prove decides assertions about the workloads that are declared, and addresses outside of the cluster.
func Prove(c *Cluster, o Options, assertions []Assertion) (audit.Proofs, error) {
	out := audit.Proofs{Header: audit.HeaderOf("Proofs"), Assertions: []audit.Proof{}}
	var cuts []reach.Range
	for _, a := range assertions {
		for _, r := range outsideOf(slices.Concat(a.From, a.To)) {
			cuts = append(cuts, reach.RangeOf(r.Prefix))
			for _, e := range r.Except {
				cuts = append(cuts, reach.RangeOf(e))
			}
		}
	}
	w, err := NewWorld(c, o, cuts...)
	if err != nil {
		return out, err
	}
	for _, a := range assertions {
		for _, s := range slices.Concat(a.From, a.To) {
			if s.Workload == "" {
				continue
			}
			if _, at, err := w.end(s.Workload); err != nil || at.IsValid() {
				return out, fmt.Errorf("%s:%d: assertion %s: workload %q is not declared: name one as namespace/Kind/name", a.Origin.File, a.Origin.Line, a.Name, s.Workload)
			}
		}
		out.Assertions = append(out.Assertions, w.prove(a))
	}
	return out, nil
}

// judge decides one assertion.
type judge struct {
	*World
	Assertion
	services reach.Set
	// from and to are the outside addresses that count on each side.
	from, to reach.Set
}

func (w *World) prove(a Assertion) audit.Proof {
	p := audit.Proof{
		Name: a.Name, Type: a.Type, Description: a.Description, File: a.Origin.File, Line: a.Origin.Line,
		Workloads: audit.Declared, Classes: len(w.classes), Verdict: audit.Proved,
	}
	j := &judge{World: w, Assertion: a, services: w.services, from: w.atomsOf(outsideOf(a.From)), to: w.atomsOf(outsideOf(a.To))}
	if len(a.Ports) > 0 {
		j.services = reach.ServicesOf(a.Ports, reach.IPv4)
	}
	if a.Type == audit.Only {
		everywhere := w.engine.Addresses(w.outside, reach.IPv4, nil).Union(w.engine.Addresses(w.outside, reach.IPv6, nil))
		j.from = everywhere.Subtract(j.from)
	}
	if a.Type == audit.MaxExposure {
		j.exposure(&p)
	} else {
		j.pairs(&p)
	}
	if reason := j.emptiness(); p.Verdict == audit.Proved && reason != "" {
		p.Verdict, p.Reason = audit.Vacuous, reason
	}
	return p
}

// atomsOf returns the outside addresses of ranges.
func (w *World) atomsOf(list []firewall.CIDR) reach.Set {
	span := func(p netip.Prefix) reach.Set {
		r := reach.RangeOf(p)
		return reach.Set{{First: w.engine.Atoms.Of(r.First), Last: w.engine.Atoms.Of(r.Last)}}
	}
	var out reach.Set
	for _, c := range list {
		s := span(c.Prefix)
		for _, e := range c.Except {
			s = s.Subtract(span(e))
		}
		out = out.Union(s)
	}
	all := w.engine.Addresses(w.outside, reach.IPv4, nil).Union(w.engine.Addresses(w.outside, reach.IPv6, nil))
	return out.Intersect(all)
}

// concerns reports whether the assertion speaks of a pair of classes.
func (j *judge) concerns(from, to int) bool {
	a, b := j.classes[from].workload, j.classes[to].workload
	switch {
	case a < 0 && b < 0, from == to && !j.Cluster.Workloads[a].Several:
		return false
	case !j.means(j.To, to):
		return false
	case j.Type == audit.Only && a < 0:
		return !j.from.IsEmpty()
	case j.Type == audit.Only:
		return !j.means(j.From, from)
	}
	return j.means(j.From, from)
}

func (j *judge) pairs(p *audit.Proof) {
	for from := range j.classes {
		for to := range j.classes {
			if !j.concerns(from, to) {
				continue
			}
			p.Pairs++
			x := j.violation(from, to)
			if x == nil {
				continue
			}
			p.Verdict, p.Counterexample, p.Reason = audit.Violated, x, "allowed, and must not be"
			if j.Type == audit.Always {
				p.Reason = "denied, and must be allowed"
			}
			return
		}
	}
}

// violation returns the smallest packet between two classes that violates the assertion.
func (j *judge) violation(from, to int) *audit.Explanation {
	for _, p := range j.between(from, to) {
		p.Services = p.Services.Intersect(j.services)
		if p.Services.IsEmpty() || p.Allowed == (j.Type == audit.Always) {
			continue
		}
		if from == j.outside {
			if p.Src = j.engine.Addresses(from, p.Family, p.Src).Intersect(j.from); p.Src.IsEmpty() {
				continue
			}
		}
		if to == j.outside {
			if p.Dst = j.engine.Addresses(to, p.Family, p.Dst).Intersect(j.to); p.Dst.IsEmpty() {
				continue
			}
		}
		x := j.explain(from, to, p, netip.Addr{}, netip.Addr{})
		return &x
	}
	return nil
}

// exposure counts, for each destination, the workloads that reach it.
func (j *judge) exposure(p *audit.Proof) {
	for b, w := range j.Cluster.Workloads {
		reaching := 0
		var witness *audit.Explanation
		for a := range j.Cluster.Workloads {
			x := j.reaches(a, b, p)
			if x == nil {
				continue
			}
			reaching++
			if witness == nil {
				witness = x
			}
		}
		if reaching > j.Max {
			p.Verdict, p.Counterexample = audit.Violated, witness
			p.Reason = fmt.Sprintf("%d workloads reach %s, at most %d may; one of them is shown", reaching, w, j.Max)
			return
		}
	}
}

// reaches returns a packet by which one workload reaches another, of those that the assertion speaks of.
func (j *judge) reaches(a, b int, p *audit.Proof) *audit.Explanation {
	for _, from := range j.of[a] {
		for _, to := range j.of[b] {
			if a == b || !j.concerns(from, to) {
				continue
			}
			p.Pairs++
			if x := j.violation(from, to); x != nil {
				return x
			}
		}
	}
	return nil
}

// emptiness says which side selects nobody.
func (j *judge) emptiness() string {
	from, to := false, false
	for i := range j.classes {
		from, to = from || j.means(j.From, i), to || j.means(j.To, i)
	}
	switch {
	case !to:
		return "to selects no declared workload"
	case !from && j.Type != audit.Only:
		return "from selects no declared workload"
	}
	return ""
}
