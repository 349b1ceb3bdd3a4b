package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// ReportVersion is the version of the documents that audits print as JSON. Fields may be added to it; none change their
// meaning.
const ReportVersion = "audit.weft.dev/v1alpha1"

// schemaBase starts the names of the documents' schemas.
const schemaBase = "https://weft.dev/schema/audit/v1alpha1/"

// Header starts each document.
type Header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Schema names the document's JSON Schema, as "weft audit schema" prints it.
	Schema string `json:"schema"`
}

func header(kind string) Header { return Header{ReportVersion, kind, schemaBase + kind + ".json"} }

// RuleRef names a rule for people and programs.
type RuleRef struct {
	ID        uint32 `json:"id"`
	Tier      string `json:"tier"`
	Direction string `json:"direction"`
	Action    string `json:"action"`
	Policy    string `json:"policy"`
	Rule      string `json:"rule"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

func ruleRef(r *firewall.Rule) *RuleRef {
	if r == nil {
		return nil
	}
	return &RuleRef{
		ID: uint32(r.ID), Tier: tierName(r.Tier), Direction: directionName(r.Direction), Action: actionName(r.Action),
		Policy: r.Origin.Policy, Rule: r.Origin.Rule, File: r.Origin.File, Line: r.Origin.Line,
	}
}

// RulesOf returns the rules by which a fabric with these objects and workloads decides, by their ids: those that switches
// name.
func RulesOf(intent *topology.Intent, workloads []Workload) (map[uint32]RuleRef, error) {
	w, err := NewWorld(intent, workloads, Mentioned(intent, workloads))
	if err != nil {
		return nil, err
	}
	out := make(map[uint32]RuleRef)
	for _, t := range w.Tables {
		for i := range t.Rules {
			out[uint32(t.Rules[i].ID)] = *ruleRef(&t.Rules[i])
		}
	}
	return out, nil
}

// String returns "FirewallPolicy acme/db sql-from-web", or "no rule".
func (r *RuleRef) String() string {
	if r == nil {
		return "no rule"
	}
	if r.Tier == tierName(firewall.Posture) {
		return r.Policy
	}
	return r.Policy + " " + r.Rule
}

// isWritten reports whether somebody wrote the rule, which is no default and no posture then.
func (r *RuleRef) isWritten() bool {
	return r.File != "" && r.Tier != tierName(firewall.Posture) && r.Rule != "default"
}

// At returns "file:line", or "" for a rule that is written nowhere.
func (r *RuleRef) At() string {
	if r == nil || r.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

func tierName(t firewall.Tier) string {
	switch t {
	case firewall.Platform:
		return "platform"
	case firewall.Tenant:
		return "tenant"
	case firewall.Baseline:
		return "baseline"
	case firewall.Posture:
		return "posture"
	}
	return "unknown"
}

// RuleRefOf names a rule as a node tells of it.
func RuleRefOf(id uint32, d firewall.Direction, o firewall.Origin) RuleRef {
	return RuleRef{ID: id, Direction: directionName(d), Policy: o.Policy, Rule: o.Rule, File: o.File, Line: o.Line}
}

func directionName(d firewall.Direction) string {
	if d == firewall.Egress {
		return "egress"
	}
	return "ingress"
}

func actionName(a firewall.Action) string {
	switch a {
	case firewall.Allow:
		return "allow"
	case firewall.Deny:
		return "deny"
	case firewall.Pass:
		return "pass"
	}
	return "unknown"
}

// ClassRef names a class in a document.
type ClassRef struct {
	Name      string   `json:"name"`
	Network   string   `json:"network"`
	Labels    string   `json:"labels"`
	Workloads []string `json:"workloads"`
}

func (w *World) classRef(i int) ClassRef {
	c := w.Classes[i]
	return ClassRef{Name: c.Name(), Network: c.Network.String(), Labels: c.Labels.String(), Workloads: append([]string{}, c.Workloads...)}
}

// Connections are services that one pair of rules allows between two classes.
type Connections struct {
	// Families are those that the connections have, when the classes share more.
	Families []string `json:"families,omitempty"`
	// Sources and Destinations narrow the addresses; absent means all that the class has.
	Sources      []string         `json:"sources,omitempty"`
	Destinations []string         `json:"destinations,omitempty"`
	Services     []reach.Portions `json:"services"`
	Egress       *RuleRef         `json:"egress"`
	Ingress      *RuleRef         `json:"ingress"`
}

// Text returns the services in one line, with what narrows them: "tcp/80 icmp/8 from 10.0.0.0/28 (ipv4)".
func (c Connections) Text() string {
	var words []string
	for _, s := range c.Services {
		words = append(words, s.String())
	}
	if len(c.Sources) > 0 {
		words = append(words, "from "+strings.Join(c.Sources, ","))
	}
	if len(c.Destinations) > 0 {
		words = append(words, "to "+strings.Join(c.Destinations, ","))
	}
	if len(c.Families) > 0 {
		words = append(words, "("+strings.Join(c.Families, ",")+")")
	}
	return strings.Join(words, " ")
}

// familiesOf counts the families of parts, which are ordered by them.
func familiesOf(parts []reach.Part) int {
	n := 0
	for i := range parts {
		if i == 0 || parts[i].Family != parts[i-1].Family {
			n++
		}
	}
	return n
}

// connections describes the allowed ones of parts, of a pair that has so many families in common. Parts that differ in
// their family alone become one.
func (w *World) connections(parts []reach.Part, families int) []Connections {
	if !slices.ContainsFunc(parts, func(p reach.Part) bool { return p.Allowed }) {
		return nil
	}
	var out []Connections
	done := make([]bool, len(parts))
	for i, p := range parts {
		if !p.Allowed || done[i] {
			continue
		}
		services, both := p.Services, false
		for j := i + 1; j < len(parts); j++ {
			if q := parts[j]; !done[j] && q.Allowed && w.alike(p, q) {
				services, both, done[j] = services.Union(q.Services), true, true
				break
			}
		}
		c := Connections{Services: reach.Describe(services), Egress: ruleRef(p.Egress), Ingress: ruleRef(p.Ingress)}
		c.Sources, c.Destinations = w.ranges(p.Src), w.ranges(p.Dst)
		if families > 1 && !both {
			c.Families = []string{p.Family.String()}
		}
		out = append(out, c)
	}
	return out
}

// alike reports whether p and q are what the same rules say about all addresses of two families.
func (w *World) alike(p, q reach.Part) bool {
	common := w.engine.Services(p.Family).Intersect(w.engine.Services(q.Family))
	return p.Family != q.Family && p.Egress == q.Egress && p.Ingress == q.Ingress &&
		p.Src == nil && p.Dst == nil && q.Src == nil && q.Dst == nil &&
		p.Services.Intersect(common).Equal(q.Services.Intersect(common))
}

func (w *World) ranges(s reach.Set) []string {
	var out []string
	for _, r := range w.engine.Atoms.Ranges(s) {
		out = append(out, r.String())
	}
	return out
}

// indices returns the numbers below n that keep keeps.
func indices(n int, keep func(int) bool) []int {
	var out []int
	for i := range n {
		if keep(i) {
			out = append(out, i)
		}
	}
	return out
}

// indicesOf returns the members of a list that keep keeps.
func indicesOf(list []int, keep func(int) bool) []int {
	var out []int
	for _, i := range list {
		if keep(i) {
			out = append(out, i)
		}
	}
	return out
}
