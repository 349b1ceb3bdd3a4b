package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Findings are what is questionable about policies.
type Findings struct {
	Header
	Findings []Finding `json:"findings"`
}

// Finding is one of them.
type Finding struct {
	Kind    FindingKind `json:"kind"`
	Level   Level       `json:"level"`
	Message string      `json:"message"`
	File    string      `json:"file,omitempty"`
	Line    int         `json:"line,omitempty"`
	// Rule is the rule that it is about, Related are others that it names.
	Rule    *RuleRef  `json:"rule,omitempty"`
	Related []RuleRef `json:"related,omitempty"`
}

// Level says how much a finding matters.
type Level string

// The levels, as SARIF names them.
const (
	LevelWarning Level = "warning"
	LevelNote    Level = "note"
)

// FindingKind says what was found.
type FindingKind string

// The kinds of findings.
const (
	Shadowed      FindingKind = "shadowed"
	Redundant     FindingKind = "redundant"
	Contradicting FindingKind = "contradicting"
	MatchesNobody FindingKind = "matches-nobody"
	OverWide      FindingKind = "over-wide"
	Unisolated    FindingKind = "unisolated"
	Exposed       FindingKind = "exposed"
	Unhit         FindingKind = "never-hit"
	Undecided     FindingKind = "not-decided"
)

// Explanation returns what a kind means, in a sentence.
func (k FindingKind) Explanation() string {
	switch k {
	case Shadowed:
		return "A rule never acts, because rules before it take all that it matches."
	case Redundant:
		return "Without a rule, later rules of its tier would do the same."
	case Contradicting:
		return "Two policies of one priority disagree about the same packets, and the order of their names decides."
	case MatchesNobody:
		return "A rule can match no workload, whatever labels workloads have."
	case OverWide:
		return "A rule allows everyone every protocol."
	case Unisolated:
		return "No FirewallPolicy governs a direction of a workload, and the posture allows."
	case Exposed:
		return "A rule lets addresses outside the fabric reach workloads."
	case Unhit:
		return "No connection has met a rule since the nodes began to count it."
	case Undecided:
		return "Something could not be looked at: policies tell too many label sets apart, or nodes told no counters."
	}
	return string(k)
}

// FindingKinds lists every kind, in order.
var FindingKinds = []FindingKind{Shadowed, Redundant, Contradicting, MatchesNobody, OverWide, Unisolated, Exposed, Unhit, Undecided}

// FindingsOf looks for findings, for every label set that policies can tell apart and for the outside of the fabric.
func FindingsOf(intent *topology.Intent, workloads []Workload) (Findings, error) {
	var imagined []Class
	var found []Finding
	mentioned := Mentioned(intent, workloads)
	for _, n := range intent.Networks() {
		classes, ok := Imagined(intent, n, nil)
		if !ok {
			f := Finding{Kind: Undecided, Level: LevelNote, Message: fmt.Sprintf("network %s: policies tell too many label sets apart: only declared and mentioned ones were looked at", n.Ref())}
			f.at(intent.Get(n.Key()).Origin)
			found = append(found, f)
			for _, c := range mentioned {
				if c.Network == n.Ref() {
					classes = append(classes, c)
				}
			}
		}
		imagined = append(imagined, classes...)
	}
	w, err := NewWorld(intent, workloads, imagined)
	if err != nil {
		return Findings{}, err
	}
	fates := w.fates()
	for _, f := range fates {
		found = append(found, ruleFindings(f)...)
	}
	found = append(found, unmatched(intent, fates)...)
	found = append(found, w.unisolated()...)
	found = append(found, w.exposed()...)
	slices.SortFunc(found, compareFindings)
	return Findings{Header: header("Findings"), Findings: append([]Finding{}, found...)}, nil
}

func (f *Finding) at(o topology.Origin) { f.File, f.Line = o.File, o.Line }

// fates returns the fates of rules, with the outside among the peers.
func (w *World) fates() []reach.Fate {
	sides := append(slices.Clone(w.sides), reach.Class{Addresses: reach.Everywhere()})
	return reach.New(w.Tables, sides).Fates(w.Tables, func(table fabric.NetworkID, class int) bool {
		return class == len(w.Classes) || w.Joined(w.refs[table], w.Classes[class].Network)
	})
}

