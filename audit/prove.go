package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Outcome is the verdict about an assertion.
type Outcome string

// The outcomes.
const (
	Proved     Outcome = "proved"
	Violated   Outcome = "violated"
	Vacuous    Outcome = "vacuous"     // it holds, but there is no declared workload that it is about
	NotDecided Outcome = "not decided" // more label sets, or pairs, than are looked at; none of those that were violates it
	// NotModelled is the verdict about what the model doesn't hold, whatever policy says.
	NotModelled Outcome = "not modelled"
)

// Proofs are the verdicts about assertions.
type Proofs struct {
	Header
	Assertions []Proof `json:"assertions"`
}

// Failed reports whether an assertion is violated, or has no verdict.
func (p Proofs) Failed() bool {
	return slices.ContainsFunc(p.Assertions, func(a Proof) bool {
		return a.Verdict == Violated || a.Verdict == NotDecided || a.Verdict == NotModelled
	})
}

// Proof is the verdict about one assertion.
type Proof struct {
	Name        string        `json:"name"`
	Type        AssertionType `json:"type"`
	Description string        `json:"description,omitempty"`
	File        string        `json:"file,omitempty"`
	Line        int           `json:"line,omitempty"`
	Verdict     Outcome       `json:"verdict"`
	// Reason says why it isn't simply proved.
	Reason string `json:"reason,omitempty"`
	// Workloads says for whom it was decided, Classes and Pairs for how many label sets, and pairs of them.
	Workloads Scope `json:"workloads"`
	Classes   int   `json:"classes"`
	Pairs     int   `json:"pairs"`
	// Counterexample is the smallest that there is: between declared workloads if possible, of few labels, the lowest
	// service and addresses.
	Counterexample *Explanation `json:"counterexample,omitempty"`
}

// maxPairs bounds the pairs that one assertion may take.
const maxPairs = 4_000_000

// Prove decides assertions.
func Prove(intent *topology.Intent, workloads []Workload, assertions []Assertion) (Proofs, error) {
	out := Proofs{Header: header("Proofs"), Assertions: []Proof{}}
	for _, a := range assertions {
		p, err := prove(intent, workloads, a)
		if err != nil {
			return out, fmt.Errorf("assertion %s: %w", a.Metadata.Name, err)
		}
		out.Assertions = append(out.Assertions, p)
	}
	return out, nil
}

func prove(intent *topology.Intent, workloads []Workload, a Assertion) (Proof, error) {
	var imagined []Class
	var tooMany []string
	if a.Spec.Workloads == Every {
		var further []topology.Selector
		for _, w := range append(append([]topology.WorkloadPeer{}, a.Spec.From...), a.Spec.To...) {
			further = append(further, w.Selector)
		}
		for _, n := range intent.Networks() {
			classes, ok := Imagined(intent, n, further)
			if !ok {
				tooMany = append(tooMany, n.Ref().String())
			}
			imagined = append(imagined, classes...)
		}
	}
	w, err := NewWorld(intent, workloads, imagined)
	if err != nil {
		return Proof{}, err
	}
	j := &judge{World: w, spec: a.Spec}
	p := Proof{
		Name: a.Metadata.Name, Type: a.Spec.Type, Description: a.Spec.Description, File: a.origin.File, Line: a.origin.Line,
		Workloads: a.Spec.Workloads, Classes: len(w.Classes), Verdict: Proved,
	}
	for _, f := range []reach.Family{reach.IPv4, reach.IPv6} {
		j.services[f] = reach.ServicesOf(a.Spec.services(), f)
	}
	if a.Spec.Type == MaxExposure {
		j.exposure(&p)
	} else {
		j.pairs(&p)
	}
	switch reason := j.emptiness(); {
	case p.Verdict == Violated, p.Verdict == NotDecided:
	case len(tooMany) > 0:
		p.Verdict = NotDecided
		p.Reason = "the policies tell too many label sets apart in " + strings.Join(tooMany, ", ") + "; declared workloads don't violate it"
	case reason != "":
		p.Verdict, p.Reason = Vacuous, reason
	}
	return p, nil
}

