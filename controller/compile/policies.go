package compile

import (
	"fmt"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// policies are an intent's policies in the form that tables are made of.
type policies struct {
	platform []policy
	tenants  map[string][]policy
	numbers  numbering
}

// policy is a FirewallPolicy or a PlatformPolicy.
type policy struct {
	key      topology.Key
	object   *topology.Object
	tier     firewall.Tier
	priority int
	// network narrows a tenant's policy to one network; empty means each of the tenant's.
	network string
	// tenants narrows a platform's policy to tenants with labels.
	tenants topology.Selector
	subject topology.Selector
	// directions hold the rules; a direction that the policy doesn't govern is absent.
	directions map[firewall.Direction][]topology.Rule
}

// newPolicies returns the policies of an intent without objects.
func newPolicies() policies {
	return policies{tenants: make(map[string][]policy), numbers: newNumbering(hashKey)}
}

// change takes over the objects that keys name from one intent to another. It reports whether the number of a
// rule changed that is in both.
func (p *policies) change(before, after *topology.Intent, keys []topology.Key) (renumbered bool) {
	tenants := make(map[string]bool)
	platform := false
	for _, key := range keys {
		switch key.Kind {
		case topology.KindFirewallPolicy:
			tenants[key.Tenant] = true
		case topology.KindPlatformPolicy:
			platform = true
		}
		if p.renumber(ruleKeys(before.Get(key)), ruleKeys(after.Get(key))) {
			renumbered = true
		}
	}
	for tenant := range tenants {
		if p.tenants[tenant] = tenantPolicies(after, tenant); len(p.tenants[tenant]) == 0 {
			delete(p.tenants, tenant)
		}
	}
	if platform {
		p.platform = platformPolicies(after)
	}
	return renumbered
}

// renumber replaces an object's rules, and reports whether another rule's number changed.
func (p *policies) renumber(before, after []ruleKey) (moved bool) {
	stay := make(map[ruleKey]bool, len(after))
	for _, key := range after {
		stay[key] = true
	}
	for _, key := range before {
		if !stay[key] && p.numbers.remove(key) {
			moved = true
		}
	}
	for _, key := range after {
		if p.numbers.add(key) {
			moved = true
		}
	}
	return moved
}

func tenantPolicies(i *topology.Intent, tenant string) []policy {
	var out []policy
	for _, f := range i.FirewallPoliciesOf(tenant) {
		pol := newPolicy(i, topology.Key{Kind: topology.KindFirewallPolicy, Tenant: tenant, Name: f.Metadata.Name}, f.Spec.Ingress, f.Spec.Egress)
		pol.tier, pol.priority, pol.network, pol.subject = firewall.Tenant, f.Spec.Priority, f.Spec.Network, f.Spec.Subject
		out = append(out, pol)
	}
	return out
}

func platformPolicies(i *topology.Intent) []policy {
	var out []policy
	for _, f := range i.PlatformPolicies() {
		pol := newPolicy(i, topology.Key{Kind: topology.KindPlatformPolicy, Name: f.Metadata.Name}, f.Spec.Ingress, f.Spec.Egress)
		pol.tier, pol.priority, pol.tenants, pol.subject = firewall.Platform, f.Spec.Priority, f.Spec.Subject.Tenants, f.Spec.Subject.Workloads
		if f.Spec.Tier == topology.TierBaseline {
			pol.tier = firewall.Baseline
		}
		out = append(out, pol)
	}
	return out
}

func newPolicy(i *topology.Intent, key topology.Key, ingress, egress []topology.Rule) policy {
	p := policy{key: key, object: i.Get(key), directions: make(map[firewall.Direction][]topology.Rule)}
	if ingress != nil {
		p.directions[firewall.Ingress] = ingress
	}
	if egress != nil {
		p.directions[firewall.Egress] = egress
	}
	return p
}

// governing returns the policies that may govern workloads of a network.
func (p *policies) governing(i *topology.Intent, network fabric.NetworkRef) []policy {
	var labels fabric.Labels
	if t := i.Tenant(network.Tenant); t != nil {
		labels = t.Metadata.Labels
	}
	var out []policy
	for _, pol := range p.platform {
		if pol.tenants.Matches(labels) {
			out = append(out, pol)
		}
	}
	for _, pol := range p.tenants[network.Tenant] {
		if pol.network == "" || pol.network == network.Name {
			out = append(out, pol)
		}
	}
	return out
}

// name is the policy's place in firewall.Order.
func (p *policy) name() string {
	if p.key.Tenant == "" {
		return p.key.Name
	}
	return p.key.Tenant + "/" + p.key.Name
}

// origin says where a rule of the policy was written.
func (p *policy) origin(d firewall.Direction, index int, name string) firewall.Origin {
	o := firewall.Origin{Policy: p.key.String(), Rule: name, File: p.object.Origin.File, Line: p.object.Origin.Line}
	lines := p.object.RuleLines.Ingress
	if d == firewall.Egress {
		lines = p.object.RuleLines.Egress
	}
	if index < len(lines) {
		o.Line = lines[index]
	}
	if name == "" {
		o.Rule = fmt.Sprintf("%s[%d]", directionName(d), index)
	}
	return o
}
