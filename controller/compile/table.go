package compile

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

// table lowers all policies that govern a network to its rules. Rules that can't match anything, because their
// subject or their peers select nothing that exists, are left out.
func (x *index) table(ref fabric.NetworkRef) firewall.Table {
	t := firewall.Table{Network: x.allocs[ref].ID}
	reach := append([]fabric.NetworkRef{ref}, x.peers(ref)...)
	var tenantSubjects [firewall.Egress + 1]subjects
	for _, p := range x.policies.governing(x.intent, ref) {
		subject := x.subject(ref, p.subject)
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			rules, governed := p.directions[d]
			if !governed {
				continue
			}
			if p.tier == firewall.Tenant {
				tenantSubjects[d].add(subject)
			}
			for i, r := range rules {
				peers := x.rulePeers(lowering{policy: p, subject: ref, reach: reach}, r, d)
				if isEmpty(subject) || isNobody(peers) {
					continue
				}
				t.Rules = append(t.Rules, firewall.Rule{
					ID: x.policies.numbers.ids[policyRule(p.key, d, i)], Tier: p.tier, Direction: d, Action: action(r.Action),
					Order:   firewall.Order{Priority: p.priority, Policy: p.name(), Index: i},
					Subject: subject, Peers: peers, Services: services(r), Log: r.Log, Origin: p.origin(d, i, r.Name),
				})
			}
		}
	}
	for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
		if subject := tenantSubjects[d].workloads(); !isEmpty(subject) {
			t.Rules = append(t.Rules, firewall.Rule{
				ID: x.policies.numbers.ids[defaultRule(ref, d)], Tier: firewall.Tenant, Direction: d, Action: firewall.Deny,
				Order: firewall.Order{Last: true}, Subject: subject, Peers: firewall.Peers{Any: true},
				Origin: firewall.Origin{Policy: "FirewallPolicies of Network " + ref.String(), Rule: "default"},
			})
		}
		t.Rules = append(t.Rules, x.posture(ref, d))
	}
	if x.intent.LogDenials(ref.Tenant) {
		for i := range t.Rules {
			t.Rules[i].Log = t.Rules[i].Log || t.Rules[i].Action == firewall.Deny
		}
	}
	t.Rules = cloneShared(t.Rules)
	plan.SortTable(&t)
	return t
}

// posture returns the rule that decides what no policy decided.
func (x *index) posture(ref fabric.NetworkRef, d firewall.Direction) firewall.Rule {
	a, key := x.intent.PostureOrigin(ref)
	origin := firewall.Origin{Policy: "posture of " + key.String(), Rule: "default"}
	if o := x.intent.Get(key); o != nil {
		origin.File, origin.Line = o.Origin.File, o.Origin.Line
	}
	return firewall.Rule{
		ID: x.policies.numbers.ids[postureRule(ref, d)], Tier: firewall.Posture, Direction: d, Action: action(a),
		Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}, Origin: origin,
	}
}

// cloneShared gives each rule slices of its own, so that sorting one leaves the others and the intent alone.
func cloneShared(rules []firewall.Rule) []firewall.Rule {
	return plan.Clone(plan.Node{Tables: []firewall.Table{{Rules: rules}}}).Tables[0].Rules
}

// subject selects workloads of a network. The empty selector also selects those with unknown labels.
func (x *index) subject(ref fabric.NetworkRef, s topology.Selector) firewall.Workloads {
	if s.IsZero() {
		return firewall.Workloads{Any: true}
	}
	return firewall.Workloads{IDs: x.selectIdentities(ref, s)}
}

// selectIdentities returns the identities of a network that a selector matches, in order.
func (x *index) selectIdentities(ref fabric.NetworkRef, s topology.Selector) []fabric.Identity {
	var ids []fabric.Identity
	for id, labels := range x.identities[ref] {
		if s.Matches(labels) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// subjects is a union of subjects.
type subjects struct {
	any bool
	ids map[fabric.Identity]bool
}

func (s *subjects) add(w firewall.Workloads) {
	s.any = s.any || w.Any
	if s.ids == nil {
		s.ids = make(map[fabric.Identity]bool)
	}
	for _, id := range w.IDs {
		s.ids[id] = true
	}
}

func (s *subjects) workloads() firewall.Workloads {
	if s.any {
		return firewall.Workloads{Any: true}
	}
	return firewall.Workloads{IDs: slices.Sorted(maps.Keys(s.ids))}
}

func isEmpty(w firewall.Workloads) bool { return !w.Any && len(w.IDs) == 0 }

func isNobody(p firewall.Peers) bool {
	return !p.Any && len(p.IDs) == 0 && len(p.Blocks) == 0 && len(p.CIDRs) == 0
}

// action translates; what it doesn't know denies.
func action(a topology.Action) firewall.Action {
	switch a {
	case topology.Allow:
		return firewall.Allow
	case topology.Pass:
		return firewall.Pass
	}
	return firewall.Deny
}
