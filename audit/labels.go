package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Mentioned returns imagined classes for the selectors of policies that select no declared workload of a network: the
// smallest label set that each selects. So policies show up before their workloads do. Selectors that only exclude
// labels, or ask for a label of any value, mention no label set.
func Mentioned(intent *topology.Intent, workloads []Workload) []Class {
	byNetwork := make(map[fabric.NetworkRef][]fabric.Labels)
	for _, c := range classesOf(intent, workloads) {
		byNetwork[c.Network] = append(byNetwork[c.Network], c.Labels)
	}
	var out []Class
	for _, n := range intent.Networks() {
		declared := byNetwork[n.Ref()]
		seen := make(map[string]bool)
		for _, s := range selectorsOf(intent, n.Ref()) {
			labels, ok := smallest(s)
			if !ok || seen[labels.String()] || slices.ContainsFunc(declared, s.Matches) {
				continue
			}
			seen[labels.String()] = true
			out = append(out, Class{Network: n.Ref(), Labels: labels, Addresses: networkRanges(n)})
		}
	}
	slices.SortFunc(out, compareClasses)
	return out
}

// smallest returns the fewest labels that a selector demands by name and value.
func smallest(s topology.Selector) (fabric.Labels, bool) {
	labels := maps.Clone(s.MatchLabels)
	if labels == nil {
		labels = fabric.Labels{}
	}
	for _, r := range s.MatchExpressions {
		if _, set := labels[r.Key]; r.Operator == topology.In && !set {
			labels[r.Key] = slices.Min(r.Values)
		}
	}
	return labels, len(labels) > 0 && s.Matches(labels)
}

// selectorsOf returns the selectors by which policies tell workloads of a network apart, as subjects or as peers.
func selectorsOf(intent *topology.Intent, ref fabric.NetworkRef) []topology.Selector {
	var out []topology.Selector
	add := func(s topology.Selector) {
		if !s.IsZero() {
			out = append(out, s)
		}
	}
	peers := func(rules []topology.Rule, means func(topology.WorkloadPeer) bool) {
		for _, r := range rules {
			for _, p := range slices.Concat(r.From, r.To) {
				if p.Workloads != nil && means(*p.Workloads) {
					add(p.Workloads.Selector)
				}
			}
		}
	}
	for _, f := range intent.FirewallPolicies() {
		governs := f.Metadata.Tenant == ref.Tenant && cmp.Or(f.Spec.Network, ref.Name) == ref.Name
		if governs {
			add(f.Spec.Subject)
		}
		peers(slices.Concat(f.Spec.Ingress, f.Spec.Egress), func(w topology.WorkloadPeer) bool {
			if w.Network == "" {
				return governs
			}
			return cmp.Or(w.Tenant, f.Metadata.Tenant) == ref.Tenant && w.Network == ref.Name
		})
	}
	for _, f := range intent.PlatformPolicies() {
		if t := intent.Tenant(ref.Tenant); t != nil && f.Spec.Subject.Tenants.Matches(t.Metadata.Labels) {
			add(f.Spec.Subject.Workloads)
		}
		peers(slices.Concat(f.Spec.Ingress, f.Spec.Egress), func(w topology.WorkloadPeer) bool {
			return cmp.Or(w.Tenant, ref.Tenant) == ref.Tenant && cmp.Or(w.Network, ref.Name) == ref.Name
		})
	}
	return out
}

// The bounds on label sets of one network: those that are looked at, and those that remain once sets between which no
// selector tells are taken for one.
const (
	maxLabelSets    = 1 << 16
	maxDistinctSets = 512
)

// otherValue stands for a value that no selector mentions; no label can have it.
const otherValue = "(other)"

// Imagined returns a class for each label set of a network that the selectors of policies, and further ones, can tell
// apart: together they stand for every workload that may ever be there. ok is false when there are too many.
func Imagined(intent *topology.Intent, n *topology.Network, further []topology.Selector) (classes []Class, ok bool) {
	selectors := slices.Concat(selectorsOf(intent, n.Ref()), further)
	sets := []fabric.Labels{{}}
	for key, values := range mentionedValues(selectors) {
		var next []fabric.Labels
		for _, set := range sets {
			next = append(next, set)
			for _, v := range values {
				with := maps.Clone(set)
				with[key] = v
				next = append(next, with)
			}
		}
		if sets = next; len(sets) > maxLabelSets {
			return nil, false
		}
	}
	// Few labels come first, so that they stand for those that are alike.
	slices.SortFunc(sets, func(a, b fabric.Labels) int { return cmp.Or(len(a)-len(b), cmp.Compare(a.String(), b.String())) })
	seen := make(map[string]bool)
	for _, set := range sets {
		vector := make([]byte, len(selectors))
		for i, s := range selectors {
			if s.Matches(set) {
				vector[i] = 1
			}
		}
		if seen[string(vector)] {
			continue
		}
		seen[string(vector)] = true
		classes = append(classes, Class{Network: n.Ref(), Labels: set, Addresses: networkRanges(n)})
		if len(classes) > maxDistinctSets {
			return nil, false
		}
	}
	return classes, true
}

// mentionedValues yields each key that selectors mention with the values that they tell apart, absence aside, in order.
func mentionedValues(selectors []topology.Selector) func(yield func(string, []string) bool) {
	values := make(map[string]map[string]bool)
	note := func(key, value string) {
		if values[key] == nil {
			values[key] = make(map[string]bool)
		}
		values[key][value] = true
	}
	for _, s := range selectors {
		for key, value := range s.MatchLabels {
			note(key, value)
		}
		for _, r := range s.MatchExpressions {
			for _, v := range r.Values {
				note(r.Key, v)
			}
			note(r.Key, otherValue)
		}
	}
	return func(yield func(string, []string) bool) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if !yield(key, slices.Sorted(maps.Keys(values[key]))) {
				return
			}
		}
	}
}
