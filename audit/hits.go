package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/topology"
)

// Hits say how often nodes have seen a rule decide.
type Hits struct {
	Rule RuleRef `json:"rule"`
	// Connections counts the first packets of connections, repeated ones included, on all nodes that answered; Nodes are
	// how many of those hold the rule.
	Connections uint64 `json:"connections"`
	Nodes       int    `json:"nodes"`
	Last        string `json:"last,omitempty"` // RFC 3339, by the nodes' clocks; absent: none was seen
}

// Counters are the hits of all rules, and the nodes that told none.
type Counters struct {
	Silent []string
	rules  map[countedRule]Hits
}

// countedRule names a rule on every node alike.
type countedRule struct{ direction, policy, rule string }

func (r RuleRef) counted() countedRule { return countedRule{r.Direction, r.Policy, r.Rule} }

// Add counts what a node tells of a rule, which its direction, policy and name identify.
func (c *Counters) Add(rule RuleRef, connections uint64, last string) {
	if c.rules == nil {
		c.rules = make(map[countedRule]Hits)
	}
	h := c.rules[rule.counted()]
	h.Rule, h.Connections, h.Nodes, h.Last = rule, h.Connections+connections, h.Nodes+1, max(h.Last, last)
	c.rules[rule.counted()] = h
}

// NeverHit returns findings for the rules that no node has seen decide, and one when nodes are silent: a rule may have
// been hit there. Rules that can't act are found otherwise, so known findings come in.
func NeverHit(intent *topology.Intent, workloads []Workload, c Counters, known Findings) (Findings, error) {
	rules, err := RulesOf(intent, workloads)
	if err != nil {
		return known, err
	}
	dead := make(map[countedRule]bool)
	for _, f := range known.Findings {
		if f.Rule != nil && (f.Kind == Shadowed || f.Kind == MatchesNobody) {
			dead[f.Rule.counted()] = true
		}
	}
	out := known
	out.Findings = slices.Clone(known.Findings)
	seen := make(map[countedRule]bool) // a rule may govern several networks
	for _, r := range rules {
		h, counted := c.rules[r.counted()]
		if !counted || h.Connections > 0 || dead[r.counted()] || seen[r.counted()] || !r.isWritten() {
			continue
		}
		seen[r.counted()] = true
		out.Findings = append(out.Findings, Finding{
			Kind: Unhit, Level: LevelNote, File: r.File, Line: r.Line, Rule: &r,
			Message: fmt.Sprintf("%s: no connection has met it on the %d nodes that hold it, since they began to count it", r.String(), h.Nodes),
		})
	}
	if len(c.Silent) > 0 {
		out.Findings = append(out.Findings, Finding{Kind: Undecided, Level: LevelNote,
			Message: fmt.Sprintf("whether rules are hit on %s is unknown: they told no counters", strings.Join(c.Silent, ", "))})
	}
	slices.SortFunc(out.Findings, compareFindings)
	return out, nil
}

func compareFindings(a, b Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Message, b.Message))
}
