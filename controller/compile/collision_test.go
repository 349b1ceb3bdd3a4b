package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// The first rules of these policies of tenant a hash to neighbouring numbers: to 11751509 twice and 11751510; to
// 42069697 and twice 42069698.
var collidingPolicies = []string{"p504831", "p1213918", "p453323", "p4959347", "p761891", "p7761973"}

func collidingPolicy(name string) *topology.Object {
	return object(&topology.FirewallPolicy{
		Metadata: topology.Metadata{Tenant: "a", Name: name},
		Spec:     topology.FirewallPolicySpec{Ingress: []topology.Rule{{Name: name}}},
	})
}

func TestCollidingRules(t *testing.T) {
	var objects []compile.Change
	for _, name := range collidingPolicies {
		objects = append(objects, compile.Change{Object: collidingPolicy(name)})
	}
	want := map[string]firewall.RuleID{
		"p1213918": 11751509, "p453323": 11751510, "p504831": 11751511, // in the order of their keys
		"p4959347": 42069697, "p761891": 42069698, "p7761973": 42069699,
	}
	if diff := cmp.Diff(want, collidingIDs(compile.Tables(after(startState(t), objects...)))); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
	gone := topology.Key{Kind: topology.KindFirewallPolicy, Tenant: "a", Name: "p1213918"}
	delete(want, gone.Name)
	want["p453323"], want["p504831"] = 11751510, 11751509
	if diff := cmp.Diff(want, collidingIDs(compile.Tables(after(startState(t), append(objects, compile.Change{ObjectGone: &gone})...)))); diff != "" {
		t.Errorf("without %s (-want +got):\n%s", gone, diff)
	}
}

// collidingIDs returns the numbers of the named rules.
func collidingIDs(tables map[fabric.NetworkID]firewall.Table) map[string]firewall.RuleID {
	ids := map[string]firewall.RuleID{}
	for _, table := range tables {
		for _, r := range table.Rules {
			if len(r.Origin.Rule) > 1 && r.Origin.Rule[0] == 'p' {
				ids[r.Origin.Rule] = r.ID
			}
		}
	}
	return ids
}

// TestCollidingHistoriesDontMatter lets policies whose rules want the same numbers come and go.
func TestCollidingHistoriesDontMatter(t *testing.T) {
	start := startState(t)
	rapid.Check(t, func(t *rapid.T) {
		state, e := start, compile.NewEngine(start)
		plans := compile.Plans(start)
		checkFlush(t, e, nil, plans)
		declared := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			var changes []compile.Change
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(collidingPolicies), 1, 3, rapid.ID).Draw(t, "policies") {
				c := compile.Change{Object: collidingPolicy(name)}
				if declared[name] {
					c = compile.Change{ObjectGone: &c.Object.Key}
				}
				declared[name] = !declared[name]
				changes = append(changes, c)
			}
			state = after(state, changes...)
			e.Apply(changes...)
			next := compile.Plans(state)
			checkFlush(t, e, plans, next)
			plans = next
		}
	})
}
