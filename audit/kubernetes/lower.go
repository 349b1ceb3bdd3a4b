package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// network is the one network of a cluster. Pods that policies can govern are in it, each kind of them with an identity;
// what uses a node's addresses, and addresses outside of the cluster, are not.
const network fabric.NetworkID = 1

// identity is a kind of pods that policies can't tell apart, addresses aside.
type identity struct {
	namespace Namespace
	pod       Pod
	ports     string // the same for equal ports
	// addresses are those that its pods are known to have, or stand-ins.
	addresses []netip.Addr
}

// lowering turns policies into rules.
type lowering struct {
	cluster    *Cluster
	identities []identity // from identity 1 on
	all        []fabric.Identity
	rules      []firewall.Rule
	// chosen remembers whom selectors select.
	chosen map[string][]fabric.Identity
}

// lower returns the rules of a cluster's policies, numbered from 1.
func lower(c *Cluster, identities []identity) firewall.Table {
	l := &lowering{cluster: c, identities: identities, chosen: make(map[string][]fabric.Identity)}
	for i := range identities {
		l.all = append(l.all, fabric.Identity(i+1))
	}
	for i := range c.Policies {
		l.policy(&c.Policies[i])
	}
	for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
		l.rules = append(l.rules, firewall.Rule{
			Tier: firewall.Posture, Direction: d, Action: firewall.Allow, Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true},
			Origin: firewall.Origin{Policy: "what Kubernetes does without policies", Rule: "default"},
		})
	}
	slices.SortStableFunc(l.rules, func(a, b firewall.Rule) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Tier, b.Tier), a.Order.Compare(b.Order))
	})
	for i := range l.rules {
		l.rules[i].ID = firewall.RuleID(i + 1)
	}
	return firewall.Table{Network: network, Rules: l.rules}
}

func (l *lowering) policy(p *Policy) {
	subject := l.choose(p.Subject)
	if len(subject) == 0 {
		return
	}
	index := 0
	for _, r := range p.Rules {
		for _, x := range l.rule(&r, subject) {
			x.Tier, x.Direction, x.Action = p.Tier, r.Direction, r.Action
			x.Order = firewall.Order{Priority: p.Priority, Policy: p.String(), Index: index}
			x.Origin = firewall.Origin{Policy: p.String(), Rule: r.Name, File: p.Origin.File, Line: r.Line}
			l.rules = append(l.rules, x)
			index++
		}
	}
	for _, d := range p.Isolates {
		l.rules = append(l.rules, firewall.Rule{
			Tier: p.Tier, Direction: d, Action: firewall.Deny, Order: firewall.Order{Last: true, Policy: p.String(), Index: index},
			Subject: firewall.Workloads{IDs: subject}, Peers: firewall.Peers{Any: true},
			Origin: firewall.Origin{Policy: p.String(), Rule: "default", File: p.Origin.File, Line: p.Origin.Line},
		})
	}
}

// choose returns the identities that a selector means, in order.
func (l *lowering) choose(s Pods) []fabric.Identity {
	key := fmt.Sprint(s)
	out, known := l.chosen[key]
	if !known {
		for i, x := range l.identities {
			if s.selects(x.namespace, x.pod.Labels) {
				out = append(out, fabric.Identity(i+1))
			}
		}
		l.chosen[key] = out
	}
	return out
}

