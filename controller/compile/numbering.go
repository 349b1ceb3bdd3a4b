package compile

import (
	"hash/fnv"
	"slices"

	"github.com/weftfabric/weft/firewall"
)

// numbering gives rules their numbers. A number is the hash of its key; of several keys that want one number the
// later in order takes the next free one. So the numbers depend on the set of keys alone.
//
// A key's number lies in the same run of taken numbers as its hash: it went from there over taken ones only. So
// a key that comes or goes concerns the keys of its run, and no others.
type numbering struct {
	hash func(ruleKey) firewall.RuleID
	ids  map[ruleKey]firewall.RuleID
	keys map[firewall.RuleID]ruleKey
}

func newNumbering(hash func(ruleKey) firewall.RuleID) numbering {
	return numbering{hash: hash, ids: make(map[ruleKey]firewall.RuleID), keys: make(map[firewall.RuleID]ruleKey)}
}

func hashKey(key ruleKey) firewall.RuleID {
	h := fnv.New32a()
	h.Write([]byte(key))
	return firewall.RuleID(h.Sum32())
}

// add numbers a key, and reports whether the number of another key changed.
func (n *numbering) add(key ruleKey) (moved bool) {
	if _, known := n.ids[key]; known {
		return false
	}
	var run []ruleKey
	if wanted := n.hash(key); n.taken(wanted) {
		run = n.run(wanted)
	}
	return n.renumber(run, append(slices.Clone(run), key))
}

// remove frees a key's number, and reports whether the number of another key changed.
func (n *numbering) remove(key ruleKey) (moved bool) {
	id, known := n.ids[key]
	if !known {
		return false
	}
	run := n.run(id)
	return n.renumber(run, slices.DeleteFunc(slices.Clone(run), func(k ruleKey) bool { return k == key }))
}

// taken reports whether a number can't be given. 0 is no rule's number.
func (n *numbering) taken(id firewall.RuleID) bool {
	_, ok := n.keys[id]
	return ok || id == 0
}

// run returns the keys of the longest run of taken numbers around one of them. Numbers go round at their end.
func (n *numbering) run(id firewall.RuleID) []ruleKey {
	for n.taken(id - 1) {
		id--
	}
	var run []ruleKey
	for ; n.taken(id); id++ {
		if key, ok := n.keys[id]; ok {
			run = append(run, key)
		}
	}
	return run
}

// renumber numbers the keys of a run anew, and reports whether one that was and stays has another number.
func (n *numbering) renumber(before, after []ruleKey) (moved bool) {
	was := make(map[ruleKey]firewall.RuleID, len(before))
	for _, key := range before {
		was[key] = n.ids[key]
		delete(n.keys, n.ids[key])
		delete(n.ids, key)
	}
	slices.Sort(after)
	for _, key := range after {
		id := n.hash(key)
		for n.taken(id) {
			id++
		}
		n.ids[key], n.keys[id] = id, key
		if old, ok := was[key]; ok && old != id {
			moved = true
		}
	}
	return moved
}
