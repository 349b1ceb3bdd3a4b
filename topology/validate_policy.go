package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// The limits of policies.
const (
	MaxRules         = 256    // of one policy and direction
	MaxPeers         = 256    // of one rule
	MaxServices      = 64     // ports and ICMP types of one rule
	MaxExcepts       = 64     // of one CIDR
	MaxRequirements  = 32     // expressions of one selector
	MaxValues        = 64     // of one expression
	MaxGroupPrefixes = 10_000 // of one address group
	maxPriority      = 1000
)

func (v *validator) firewallPolicy(o *Object) {
	spec := o.FirewallPolicy.Spec
	v.priority(o, spec.Priority)
	v.selector(o, "spec.subject", spec.Subject)
	v.rules(o, spec.Ingress, spec.Egress)
	o.eachPeer(func(path string, _ int, p Peer) {
		if p.Workloads != nil {
			v.tenantPeer(o, path+".workloads", *p.Workloads)
		}
	})
}

func (v *validator) platformPolicy(o *Object) {
	spec := o.PlatformPolicy.Spec
	if spec.Tier != TierPlatform && spec.Tier != TierBaseline {
		v.errorf(o, "spec.tier", "is %q: write %s (before the tenants' policies) or %s (after them)", clip(string(spec.Tier)), TierPlatform, TierBaseline)
	}
	v.priority(o, spec.Priority)
	v.labelSelector(o, "spec.subject.tenants", spec.Subject.Tenants)
	v.selector(o, "spec.subject.workloads", spec.Subject.Workloads)
	v.rules(o, spec.Ingress, spec.Egress)
	o.eachPeer(func(path string, _ int, p Peer) {
		if w := p.Workloads; w != nil && w.Network != "" && w.Tenant == "" {
			v.errorf(o, path+".workloads.network", "is %q without a tenant: name the tenant too", clip(w.Network))
		}
	})
}

func (v *validator) priority(o *Object, p int) {
	if p < 1 || p > maxPriority {
		v.errorf(o, "spec.priority", "is %d, out of range 1-%d", p, maxPriority)
	}
}

// tenantPeer checks the network that a tenant's rule names.
func (v *validator) tenantPeer(o *Object, path string, w WorkloadPeer) {
	if w.Network == "" {
		if w.Tenant != "" {
			v.errorf(o, path+".tenant", "is %q without a network: name the network too", clip(w.Tenant))
		}
		return
	}
	peer := fabric.NetworkRef{Tenant: w.Tenant, Name: w.Network}
	if peer.Tenant == "" {
		peer.Tenant = o.Key.Tenant
	}
	if v.intent.Network(peer) == nil {
		return // the reference was reported
	}
	joined := func(n *Network) bool {
		return n.Ref() == peer || slices.Contains(v.intent.PeersOf(n.Ref()), peer)
	}
	if subject := o.FirewallPolicy.Spec.Network; subject != "" {
		n := v.intent.Network(fabric.NetworkRef{Tenant: o.Key.Tenant, Name: subject})
		if n != nil && !joined(n) {
			v.warnf(o, path+".network", "names %s, which is not peered with %s, so it matches nothing: declare Peerings on both sides", peer, n.Ref())
		}
		return
	}
	for _, n := range v.intent.Networks() {
		if n.Metadata.Tenant == o.Key.Tenant && joined(n) {
			return
		}
	}
	v.warnf(o, path+".network", "names %s, which is not peered with a network of tenant %s, so it matches nothing: declare Peerings on both sides", peer, o.Key.Tenant)
}

