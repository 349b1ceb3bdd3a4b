package kubernetes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// directionFields are the fields of a policy that hold the rules of a direction, and of a rule that hold its peers.
var directionFields = []struct {
	direction    firewall.Direction
	rules, peers string
	policyType   string
}{
	{firewall.Ingress, "ingress", "from", "Ingress"},
	{firewall.Egress, "egress", "to", "Egress"},
}

// objectFields are the fields of every object.
var objectFields = []string{"apiVersion", "kind", "metadata", "spec", "status"}

// decodeNetworkPolicy reads a NetworkPolicy of networking.k8s.io/v1 with the defaults that an API server fills in.
func decodeNetworkPolicy(doc object) Policy {
	p := Policy{Kind: doc.kind, Namespace: doc.namespace, Name: doc.name, Origin: doc.origin(), Tier: firewall.Tenant}
	doc.root.only(objectFields...)
	spec := doc.root.field("spec")
	spec.only("podSelector", "policyTypes", "ingress", "egress")
	p.Subject = Pods{Namespace: doc.namespace, Labels: spec.field("podSelector").selector()}
	types := spec.field("policyTypes").texts()
	for _, t := range types {
		if t != "Ingress" && t != "Egress" {
			spec.field("policyTypes").fault("has %q: write Ingress or Egress", t)
		}
	}
	if len(types) == 0 {
		types = []string{"Ingress"}
		if len(spec.field("egress").list()) > 0 {
			types = append(types, "Egress")
		}
	}
	for _, d := range directionFields {
		rules := spec.field(d.rules)
		var decoded []Rule
		for i, r := range rules.list() {
			r.only("ports", d.peers)
			rule := Rule{Name: fmt.Sprintf("%s[%d]", d.rules, i), Line: r.line(), Direction: d.direction, Action: firewall.Allow}
			peers := r.field(d.peers).list()
			rule.Everyone = len(peers) == 0
			for _, v := range peers {
				rule.Peers = append(rule.Peers, networkPolicyPeer(v, doc.namespace))
			}
			ports := r.field("ports").list()
			rule.AllPorts = len(ports) == 0
			for _, v := range ports {
				rule.Ports = append(rule.Ports, networkPolicyPort(v))
			}
			decoded = append(decoded, rule)
		}
		if !slices.Contains(types, d.policyType) {
			if len(decoded) > 0 {
				rules.problem(topology.SeverityWarning, rules.line(), "%s has no effect: policyTypes doesn't hold %s", rules.path, d.policyType)
			}
			continue
		}
		p.Isolates = append(p.Isolates, d.direction)
		p.Rules = append(p.Rules, decoded...)
	}
	return p
}

func networkPolicyPeer(v value, namespace string) Peer {
	v.only("podSelector", "namespaceSelector", "ipBlock")
	pods, namespaces, block := v.field("podSelector"), v.field("namespaceSelector"), v.field("ipBlock")
	switch {
	case block.given() && (pods.given() || namespaces.given()):
		v.fault("has an ipBlock beside a selector: make them two peers")
	case block.given():
		c := cidr(block)
		return Peer{CIDR: &c}
	case !pods.given() && !namespaces.given():
		v.fault("is empty: name a podSelector, a namespaceSelector or an ipBlock; leave out the whole list to mean everyone")
	}
	selected := Pods{Namespace: namespace, Labels: pods.selector()}
	if namespaces.given() {
		selected = Pods{Namespaces: namespaces.selector(), Labels: selected.Labels}
	}
	return Peer{Pods: &selected}
}

// cidr reads an ipBlock.
func cidr(v value) firewall.CIDR {
	v.only("cidr", "except")
	c := firewall.CIDR{Prefix: prefix(v.field("cidr"))}
	if !v.field("cidr").given() {
		v.fault("has no cidr")
	}
	for _, e := range v.field("except").list() {
		x := prefix(e)
		if !x.IsValid() || !c.Prefix.IsValid() {
			continue
		}
		if !c.Prefix.Contains(x.Addr()) || x.Bits() <= c.Prefix.Bits() {
			e.fault("must lie within %s, and be smaller", c.Prefix)
			continue
		}
		c.Except = append(c.Except, x)
	}
	return c
}

// prefix reads an address range. Bits behind its length don't count, as they don't for an API server.
func prefix(v value) netip.Prefix {
	if !v.given() {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(v.text())
	if err != nil || p.Addr().Is4In6() {
		v.fault("%q is not an address range: write address/length, such as 10.0.0.0/8", v.node.Value)
		return netip.Prefix{}
	}
	return p.Masked()
}

func networkPolicyPort(v value) Port {
	v.only("protocol", "port", "endPort")
	p := Port{Protocol: firewall.TCP}
	if name := v.field("protocol"); name.given() {
		p.Protocol = protocol(name)
	}
	port, end := v.field("port"), v.field("endPort")
	switch {
	case port.isNumber():
		first := uint16(port.number(1, 65535))
		p.Range = firewall.PortRange{First: first, Last: first}
	case port.given():
		p.Name = portName(port)
	}
	if end.given() {
		if !port.isNumber() {
			end.fault("needs a port that is a number")
			return p
		}
		p.Range.Last = uint16(end.number(1, 65535))
		if p.Range.Last < p.Range.First {
			end.fault("is below port")
		}
	}
	return p
}

// protocols are the protocols that policies can name.
var protocols = []struct {
	name     string
	protocol firewall.Protocol
}{{"TCP", firewall.TCP}, {"UDP", firewall.UDP}, {"SCTP", firewall.SCTP}}

func protocol(v value) firewall.Protocol {
	name := v.text()
	for _, p := range protocols {
		if p.name == name {
			return p.protocol
		}
	}
	v.fault("has the protocol %q: write TCP, UDP or SCTP", name)
	return 0
}

// portName reads the name of a port (RFC 6335, section 5.1: up to 15 letters, digits and hyphens).
func portName(v value) string {
	name := v.text()
	const letters = "abcdefghijklmnopqrstuvwxyz"
	if len(name) == 0 || len(name) > 15 || strings.Trim(name, letters+"0123456789-") != "" || !strings.ContainsAny(name, letters) {
		v.fault("%q is no port: write a number in 1-65535, or the name of a container's port", name)
	}
	return name
}
