package compile

import (
	"strconv"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// ruleKey names a rule stably: by its place in the declared policy, or by its network for the rules that a
// network has of its own. A policy's rule has one key in all tables.
type ruleKey string

func policyRule(policy topology.Key, d firewall.Direction, index int) ruleKey {
	return ruleKey(policy.String() + " " + directionName(d) + " " + strconv.Itoa(index))
}

func defaultRule(network fabric.NetworkRef, d firewall.Direction) ruleKey {
	return ruleKey("default " + network.String() + " " + directionName(d))
}

func postureRule(network fabric.NetworkRef, d firewall.Direction) ruleKey {
	return ruleKey("posture " + network.String() + " " + directionName(d))
}

func directionName(d firewall.Direction) string {
	if d == firewall.Egress {
		return "egress"
	}
	return "ingress"
}

// ruleKeys returns the keys of the rules that there are because of an object, which may be nil.
func ruleKeys(o *topology.Object) []ruleKey {
	var keys []ruleKey
	add := func(d firewall.Direction, rules []topology.Rule) {
		for i := range rules {
			keys = append(keys, policyRule(o.Key, d, i))
		}
	}
	switch {
	case o == nil:
	case o.FirewallPolicy != nil:
		add(firewall.Ingress, o.FirewallPolicy.Spec.Ingress)
		add(firewall.Egress, o.FirewallPolicy.Spec.Egress)
	case o.PlatformPolicy != nil:
		add(firewall.Ingress, o.PlatformPolicy.Spec.Ingress)
		add(firewall.Egress, o.PlatformPolicy.Spec.Egress)
	case o.Network != nil:
		ref := o.Network.Ref()
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			keys = append(keys, defaultRule(ref, d), postureRule(ref, d))
		}
	}
	return keys
}
