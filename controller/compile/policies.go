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
	ids      map[ruleKey]firewall.RuleID
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

func newPolicies(i *topology.Intent) policies {
	p := policies{tenants: make(map[string][]policy)}
	for _, f := range i.FirewallPolicies() {
		pol := newPolicy(i, topology.Key{Kind: topology.KindFirewallPolicy, Tenant: f.Metadata.Tenant, Name: f.Metadata.Name}, f.Spec.Ingress, f.Spec.Egress)
		pol.tier, pol.priority, pol.network, pol.subject = firewall.Tenant, f.Spec.Priority, f.Spec.Network, f.Spec.Subject
		p.tenants[f.Metadata.Tenant] = append(p.tenants[f.Metadata.Tenant], pol)
	}
	for _, f := range i.PlatformPolicies() {
		pol := newPolicy(i, topology.Key{Kind: topology.KindPlatformPolicy, Name: f.Metadata.Name}, f.Spec.Ingress, f.Spec.Egress)
		pol.tier, pol.priority, pol.tenants, pol.subject = firewall.Platform, f.Spec.Priority, f.Spec.Subject.Tenants, f.Spec.Subject.Workloads
		if f.Spec.Tier == topology.TierBaseline {
			pol.tier = firewall.Baseline
		}
		p.platform = append(p.platform, pol)
	}
	p.number(i)
	return p
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

// number gives every rule its id.
func (p *policies) number(i *topology.Intent) {
	keys := make(map[ruleKey]bool)
	add := func(pol policy) {
		for d, rules := range pol.directions {
			for index := range rules {
				keys[policyRule(pol.key, d, index)] = true
			}
		}
	}
	for _, pol := range p.platform {
		add(pol)
	}
	for _, list := range p.tenants {
		for _, pol := range list {
			add(pol)
		}
	}
	for _, n := range i.Networks() {
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			keys[defaultRule(n.Ref(), d)] = true
			keys[postureRule(n.Ref(), d)] = true
		}
	}
	p.ids = ruleIDs(keys)
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