// rules checks the rules of a policy.
func (v *validator) rules(o *Object, ingress, egress []Rule) {
	if ingress == nil && egress == nil {
		v.errorf(o, "spec", "has neither ingress nor egress, so it governs nothing: add one, [] allows nothing")
	}
	for _, d := range []struct {
		path  string
		rules []Rule
	}{{"spec.ingress", ingress}, {"spec.egress", egress}} {
		if len(d.rules) > MaxRules {
			v.errorf(o, d.path, "has %d rules, at most %d are allowed: use several policies", len(d.rules), MaxRules)
		}
		names := map[string]int{}
		for i, r := range d.rules {
			path := fmt.Sprintf("%s[%d]", d.path, i)
			v.rule(o, path, d.path == "spec.ingress", r)
			if r.Name == "" {
				continue
			}
			if err := fabric.CheckName(r.Name); err != nil {
				v.errorf(o, path+".name", "is not valid: %v", err)
			}
			if j, seen := names[r.Name]; seen {
				v.errorf(o, path+".name", "is %q, the name of rule %d of this direction too: rename one", clip(r.Name), j)
			} else {
				names[r.Name] = i
			}
		}
	}
}

func (v *validator) rule(o *Object, path string, ingress bool, r Rule) {
	if !slices.Contains([]Action{Allow, Deny, Pass}, r.Action) {
		v.errorf(o, path+".action", "is %q: write %s", clip(string(r.Action)), oneOf([]Action{Allow, Deny, Pass}))
	}
	peers, field := r.To, ".to"
	if ingress {
		peers, field = r.From, ".from"
		if r.To != nil {
			v.errorf(o, path+".to", "stands in an ingress rule: write from, or move the rule to egress")
		}
	} else if r.From != nil {
		v.errorf(o, path+".from", "stands in an egress rule: write to, or move the rule to ingress")
	}
	switch {
	case peers != nil && len(peers) == 0:
		v.errorf(o, path+field, "is empty: remove it to mean everyone, or list peers")
	case len(peers) > MaxPeers:
		v.errorf(o, path+field, "has %d peers, at most %d are allowed: use several rules", len(peers), MaxPeers)
	}
	for i, p := range peers {
		v.peer(o, fmt.Sprintf("%s%s[%d]", path, field, i), p)
	}
	v.services(o, path, r)
}

func (v *validator) peer(o *Object, path string, p Peer) {
	parts := 0
	if p.Workloads != nil {
		parts++
		v.selector(o, path+".workloads.selector", p.Workloads.Selector)
	}
	if p.CIDR != nil {
		parts++
		v.cidrPeer(o, path+".cidr", *p.CIDR)
	}
	if p.AddressGroup != "" {
		parts++
	}
	if parts != 1 {
		v.errorf(o, path, "must have exactly one of workloads, cidr and addressGroup, not %d: make several peers of it", parts)
	}
}

func (v *validator) cidrPeer(o *Object, path string, c CIDRPeer) {
	v.cidr(o, path+".cidr", c.CIDR)
	if len(c.Except) > MaxExcepts {
		v.errorf(o, path+".except", "has %d ranges, at most %d are allowed", len(c.Except), MaxExcepts)
	}
	for i, e := range c.Except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		v.cidr(o, at, e)
		switch {
		case !c.CIDR.IsValid() || !e.IsValid():
		case e == c.CIDR:
			v.errorf(o, at, "is the whole of %s, so nothing is left: make it smaller", c.CIDR)
		case e.Bits() < c.CIDR.Bits() || !c.CIDR.Contains(e.Addr()):
			v.errorf(o, at, "%s does not lie in %s: make it a part of it, or remove it", e, c.CIDR)
		}
	}
}

// cidr checks a range that rules match.
func (v *validator) cidr(o *Object, path string, p netip.Prefix) {
	switch {
	case !p.IsValid():
		v.errorf(o, path, "is not an address range: write address/length")
	case p != p.Masked():
		v.errorf(o, path, "is %s, which has host bits set: write %s", p, p.Masked())
	}
}

