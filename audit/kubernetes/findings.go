package kubernetes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// FindingsOf looks for what is questionable about policies, for the workloads that are declared and all addresses
// outside of the cluster.
func FindingsOf(w *World) audit.Findings {
	found := []audit.Finding{}
	fates := w.writtenFates()
	for i := range w.Cluster.Policies {
		found = append(found, w.policyFindings(&w.Cluster.Policies[i], fates)...)
	}
	found = append(found, w.unisolated()...)
	slices.SortStableFunc(found, func(a, b audit.Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Message, b.Message))
	})
	return audit.Findings{Header: audit.HeaderOf("Findings"), Findings: found}
}

// writtenKey names a rule as it is written; it may be several of package firewall.
type writtenKey struct {
	policy    string
	direction firewall.Direction
	line      int
	rule      string
}

func (w *World) writtenFates() map[writtenKey][]reach.Fate {
	out := make(map[writtenKey][]reach.Fate)
	for _, f := range w.engine.Fates(w.Tables, func(fabric.NetworkID, int) bool { return true }) {
		o := f.Rule.Origin
		key := writtenKey{o.Policy, f.Rule.Direction, o.Line, o.Rule}
		out[key] = append(out[key], f)
	}
	return out
}

func (w *World) policyFindings(p *Policy, fates map[writtenKey][]reach.Fate) []audit.Finding {
	finding := func(kind audit.FindingKind, level audit.Level, line int, format string, args ...any) audit.Finding {
		return audit.Finding{Kind: kind, Level: level, Message: p.String() + ": " + fmt.Sprintf(format, args...), File: p.Origin.File, Line: line}
	}
	selected := slices.ContainsFunc(w.identities, func(x identity) bool { return p.Subject.selects(x.namespace, x.pod.Labels) })
	if !selected {
		return []audit.Finding{finding(audit.MatchesNobody, audit.LevelWarning, p.Origin.Line, "selects no pod: correct its selector, or remove it")}
	}
	var out []audit.Finding
	for _, r := range p.Rules {
		list := fates[writtenKey{p.String(), r.Direction, r.Line, r.Name}]
		matches := slices.ContainsFunc(list, func(f reach.Fate) bool { return f.Matches })
		switch {
		case !matches:
			out = append(out, finding(audit.MatchesNobody, audit.LevelWarning, r.Line, "%s: no connection can match it: correct its peers or its ports, or remove it", r.Name))
		case p.Tier == firewall.Tenant:
			out = append(out, additiveFindings(&r, list, finding)...)
		default:
			for _, f := range list {
				out = append(out, audit.RuleFindings(f)...)
			}
		}
	}
	return out
}

// additiveFindings judges a rule of a NetworkPolicy: such rules have no order, and only add to each other.
func additiveFindings(r *Rule, list []reach.Fate, finding func(audit.FindingKind, audit.Level, int, string, ...any) audit.Finding) []audit.Finding {
	var out []audit.Finding
	needed := slices.ContainsFunc(list, func(f reach.Fate) bool { return f.Live && f.Needed })
	if !needed {
		var others []string
		for _, f := range list {
			for _, o := range f.By {
				name := o.Origin.Policy + " " + o.Origin.Rule
				if !slices.Contains(others, name) {
					others = append(others, name)
				}
			}
		}
		of := "others"
		if len(others) > 0 {
			of = strings.Join(others, ", ")
		}
		out = append(out, finding(audit.Redundant, audit.LevelNote, r.Line, "%s: allows nothing that isn't allowed by %s too", r.Name, of))
	}
	everyone := r.Everyone || slices.ContainsFunc(r.Peers, func(p Peer) bool {
		return p.CIDR != nil && p.CIDR.Prefix.Bits() == 0 && len(p.CIDR.Except) == 0
	})
	if everyone && r.AllPorts {
		out = append(out, finding(audit.OverWide, audit.LevelWarning, r.Line, "%s: allows everyone every protocol: name peers, or ports", r.Name))
	}
	return out
}

// unisolated returns findings for workloads of which no policy denies anything in a direction.
func (w *World) unisolated() []audit.Finding {
	var out []audit.Finding
	for i, l := range w.Cluster.Workloads {
		if l.HostNetwork {
			continue
		}
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			governed := slices.ContainsFunc(w.Tables[network].Rules, func(r firewall.Rule) bool {
				return r.Direction == d && r.Action == firewall.Deny && slices.ContainsFunc(w.of[i], func(c int) bool { return slices.Contains(r.Subject.IDs, w.classes[c].identity) })
			})
			if governed {
				continue
			}
			name, level := "ingress", audit.LevelWarning
			if d == firewall.Egress {
				name, level = "egress", audit.LevelNote
			}
			out = append(out, audit.Finding{Kind: audit.Unisolated, Level: level, File: l.Origin.File, Line: l.Origin.Line,
				Message: fmt.Sprintf("%s: no policy denies anything of its %s", l, name)})
		}
	}
	return out
}