// rule lowers a rule. Names of ports mean what the destination's containers call so: a rule that has some becomes one rule
// for each meaning, for the destinations that have it. Destinations without such a port, outside ones among them,
// don't match by it.
func (l *lowering) rule(r *Rule, subject []fabric.Identity) []firewall.Rule {
	peers := l.peers(r)
	services, named := plainServices(r)
	if r.AllPorts || !named {
		return []firewall.Rule{{Subject: firewall.Workloads{IDs: subject}, Peers: peers, Services: services}}
	}
	var out []firewall.Rule
	if r.Direction == firewall.Ingress {
		for _, m := range l.meanings(r, services, subject) {
			out = append(out, firewall.Rule{Subject: firewall.Workloads{IDs: m.destinations}, Peers: peers, Services: m.services})
		}
		return out
	}
	destinations := peers.IDs
	if peers.Any || len(peers.CIDRs) > 0 {
		destinations = l.all
	}
	for _, m := range l.meanings(r, nil, destinations) {
		x := firewall.Rule{Subject: firewall.Workloads{IDs: subject}, Services: m.services}
		for _, id := range m.destinations {
			if peers.Any || slices.Contains(peers.IDs, id) {
				x.Peers.IDs = append(x.Peers.IDs, id)
			}
		}
		if len(x.Peers.IDs) > 0 {
			out = append(out, x)
		}
		// A range means pods too, by their addresses: those of them that call a port so.
		for _, id := range m.destinations {
			if slices.Contains(x.Peers.IDs, id) {
				continue
			}
			if cidrs := l.addressesOf(id, peers.CIDRs); len(cidrs) > 0 {
				y := x
				y.Peers = firewall.Peers{CIDRs: cidrs}
				out = append(out, y)
			}
		}
	}
	if len(services) > 0 {
		out = append(out, firewall.Rule{Subject: firewall.Workloads{IDs: subject}, Peers: peers, Services: services})
	}
	return out
}

// addressesOf returns the addresses of a kind of pods that lie in ranges, as ranges.
func (l *lowering) addressesOf(id fabric.Identity, cidrs []firewall.CIDR) []firewall.CIDR {
	var out []firewall.CIDR
	for _, a := range l.identities[id-1].addresses {
		if slices.ContainsFunc(cidrs, func(c firewall.CIDR) bool { return c.Contains(a) }) {
			out = append(out, firewall.CIDR{Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
	}
	return out
}

// meaning is what the ports of a rule are for some destinations.
type meaning struct {
	services     []firewall.Service
	destinations []fabric.Identity
}

// meanings resolves names of ports for each destination, and adds plain services. Destinations for which nothing comes of
// it are left out.
func (l *lowering) meanings(r *Rule, plain []firewall.Service, destinations []fabric.Identity) []meaning {
	var out []meaning
	const nothing = -1
	place := make(map[string]int) // by the destinations' ports
	for _, id := range destinations {
		ports := l.identities[id-1].ports
		if i, seen := place[ports]; seen {
			if i != nothing {
				out[i].destinations = append(out[i].destinations, id)
			}
			continue
		}
		services := slices.Clone(plain)
		for _, p := range r.Ports {
			for _, n := range l.identities[id-1].pod.Ports {
				if p.Name != "" && p.Name == n.Name && (p.Protocol == 0 || p.Protocol == n.Protocol) {
					services = append(services, firewall.Service{Protocol: n.Protocol, Ports: firewall.PortRange{First: n.Port, Last: n.Port}})
				}
			}
		}
		place[ports] = nothing
		if len(services) > 0 {
			place[ports] = len(out)
			out = append(out, meaning{services: services, destinations: []fabric.Identity{id}})
		}
	}
	return out
}

// plainServices returns the services that a rule lists by number, and whether it has names too.
func plainServices(r *Rule) (services []firewall.Service, named bool) {
	for _, p := range r.Ports {
		if p.Name != "" {
			named = true
			continue
		}
		services = append(services, firewall.Service{Protocol: p.Protocol, Ports: p.Range})
	}
	return services, named
}

// peers resolves the peers of a rule.
func (l *lowering) peers(r *Rule) firewall.Peers {
	if r.Everyone {
		return firewall.Peers{Any: true}
	}
	var out firewall.Peers
	for _, p := range r.Peers {
		switch {
		case p.Pods != nil:
			out.IDs = append(out.IDs, l.choose(*p.Pods)...)
		case p.CIDR != nil:
			out.CIDRs = append(out.CIDRs, withoutNowhere(*p.CIDR))
		case p.Nodes != nil:
			for _, n := range l.cluster.Nodes {
				if !p.Nodes.Matches(n.Labels) {
					continue
				}
				for _, a := range n.Addresses {
					out.CIDRs = append(out.CIDRs, firewall.CIDR{Prefix: netip.PrefixFrom(a, a.BitLen())})
				}
			}
		}
	}
	slices.Sort(out.IDs)
	out.IDs = slices.Compact(out.IDs)
	return out
}
