package compile

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// ruleKey names a rule stably: by its place in the declared policy, or by its network for the rules that a
// network has of its own. A policy's rule has one key in all tables.
type ruleKey string

func policyRule(policy topology.Key, d firewall.Direction, index int) ruleKey {
	return ruleKey(fmt.Sprintf("%s %s %d", policy, directionName(d), index))
}

func defaultRule(network fabric.NetworkRef, d firewall.Direction) ruleKey {
	return ruleKey(fmt.Sprintf("default %s %s", network, directionName(d)))
}

func postureRule(network fabric.NetworkRef, d firewall.Direction) ruleKey {
	return ruleKey(fmt.Sprintf("posture %s %s", network, directionName(d)))
}

func directionName(d firewall.Direction) string {
	if d == firewall.Egress {
		return "egress"
	}
	return "ingress"
}

// ruleIDs numbers all rules of an intent. A number is the hash of its key; of two keys with one hash the
// later in order takes the next free number, so the numbers depend on the set of rules alone.
func ruleIDs(keys map[ruleKey]bool) map[ruleKey]firewall.RuleID {
	ids := make(map[ruleKey]firewall.RuleID, len(keys))
	taken := map[firewall.RuleID]bool{0: true}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		h := fnv.New32a()
		h.Write([]byte(key))
		id := firewall.RuleID(h.Sum32())
		for taken[id] {
			id++
		}
		taken[id], ids[key] = true, id
	}
	return ids
}

// renumbered reports whether a rule that both have changed its number.
func renumbered(from, to map[ruleKey]firewall.RuleID) bool {
	for key, id := range to {
		if was, ok := from[key]; ok && was != id {
			return true
		}
	}
	return false
}
