package audit_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// TestImaginedStandForAll: whatever labels a workload has, an imagined class has the same answer to each selector.
func TestImaginedStandForAll(t *testing.T) {
	intent, _, problems := topology.Load([]topology.Source{{Name: "base.yaml", Content: []byte(cornerBase)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	n := intent.Network(fabric.NetworkRef{Tenant: "acme", Name: "prod"})
	keys, values := []string{"a", "b"}, []string{"1", "2", "3"}
	rapid.Check(t, func(t *rapid.T) {
		selectors := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) topology.Selector {
			var s topology.Selector
			for _, key := range keys {
				switch operator := rapid.SampledFrom([]topology.Operator{"", "=", topology.In, topology.NotIn, topology.Exists, topology.DoesNotExist}).Draw(t, "operator"); operator {
				case "":
				case "=":
					s.MatchLabels = fabric.Labels{key: rapid.SampledFrom(values[:2]).Draw(t, "value")}
				default:
					r := topology.Requirement{Key: key, Operator: operator}
					if operator == topology.In || operator == topology.NotIn {
						r.Values = []string{rapid.SampledFrom(values[:2]).Draw(t, "value")}
					}
					s.MatchExpressions = append(s.MatchExpressions, r)
				}
			}
			return s
		}), 0, 4).Draw(t, "selectors")
		labels := fabric.Labels{}
		for _, key := range append(slices.Clone(keys), "c") {
			if rapid.Bool().Draw(t, "has "+key) {
				labels[key] = rapid.SampledFrom(values).Draw(t, "label")
			}
		}
		classes, ok := audit.Imagined(intent, n, selectors)
		if !ok {
			t.Fatal("too many label sets")
		}
		alike := func(c audit.Class) bool {
			return !slices.ContainsFunc(selectors, func(s topology.Selector) bool { return s.Matches(labels) != s.Matches(c.Labels) })
		}
		if !slices.ContainsFunc(classes, alike) {
			t.Fatalf("labels %s are like none of %+v under %+v", labels, classes, selectors)
		}
	})
}
