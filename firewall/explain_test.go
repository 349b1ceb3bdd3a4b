package firewall_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// TestExplainEndsAsDecided: the last step of each direction holds the rule that Decide names.
func TestExplainEndsAsDecided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := map[fabric.NetworkID]firewall.Table{1: drawTable(t, 1), 2: drawTable(t, 2)}
		for range 10 {
			p := drawPacket(t)
			v := firewall.Decide(tables, p)
			var last [firewall.Egress + 1]*firewall.Rule
			for _, s := range firewall.Explain(tables, p) {
				last[s.Direction] = s.Rule
				if s.Rule != nil && s.Rule.Action == firewall.Pass {
					last[s.Direction] = nil
				}
			}
			if last[firewall.Egress] != v.Egress || last[firewall.Ingress] != v.Ingress {
				t.Fatalf("packet %+v: explained by %+v and %+v, decided by %+v and %+v", p, last[firewall.Egress], last[firewall.Ingress], v.Egress, v.Ingress)
			}
		}
	})
}
