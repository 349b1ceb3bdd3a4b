package audit

import (
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// What follows is for audits of other sources than a topology: their documents say the same in the same way.

// HeaderOf starts a document of a kind.
func HeaderOf(kind string) Header { return header(kind) }

// RefOf names a rule; nil for none.
func RefOf(r *firewall.Rule) *RuleRef { return ruleRef(r) }

// StepsOf returns what the tiers say about a packet.
func StepsOf(tables map[fabric.NetworkID]firewall.Table, p firewall.Packet) []Step {
	var out []Step
	for _, s := range firewall.Explain(tables, p) {
		out = append(out, Step{directionName(s.Direction), tierName(s.Tier), ruleRef(s.Rule)})
	}
	return out
}

// ParseService reads a service such as tcp/80. The result is a packet without ends; families are those that it can have.
func ParseService(text string) (p firewall.Packet, families []reach.Family, err error) {
	return parseService(text)
}

// ServiceText writes the service of a packet as ParseService reads it.
func ServiceText(p firewall.Packet) string { return serviceText(p) }

// RuleFindings returns what is questionable about a rule, given its fate.
func RuleFindings(f reach.Fate) []Finding { return ruleFindings(f) }
