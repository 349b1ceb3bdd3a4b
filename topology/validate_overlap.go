package topology

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// overlaps reports the policies of one tier and priority that disagree about some packets: nothing says which of them
// counts. Two rules overlap unless they provably don't: their subjects and peers by what selectors can select, whether such
// workloads are there or not, so that a workload that comes later doesn't make a topology wrong.
func (v *validator) overlaps() {
	type rank struct {
		tenant   string // of FirewallPolicies; tiers of PlatformPolicies have none
		tier     PolicyTier
		priority int
	}
	groups := make(map[rank][]*Object)
	for _, o := range v.intent.Objects() { // by kind, tenant and name
		switch {
		case o.broken():
		case o.FirewallPolicy != nil:
			r := rank{tenant: o.Key.Tenant, priority: o.FirewallPolicy.Spec.Priority}
			groups[r] = append(groups[r], o)
		case o.PlatformPolicy != nil:
			r := rank{tier: o.PlatformPolicy.Spec.Tier, priority: o.PlatformPolicy.Spec.Priority}
			groups[r] = append(groups[r], o)
		}
	}
	for r, group := range groups { // problems are sorted at the end
		// Most policies have one action alone, and those that have the same one can't disagree.
		byAction := make(map[Action][]int)
		for i, o := range group {
			a := o.soleAction()
			byAction[a] = append(byAction[a], i)
		}
		for action, some := range byAction {
			for other, more := range byAction {
				if action == other && action != "" || action > other {
					continue
				}
				for _, i := range some {
					for _, j := range more {
						if i < j || action != other {
							v.disagreement(pair{group[min(i, j)], group[max(i, j)]}, r.priority)
						}
					}
				}
			}
		}
	}
}

// soleAction returns the action that all rules of a policy have; empty when they have several.
func (o *Object) soleAction() Action {
	ingress, egress := o.rules()
	sole := Allow // of a policy without rules, which disagrees with none
	for i, r := range slices.Concat(ingress, egress) {
		if i > 0 && r.Action != sole {
			return ""
		}
		sole = r.Action
	}
	return sole
}

// pair is two policies of one kind; a stands before b.
type pair struct{ a, b *Object }

// disagreement reports the first rules of a pair that overlap with different actions, for each direction.
func (v *validator) disagreement(p pair, priority int) {
	ingressA, egressA := p.a.rules()
	ingressB, egressB := p.b.rules()
	subjects := -1 // not looked at yet
	for _, d := range []struct {
		name string
		a, b []Rule
	}{{"ingress", ingressA, ingressB}, {"egress", egressA, egressB}} {
		i, j, found := v.firstOverlap(p, d.a, d.b, &subjects)
		if !found {
			continue
		}
		path := fmt.Sprintf("spec.%s[%d]", d.name, i)
		v.errorf(p.b, fmt.Sprintf("spec.%s[%d]", d.name, j), "(%s) and %s[%d] (%s) of %s at %s:%d match some of the same packets, and both policies have priority %d: give them different priorities, or make the rules disjoint",
			d.b[j].Action, d.name, i, d.a[i].Action, p.a.Key, p.a.Origin.File, p.a.Line(path), priority)
	}
}

// firstOverlap returns the places of the first two rules that overlap and whose actions differ. subjects remembers whether the
// policies' subjects overlap: 0 no, 1 yes, negative unknown.
func (v *validator) firstOverlap(p pair, a, b []Rule, subjects *int) (i, j int, found bool) {
	for i, x := range a {
		for j, y := range b {
			if x.Action == y.Action {
				continue
			}
			if *subjects < 0 {
				*subjects = 0
				if p.subjectsOverlap() {
					*subjects = 1
				}
			}
			if *subjects == 0 {
				return 0, 0, false
			}
			if v.peersOverlap(p, x, y)&servicesOverlap(x, y) != 0 {
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// subjectsOverlap reports whether a workload can be the subject of both.
func (p pair) subjectsOverlap() bool {
	if p.a.FirewallPolicy != nil {
		x, y := p.a.FirewallPolicy.Spec, p.b.FirewallPolicy.Spec
		return (x.Network == "" || y.Network == "" || x.Network == y.Network) && Compatible(x.Subject, y.Subject)
	}
	x, y := p.a.PlatformPolicy.Spec.Subject, p.b.PlatformPolicy.Spec.Subject
	return Compatible(x.Tenants, y.Tenants) && Compatible(x.Workloads, y.Workloads)
}

// subjectNetwork returns the network of subjects of both, when the policies name one.
func (p pair) subjectNetwork() fabric.NetworkRef {
	out := fabric.NetworkRef{Tenant: p.a.Key.Tenant}
	for _, o := range []*Object{p.a, p.b} {
		if o.FirewallPolicy != nil && o.FirewallPolicy.Spec.Network != "" {
			out.Name = o.FirewallPolicy.Spec.Network
		}
	}
	return out
}

// families is a set of IP families.
type families uint8

const (
	family4 families = 1 << iota
	family6
	bothFamilies = family4 | family6
)

// peersOverlap returns the families in which somebody can be a peer of both rules.
func (v *validator) peersOverlap(p pair, x, y Rule) families {
	xs, ys := append(append([]Peer{}, x.From...), x.To...), append(append([]Peer{}, y.From...), y.To...)
	var out families
	switch {
	case len(xs) == 0 && len(ys) == 0:
		return bothFamilies
	case len(xs) == 0:
		xs = ys
		fallthrough
	case len(ys) == 0:
		for _, a := range xs {
			out |= v.peerOverlap(p, a, a)
		}
		return out
	}
	for _, a := range xs {
		for _, b := range ys {
			if out |= v.peerOverlap(p, a, b); out == bothFamilies {
				return out
			}
		}
	}
	return out
}

// servicesOverlap returns the families in which some packet is one of both rules' services.
func servicesOverlap(x, y Rule) families {
	all := func(r Rule) bool { return len(r.Ports) == 0 && len(r.ICMP) == 0 }
	var out families
	switch {
	case all(x) && all(y):
		return bothFamilies
	case all(x):
		x = y
		fallthrough
	case all(y):
		y = x
	}
	for _, a := range x.Ports {
		for _, b := range y.Ports {
			if a.Protocol == b.Protocol && (a.Port == 0 || b.Port == 0 || a.Port <= max(b.Port, b.EndPort) && b.Port <= max(a.Port, a.EndPort)) {
				return bothFamilies
			}
		}
	}
	for _, a := range x.ICMP {
		for _, b := range y.ICMP {
			if a.Family == b.Family && sameOrAny(a.Type, b.Type) && sameOrAny(a.Code, b.Code) {
				out |= familyOf(a.Family == IPv6)
			}
		}
	}
	return out
}

func sameOrAny(a, b *uint8) bool { return a == nil || b == nil || *a == *b }

func familyOf(v6 bool) families {
	if v6 {
		return family6
	}
	return family4
}