// written reports whether a rule is one that somebody wrote, and not a default.
func written(r *firewall.Rule) bool { return r.Tier != firewall.Posture && !r.Order.Last }

func ruleFindings(f reach.Fate) []Finding {
	r := f.Rule
	if !written(r) {
		return nil
	}
	var out []Finding
	add := func(kind FindingKind, level Level, related []*firewall.Rule, format string, args ...any) {
		x := Finding{Kind: kind, Level: level, Message: ruleRef(r).String() + ": " + fmt.Sprintf(format, args...), File: r.Origin.File, Line: r.Origin.Line, Rule: ruleRef(r)}
		for _, o := range related {
			x.Related = append(x.Related, *ruleRef(o))
		}
		out = append(out, x)
	}
	switch {
	case !f.Matches:
		add(MatchesNobody, LevelWarning, nil, "no workload can match it: correct its selectors, or remove it")
	case !f.Live:
		verb := "take"
		if slices.ContainsFunc(f.By, func(o *firewall.Rule) bool { return o.Action != r.Action }) {
			verb = "take, with another action,"
		}
		add(Shadowed, LevelWarning, f.By, "never acts: rules before it %s all that it matches: %s", verb, places(f.By))
	case !f.Needed:
		add(Redundant, LevelNote, nil, "changes nothing: without it, later rules or the default of its tier do the same")
	}
	if f.Against != nil {
		add(Contradicting, LevelWarning, []*firewall.Rule{f.Against}, "its action is %s, that of %s is %s for some of the same packets; both policies have priority %d, so their names decide: give them different priorities",
			actionName(r.Action), place(f.Against), actionName(f.Against.Action), r.Order.Priority)
	}
	everyone := r.Peers.Any || slices.ContainsFunc(r.Peers.CIDRs, func(c firewall.CIDR) bool { return c.Prefix.Bits() == 0 && len(c.Except) == 0 })
	if r.Action == firewall.Allow && everyone && len(r.Services) == 0 {
		add(OverWide, LevelWarning, nil, "allows everyone every protocol: name peers, or ports")
	}
	return out
}

// place names a rule with its file and line.
func place(r *firewall.Rule) string {
	ref := ruleRef(r)
	if at := ref.At(); at != "" {
		return ref.String() + " (" + at + ")"
	}
	return ref.String()
}

func places(rules []*firewall.Rule) string {
	var out []string
	for _, r := range rules {
		out = append(out, place(r))
	}
	return strings.Join(out, ", ")
}

// unmatched returns findings for the rules that no table holds, because they select nobody.
func unmatched(intent *topology.Intent, fates []reach.Fate) []Finding {
	type key struct {
		policy    string
		direction firewall.Direction
		index     int
	}
	known := make(map[key]bool)
	for _, f := range fates {
		known[key{f.Rule.Origin.Policy, f.Rule.Direction, f.Rule.Order.Index}] = true
	}
	var out []Finding
	for _, o := range intent.Objects() {
		var ingress, egress []topology.Rule
		switch {
		case o.FirewallPolicy != nil:
			ingress, egress = o.FirewallPolicy.Spec.Ingress, o.FirewallPolicy.Spec.Egress
		case o.PlatformPolicy != nil:
			ingress, egress = o.PlatformPolicy.Spec.Ingress, o.PlatformPolicy.Spec.Egress
		}
		for _, d := range []struct {
			direction firewall.Direction
			rules     []topology.Rule
			lines     []int
		}{{firewall.Ingress, ingress, o.RuleLines.Ingress}, {firewall.Egress, egress, o.RuleLines.Egress}} {
			for i, r := range d.rules {
				if known[key{o.Key.String(), d.direction, i}] {
					continue
				}
				name := cmp.Or(r.Name, fmt.Sprintf("%s[%d]", directionName(d.direction), i))
				f := Finding{Kind: MatchesNobody, Level: LevelWarning, Message: fmt.Sprintf("%s %s: no workload can match it: correct its selectors, or remove it", o.Key, name)}
				f.at(o.Origin)
				if i < len(d.lines) {
					f.Line = d.lines[i]
				}
				out = append(out, f)
			}
		}
	}
	return out
}

