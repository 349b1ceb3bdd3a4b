package kubernetes

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/firewall"
)

// decodeClusterPolicy reads a ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2, or an AdminNetworkPolicy or a
// BaselineAdminNetworkPolicy of v1alpha1, from which it came.
func decodeClusterPolicy(doc object) Policy {
	p := Policy{Kind: doc.kind, Name: doc.name, Origin: doc.origin(), Tier: firewall.Platform}
	doc.root.only(objectFields...)
	spec := doc.root.field("spec")
	dialect := dialects[doc.kind]
	spec.only(dialect.fields...)
	if doc.kind == "BaselineAdminNetworkPolicy" {
		p.Tier = firewall.Baseline
		if doc.name != "default" {
			doc.root.at("metadata", "name").fault("must be default: there is one in a cluster")
		}
	}
	if slices.Contains(dialect.fields, "tier") {
		switch tier := spec.field("tier").text(); tier {
		case "Admin":
		case "Baseline":
			p.Tier = firewall.Baseline
		default:
			spec.fault("has the tier %q: write Admin or Baseline", tier)
		}
	}
	if slices.Contains(dialect.fields, "priority") {
		if !spec.field("priority").given() {
			spec.fault("has no priority")
		}
		p.Priority = spec.field("priority").number(0, 1000)
	}
	if subject := clusterPeer(spec.field("subject"), []string{"namespaces", "pods"}); len(subject) == 1 && subject[0].Pods != nil {
		p.Subject = *subject[0].Pods
	}
	for _, d := range directionFields {
		for i, r := range spec.field(d.rules).list() {
			r.only("name", "action", d.peers, dialect.ports)
			rule := Rule{Name: r.field("name").text(), Line: r.line(), Direction: d.direction}
			if rule.Name == "" {
				rule.Name = fmt.Sprintf("%s[%d]", d.rules, i)
			}
			switch action := r.field("action").text(); {
			case action == dialect.allow:
				rule.Action = firewall.Allow
			case action == "Deny":
				rule.Action = firewall.Deny
			case action == "Pass" && dialect.passes:
				rule.Action = firewall.Pass
			default:
				r.fault("has the action %q: write %s", action, dialect.actions())
			}
			peers := r.field(d.peers).list()
			if len(peers) == 0 {
				r.fault("has no %s: name a peer", d.peers)
			}
			kinds := []string{"namespaces", "pods"}
			if d.direction == firewall.Egress {
				kinds = append(kinds, "nodes", "networks", "domainNames")
			}
			for _, v := range peers {
				rule.Peers = append(rule.Peers, clusterPeer(v, kinds)...)
			}
			ports := r.field(dialect.ports)
			rule.AllPorts = !ports.given()
			if ports.given() && len(ports.list()) == 0 {
				ports.fault("is empty: leave it out to mean every protocol")
			}
			for _, v := range ports.list() {
				rule.Ports = append(rule.Ports, dialect.port(v))
			}
			p.Rules = append(p.Rules, rule)
		}
	}
	return p
}

// dialect is what differs between the versions of the API.
type dialect struct {
	fields []string
	allow  string
	passes bool
	ports  string
	port   func(value) Port
}

var dialects = map[string]dialect{
	"ClusterNetworkPolicy":       {[]string{"tier", "priority", "subject", "ingress", "egress"}, "Accept", true, "protocols", clusterPort},
	"AdminNetworkPolicy":         {[]string{"priority", "subject", "ingress", "egress"}, "Allow", true, "ports", adminPort},
	"BaselineAdminNetworkPolicy": {[]string{"subject", "ingress", "egress"}, "Allow", false, "ports", adminPort},
}

func (d dialect) actions() string {
	if d.passes {
		return d.allow + ", Deny or Pass"
	}
	return d.allow + " or Deny"
}

// clusterPeer reads a subject or a peer; one of networks stands for several.
func clusterPeer(v value, kinds []string) []Peer {
	switch kind, of := v.oneOf(kinds...); kind {
	case "namespaces":
		return []Peer{{Pods: &Pods{Namespaces: of.selector()}}}
	case "pods":
		of.only("namespaceSelector", "podSelector")
		return []Peer{{Pods: &Pods{Namespaces: of.field("namespaceSelector").selector(), Labels: of.field("podSelector").selector()}}}
	case "nodes":
		s := of.selector()
		return []Peer{{Nodes: &s}}
	case "networks":
		var out []Peer
		for _, n := range of.list() {
			if p := prefix(n); p.IsValid() {
				out = append(out, Peer{CIDR: &firewall.CIDR{Prefix: p}})
			}
		}
		return out
	case "domainNames":
		of.fault("is not supported: manifests don't say which addresses a name has")
	}
	return nil
}

// clusterPort reads an entry of protocols (v1alpha2).
func clusterPort(v value) Port {
	kind, of := v.oneOf("tcp", "udp", "sctp", "destinationNamedPort")
	switch kind {
	case "tcp":
		return Port{Protocol: firewall.TCP, Range: destinationPort(of)}
	case "udp":
		return Port{Protocol: firewall.UDP, Range: destinationPort(of)}
	case "sctp":
		return Port{Protocol: firewall.SCTP, Range: destinationPort(of)}
	case "destinationNamedPort":
		return Port{Name: portName(of)}
	}
	return Port{}
}

// destinationPort reads the ports of a protocol; absent ones mean all.
func destinationPort(v value) firewall.PortRange {
	v.only("destinationPort")
	if !v.field("destinationPort").given() {
		return firewall.PortRange{}
	}
	switch kind, of := v.field("destinationPort").oneOf("number", "range"); kind {
	case "number":
		n := uint16(of.number(1, 65535))
		return firewall.PortRange{First: n, Last: n}
	case "range":
		of.only("start", "end")
		return portRange(of)
	}
	return firewall.PortRange{}
}

// portRange reads start and end.
func portRange(v value) firewall.PortRange {
	start, end := v.field("start"), v.field("end")
	r := firewall.PortRange{First: uint16(start.number(1, 65535)), Last: uint16(end.number(1, 65535))}
	if !start.given() || !end.given() || r.First >= r.Last {
		v.fault("must have a start below its end")
	}
	return r
}

// adminPort reads an entry of ports (v1alpha1).
func adminPort(v value) Port {
	kind, of := v.oneOf("portNumber", "portRange", "namedPort")
	p := Port{Protocol: firewall.TCP}
	switch kind {
	case "portNumber":
		of.only("protocol", "port")
		if name := of.field("protocol"); name.given() {
			p.Protocol = protocol(name)
		}
		n := uint16(of.field("port").number(1, 65535))
		if !of.field("port").given() {
			of.fault("has no port")
		}
		p.Range = firewall.PortRange{First: n, Last: n}
	case "portRange":
		of.only("protocol", "start", "end")
		if name := of.field("protocol"); name.given() {
			p.Protocol = protocol(name)
		}
		p.Range = portRange(of)
	case "namedPort":
		return Port{Name: portName(of)}
	}
	return p
}