// services checks the ports and ICMP types of a rule.
func (v *validator) services(o *Object, path string, r Rule) {
	if r.Ports != nil && len(r.Ports) == 0 {
		v.errorf(o, path+".ports", "is empty: remove it to mean every protocol, or list ports")
	}
	if r.ICMP != nil && len(r.ICMP) == 0 {
		v.errorf(o, path+".icmp", "is empty: remove it to mean every protocol, or list types")
	}
	if n := len(r.Ports) + len(r.ICMP); n > MaxServices {
		v.errorf(o, path, "has %d ports and ICMP types, at most %d are allowed: use several rules", n, MaxServices)
	}
	for i, p := range r.Ports {
		at := fmt.Sprintf("%s.ports[%d]", path, i)
		switch p.Protocol {
		case TCP, UDP, SCTP:
		case "icmp", "icmpv6":
			v.errorf(o, at+".protocol", "is %q, which has no ports: list it under icmp, with its family", p.Protocol)
		default:
			v.errorf(o, at+".protocol", "is %q: write %s", clip(string(p.Protocol)), oneOf([]Protocol{TCP, UDP, SCTP}))
		}
		switch {
		case p.EndPort != 0 && p.Port == 0:
			v.errorf(o, at+".endPort", "is given without port: add port, the first of the range")
		case p.EndPort != 0 && p.EndPort < p.Port:
			v.errorf(o, at+".endPort", "is %d, below port %d: exchange them", p.EndPort, p.Port)
		}
	}
	for i, t := range r.ICMP {
		at := fmt.Sprintf("%s.icmp[%d]", path, i)
		if t.Family != IPv4 && t.Family != IPv6 {
			v.errorf(o, at+".family", "is %q: write %s or %s", clip(string(t.Family)), IPv4, IPv6)
		}
		if t.Code != nil && t.Type == nil {
			v.errorf(o, at+".code", "is given without type: add the type")
		}
	}
}

// selector checks a selector of workloads: the labels that it names must be part of identities.
func (v *validator) selector(o *Object, path string, s Selector) {
	v.labelSelector(o, path, s)
	ignored := v.intent.Settings().IgnoredLabels
	for _, key := range s.MatchLabels.Keys() {
		if IgnoredLabel(ignored, key) {
			v.errorf(o, path+".matchLabels."+key, "selects by a label that policy ignores: select by another, or take it out of the Fabric's ignoredLabels")
		}
	}
	for i, r := range s.MatchExpressions {
		if IgnoredLabel(ignored, r.Key) {
			v.errorf(o, fmt.Sprintf("%s.matchExpressions[%d].key", path, i), "%q is a label that policy ignores: select by another, or take it out of the Fabric's ignoredLabels", r.Key)
		}
	}
}

// labelSelector checks the form of a selector.
func (v *validator) labelSelector(o *Object, path string, s Selector) {
	v.labels(o, path+".matchLabels", s.MatchLabels)
	if n := len(s.MatchExpressions); n > MaxRequirements {
		v.errorf(o, path+".matchExpressions", "has %d expressions, at most %d are allowed", n, MaxRequirements)
	}
	for i, r := range s.MatchExpressions {
		at := fmt.Sprintf("%s.matchExpressions[%d]", path, i)
		if err := CheckLabelKey(r.Key); err != nil {
			v.errorf(o, at+".key", "is not valid: %v", err)
		}
		switch r.Operator {
		case In, NotIn:
			if len(r.Values) == 0 {
				v.errorf(o, at+".values", "is empty: operator %s needs values", r.Operator)
			}
		case Exists, DoesNotExist:
			if len(r.Values) > 0 {
				v.errorf(o, at+".values", "is not allowed with operator %s: remove it", r.Operator)
			}
		default:
			operators := []string{string(In), string(NotIn), string(Exists), string(DoesNotExist)}
			hint := didYouMean(string(r.Operator), operators)
			if hint == "" {
				hint = ": write " + oneOf(operators)
			}
			v.errorf(o, at+".operator", "is %q%s", clip(string(r.Operator)), hint)
		}
		if len(r.Values) > MaxValues {
			v.errorf(o, at+".values", "has %d values, at most %d are allowed", len(r.Values), MaxValues)
		}
		for j, value := range r.Values {
			if err := CheckLabelValue(value); err != nil {
				v.errorf(o, fmt.Sprintf("%s.values[%d]", at, j), "is not valid: %v", err)
			}
		}
	}
}
