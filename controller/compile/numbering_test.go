package compile

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/firewall"
)

// TestNumberingForgetsItsHistory compares a numbering after each of many changes with one that numbers all keys
// in their order. The hash is so weak that most keys collide, near 0 and near the largest number too.
func TestNumberingForgetsItsHistory(t *testing.T) {
	weak := func(key ruleKey) firewall.RuleID { return hashKey(key)%12 - 5 }
	rapid.Check(t, func(t *rapid.T) {
		n := newNumbering(weak)
		set := map[ruleKey]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			key := ruleKey(rapid.StringMatching("[a-e][a-d]").Draw(t, "key"))
			before := maps.Clone(n.ids)
			var moved bool
			if set[key] {
				delete(set, key)
				moved = n.remove(key)
			} else {
				set[key] = true
				moved = n.add(key)
			}
			if diff := cmp.Diff(numberAll(set, weak), n.ids); diff != "" {
				t.Fatalf("after %q (-in order +numbering):\n%s", key, diff)
			}
			if want := movedKeys(before, n.ids); moved != want {
				t.Fatalf("%q: another key moved: %v, want %v", key, moved, want)
			}
		}
	})
}

// numberAll numbers keys in their order, each with the first free number from its hash on.
func numberAll(set map[ruleKey]bool, hash func(ruleKey) firewall.RuleID) map[ruleKey]firewall.RuleID {
	ids := map[ruleKey]firewall.RuleID{}
	taken := map[firewall.RuleID]bool{0: true}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		id := hash(key)
		for taken[id] {
			id++
		}
		taken[id], ids[key] = true, id
	}
	return ids
}

// movedKeys reports whether a key that both have has another number.
func movedKeys(before, after map[ruleKey]firewall.RuleID) bool {
	for key, id := range after {
		if was, ok := before[key]; ok && was != id {
			return true
		}
	}
	return false
}
