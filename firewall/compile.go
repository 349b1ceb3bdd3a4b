package firewall

import (
	"cmp"
	"math"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// maxGroups is how many groups of rules one tier and direction can hold: two levels each, from 2.
const maxGroups = (math.MaxUint16 - 1) / 2

// Compile lowers a table to entries, sorted by direction, tier, level (high first) and match.
//
// Consecutive rules with one action form a group, and each group has two levels of its own. What holds for
// the entries of one network, direction and tier, and makes them fit an OpenFlow table:
//
//   - All entries of a level have one action, so which of several matching ones wins can't change a verdict.
//   - An even level holds plain rows only, each match once. Where several rules of the group would have the same
//     row, the first rule's stands.
//   - The odd level above it holds the clauses and the result rows of conjunctions only. Entries with the same
//     match but different clauses are to be merged into one flow with several conjunction actions.
//   - Each conjunction has two or three clauses; its id is the rule's.
//   - A row never joins a prefix of one IP family with ICMP of the other.
//
// A tier whose actions alternate more than 32,767 times is cut there: what follows is denied.
func Compile(t Table) []Entry {
	rules := slices.Clone(t.Rules)
	slices.SortStableFunc(rules, CompareRules)
	var out []Entry
	for stage := range chunks(rules, func(a, b *Rule) bool { return a.Direction == b.Direction && a.Tier == b.Tier }) {
		groups := slices.Collect(chunks(stage, func(a, b *Rule) bool { return a.Action == b.Action }))
		if len(groups) > maxGroups {
			cut := groups[maxGroups-1][0]
			cut.Action, cut.Subject, cut.Peers, cut.Services = Deny, Workloads{Any: true}, Peers{Any: true}, nil
			groups = append(groups[:maxGroups-1:maxGroups-1], []Rule{cut})
		}
		for i, group := range groups {
			out = append(out, compileGroup(t.Network, uint16(2*(len(groups)-i)), group)...)
		}
	}
	return out
}

// CompareRules is the order of the rules in a Table: direction, tier, order, id.
func CompareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Tier, b.Tier), a.Order.Compare(b.Order), cmp.Compare(a.ID, b.ID))
}

// compileGroup lowers rules of one action: plain rows at level, conjunctions at level+1.
func compileGroup(network fabric.NetworkID, level uint16, rules []Rule) []Entry {
	var plain, conjunctive []Entry
	for i := range rules {
		r := &rules[i]
		row := Entry{Network: network, Direction: r.Direction, Tier: r.Tier, Level: level, Action: r.Action, Rule: r.ID}
		p := partsOf(r)
		if p.plainIsCheaper() {
			plain = append(plain, p.product(row)...)
		} else {
			row.Level = level + 1
			conjunctive = append(conjunctive, p.conjunction(row)...)
		}
	}
	slices.SortStableFunc(plain, compareMatches) // stable: of equal matches the first rule's comes first
	plain = slices.CompactFunc(plain, func(a, b Entry) bool { return compareMatches(a, b) == 0 })
	slices.SortStableFunc(conjunctive, compareMatches)
	return append(conjunctive, plain...)
}

// compareMatches orders entries by what they match.
func compareMatches(a, b Entry) int {
	return cmp.Or(
		cmp.Compare(a.Subject.Identity, b.Subject.Identity),
		cmp.Compare(a.Peer.Identity, b.Peer.Identity),
		cmp.Compare(a.Peer.Block.Base, b.Peer.Block.Base), cmp.Compare(a.Peer.Block.Bits, b.Peer.Block.Bits),
		comparePrefixes(a.Peer.Prefix, b.Peer.Prefix),
		compareServices(a.Service, b.Service),
	)
}

// chunks yields the longest runs of s whose neighbours are alike.
func chunks(s []Rule, alike func(a, b *Rule) bool) func(yield func([]Rule) bool) {
	return func(yield func([]Rule) bool) {
		for start := 0; start < len(s); {
			end := start + 1
			for end < len(s) && alike(&s[end-1], &s[end]) {
				end++
			}
			if !yield(s[start:end:end]) {
				return
			}
			start = end
		}
	}
}