// unisolated returns findings for declared workloads that no FirewallPolicy governs, and no rule of the platform closes,
// while the posture allows.
func (w *World) unisolated() []Finding {
	var out []Finding
	for i, c := range w.Classes {
		if len(c.Workloads) == 0 {
			continue
		}
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			governed, open := false, false
			for _, r := range w.Tables[w.networks[c.Network]].Rules {
				if r.Direction != d || !r.Subject.Any && !slices.Contains(r.Subject.IDs, w.ids[i]) {
					continue
				}
				deniesAll := r.Action == firewall.Deny && r.Peers.Any && len(r.Services) == 0
				governed = governed || deniesAll && (r.Tier != firewall.Tenant || r.Order.Last)
				open = open || r.Tier == firewall.Posture && r.Action == firewall.Allow
			}
			if governed || !open {
				continue
			}
			level := LevelWarning
			if d == firewall.Egress {
				level = LevelNote
			}
			f := Finding{Kind: Unisolated, Level: level, Message: fmt.Sprintf("%s (%s): no FirewallPolicy governs its %s, nothing closes it, and the posture is allow", c.Name(), strings.Join(c.Workloads, ", "), directionName(d))}
			for _, l := range w.Workloads {
				if l.Name == c.Workloads[0] {
					f.at(l.Origin)
				}
			}
			out = append(out, f)
		}
	}
	return out
}

// exposed returns findings for rules that let addresses outside the fabric open connections to workloads that are there: one
// for each rule that somebody wrote, with the classes that it opens. What only the posture opens is found as unisolated.
func (w *World) exposed() []Finding {
	outside := len(w.sides)
	e := reach.NewEngine(reach.Input{Tables: w.Tables, Classes: append(slices.Clone(w.sides), reach.Class{Addresses: outsideOf(w.Intent)}), Joined: w.joinedIDs})
	type exposure struct {
		rule     *firewall.Rule
		classes  []string
		services reach.Set
		sources  reach.Set
	}
	byRule := make(map[firewall.RuleID]*exposure)
	var order []firewall.RuleID
	for to, c := range w.Classes {
		if len(c.Workloads) == 0 {
			continue
		}
		for _, p := range e.Between(outside, to) {
			if !p.Allowed || p.Ingress == nil || !written(p.Ingress) {
				continue
			}
			x := byRule[p.Ingress.ID]
			if x == nil {
				x = &exposure{rule: p.Ingress}
				byRule[p.Ingress.ID] = x
				order = append(order, p.Ingress.ID)
			}
			if n := len(x.classes); n == 0 || x.classes[n-1] != c.Name() {
				x.classes = append(x.classes, c.Name())
			}
			x.services, x.sources = x.services.Union(p.Services), x.sources.Union(e.Addresses(outside, p.Family, p.Src))
		}
	}
	var out []Finding
	for _, id := range order {
		x := byRule[id]
		var services, sources []string
		for _, s := range reach.Describe(x.services) {
			services = append(services, s.String())
		}
		ranges := e.Atoms.Ranges(x.sources)
		for _, r := range ranges[:min(len(ranges), maxSources)] {
			sources = append(sources, r.String())
		}
		if more := len(ranges) - maxSources; more > 0 {
			sources = append(sources, fmt.Sprintf("%d more ranges", more))
		}
		out = append(out, Finding{
			Kind: Exposed, Level: LevelNote, File: x.rule.Origin.File, Line: x.rule.Origin.Line, Rule: ruleRef(x.rule),
			Message: fmt.Sprintf("%s: lets addresses outside the fabric (%s) reach %s by %s, as soon as a way in exists", ruleRef(x.rule), strings.Join(sources, ", "), strings.Join(x.classes, ", "), strings.Join(services, " ")),
		})
	}
	return out
}

// maxSources bounds the ranges that a message names.
const maxSources = 4