// judge decides one assertion in a world.
type judge struct {
	*World
	spec     AssertionSpec
	services [reach.IPv6 + 1]reach.Set
}

// concerns reports whether a pair is one that the assertion speaks of.
func (j *judge) concerns(from, to int) bool {
	a, b := j.Classes[from], j.Classes[to]
	if from == to && len(a.Workloads) == 1 {
		return false // a workload's packets to itself never leave it
	}
	if j.spec.Type == Only {
		return selects(j.spec.To, b) && !selects(j.spec.From, a)
	}
	return selects(j.spec.To, b) && selects(j.spec.From, a)
}

// pairs looks for a pair that violates never, only or always: among declared workloads first.
func (j *judge) pairs(p *Proof) {
	for _, declared := range []bool{true, false} {
		if !declared && j.tooMany() {
			p.Verdict, p.Reason = NotDecided, fmt.Sprintf("more than %d pairs of label sets: declared workloads don't violate it; name networks in from and to", maxPairs)
			return
		}
		for from, a := range j.Classes {
			for to, b := range j.Classes {
				if (len(a.Workloads) > 0 && len(b.Workloads) > 0) != declared || !j.concerns(from, to) {
					continue
				}
				p.Pairs++
				if x := j.violation(from, to); x != nil {
					p.Verdict, p.Counterexample = Violated, x
					p.Reason = "allowed, and must not be"
					if j.spec.Type == Always {
						p.Reason = "denied, and must be allowed"
					}
					return
				}
			}
		}
	}
}

// tooMany reports whether the assertion speaks of more pairs than are looked at.
func (j *judge) tooMany() bool {
	from, to := 0, 0
	for _, c := range j.Classes {
		if selects(j.spec.From, c) != (j.spec.Type == Only) {
			from++
		}
		if selects(j.spec.To, c) {
			to++
		}
	}
	return from*to > maxPairs
}

// violation returns the smallest packet between two classes that violates the assertion.
func (j *judge) violation(from, to int) *Explanation {
	wrong := j.spec.Type != Always // the verdict that violates
	if !j.Joined(j.Classes[from].Network, j.Classes[to].Network) {
		if wrong {
			return nil
		}
		return &Explanation{From: j.Classes[from].Name(), To: j.Classes[to].Name()}
	}
	var worst *reach.Part
	for _, part := range j.between(from, to) {
		if part.Services = part.Services.Intersect(j.services[part.Family]); part.Allowed != wrong || part.Services.IsEmpty() {
			continue
		}
		if worst == nil || part.Family == worst.Family && part.Services[0].First < worst.Services[0].First {
			worst = &part
		}
	}
	if worst == nil {
		return nil
	}
	x := j.explain(from, to, *worst)
	return &x
}

// exposure counts, for each declared destination, the declared workloads that reach it.
func (j *judge) exposure(p *Proof) {
	for to, b := range j.Classes {
		if !selects(j.spec.To, b) {
			continue
		}
		reaching := 0
		var witness *Explanation
		for from, a := range j.Classes {
			if !selects(j.spec.From, a) || from == to && len(a.Workloads) == 1 || !j.Joined(a.Network, b.Network) {
				continue
			}
			p.Pairs++
			if x := j.violation(from, to); x != nil {
				if reaching += len(a.Workloads); from == to {
					reaching-- // of each destination itself
				}
				if witness == nil {
					witness = x
				}
			}
		}
		if reaching > int(*j.spec.Max) {
			p.Verdict, p.Counterexample = Violated, witness
			p.Reason = fmt.Sprintf("%d workloads reach %s, at most %d may; one of them is shown", reaching, b.Name(), *j.spec.Max)
			return
		}
	}
}

// emptiness says which side selects no declared workload.
func (j *judge) emptiness() string {
	var from, to bool
	for _, c := range j.Classes {
		if len(c.Workloads) > 0 {
			from, to = from || selects(j.spec.From, c), to || selects(j.spec.To, c)
		}
	}
	switch {
	case !to:
		return "to selects no declared workload"
	case !from && j.spec.Type != Only:
		return "from selects no declared workload"
	}
	return ""
}
