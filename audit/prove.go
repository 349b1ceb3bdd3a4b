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
	j := &judge{spec: a.Spec, fromOutside: -1, toOutside: -1}
	imagined = j.addOutside(intent, imagined, len(classesOf(intent, workloads)))
	w, err := NewWorld(intent, workloads, imagined)
	if err != nil {
		return Proof{}, err
	}
	j.World = w
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
	case p.Verdict != Violated && j.beyondModel() != "":
		p.Verdict, p.Reason = NotModelled, j.beyondModel()
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
	// fromOutside and toOutside are the classes of addresses outside the fabric; negative for none.
	fromOutside, toOutside int
}

// addOutside appends the addresses outside the fabric that the assertion is about; those of only are all but the ones that
// may. first is the place of the first of the classes.
func (j *judge) addOutside(intent *topology.Intent, classes []Class, first int) []Class {
	outside := outsideOf(intent)
	if len(j.spec.FromAddresses) > 0 {
		j.fromOutside = first + len(classes)
		addresses := within(outside, j.spec.FromAddresses)
		if j.spec.Type == Only {
			addresses = without(outside, j.spec.FromAddresses)
		}
		classes = append(classes, Class{Outside: true, Addresses: addresses})
	}
	if len(j.spec.ToAddresses) > 0 {
		j.toOutside = first + len(classes)
		classes = append(classes, Class{Outside: true, Addresses: within(outside, j.spec.ToAddresses)})
	}
	return classes
}

// beyondModel says why an assertion that policy doesn't violate can't be said to hold.
func (j *judge) beyondModel() string {
	outside := j.fromOutside >= 0 || j.toOutside >= 0
	switch {
	case outside && j.spec.Type == Always:
		return "policy allows it, but there is no way in or out of the fabric that is modelled"
	case outside && j.spec.Type == MaxExposure:
		return "addresses outside the fabric are not counted"
	}
	return ""
}

// source and destination report whether a class is one of those that the assertion names on a side.
func (j *judge) source(i int) bool {
	if c := j.Classes[i]; !c.Outside {
		return (len(j.spec.From) > 0 || j.fromOutside < 0) && selects(j.spec.From, c)
	}
	return i == j.fromOutside && j.spec.Type != Only
}

func (j *judge) destination(i int) bool {
	if c := j.Classes[i]; !c.Outside {
		return (len(j.spec.To) > 0 || j.toOutside < 0) && selects(j.spec.To, c)
	}
	return i == j.toOutside
}

// concerns reports whether a pair is one that the assertion speaks of.
func (j *judge) concerns(from, to int) bool {
	a := j.Classes[from]
	switch {
	case from == to && len(a.Workloads) == 1, a.Outside && from != j.fromOutside, a.Outside && j.Classes[to].Outside:
		return false // a workload's packets to itself never leave it, and those of others never come in
	case j.spec.Type == Only:
		return j.destination(to) && !j.source(from)
	}
	return j.destination(to) && j.source(from)
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
				if (a.present() && b.present()) != declared || !j.concerns(from, to) {
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
	for i := range j.Classes {
		if j.source(i) != (j.spec.Type == Only) {
			from++
		}
		if j.destination(i) {
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

// exposure counts, for each destination, the workloads that are there and reach it.
func (j *judge) exposure(p *Proof) {
	for to, b := range j.Classes {
		if b.Outside || !j.destination(to) {
			continue
		}
		reaching := 0
		var witness *Explanation
		for from, a := range j.Classes {
			if a.Outside || !j.source(from) || from == to && len(a.Workloads) == 1 || !j.Joined(a.Network, b.Network) {
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
	for i, c := range j.Classes {
		if c.present() {
			from, to = from || j.source(i), to || j.destination(i)
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
