package kubernetes

import (
	"cmp"
	"slices"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// assertionKind is the kind of assertions about a cluster; those of a fabric name tenants instead.
const assertionKind = "KubernetesAssertion"

// Assertion is a sentence about who can reach whom in a cluster.
type Assertion struct {
	Name, Description string
	Origin            topology.Origin
	Type              audit.AssertionType
	// From and To say who is meant; none mean every workload.
	From, To []Who
	// Ports are those that count; none mean all of TCP, UDP and SCTP.
	Ports []firewall.Service
	Max   int
}

// Who selects workloads, or addresses outside of the cluster.
type Who struct {
	Workload string // "namespace/Kind/name"
	Pods     *Pods
	Outside  *firewall.CIDR
}

// decodeAssertion reads an Assertion. Peers are written as in a NetworkPolicy, which has no namespace here.
func decodeAssertion(doc object) Assertion {
	doc.root.only(objectFields[:4]...)
	spec := doc.root.field("spec")
	if doc.apiVersion != audit.ReportVersion {
		doc.root.field("apiVersion").fault("must be %s", audit.ReportVersion)
	}
	spec.only("description", "type", "from", "to", "ports", "max")
	a := Assertion{
		Name: doc.name, Description: spec.field("description").text(), Origin: doc.origin(),
		Type: audit.AssertionType(spec.field("type").text()), Max: spec.field("max").number(0, 1<<30),
	}
	switch a.Type {
	case audit.Never, audit.Only, audit.Always, audit.MaxExposure:
	default:
		spec.fault("has the type %q: write never, only, always or maxExposure", a.Type)
	}
	if spec.field("max").given() != (a.Type == audit.MaxExposure) {
		spec.fault("must have max with the type maxExposure, and only then")
	}
	for _, v := range spec.field("from").list() {
		a.From = append(a.From, decodeWho(v))
	}
	for _, v := range spec.field("to").list() {
		a.To = append(a.To, decodeWho(v))
	}
	if a.Type == audit.Only && len(a.From) == 0 {
		spec.fault("has no from: only needs those who may")
	}
	for _, v := range spec.field("ports").list() {
		p := networkPolicyPort(v)
		if p.Name != "" {
			v.fault("has a name: write a number")
		}
		a.Ports = append(a.Ports, firewall.Service{Protocol: p.Protocol, Ports: p.Range})
	}
	return a
}

func decodeWho(v value) Who {
	v.only("workload", "namespaceSelector", "podSelector", "ipBlock")
	name, namespaces, pods, block := v.field("workload"), v.field("namespaceSelector"), v.field("podSelector"), v.field("ipBlock")
	given := 0
	for _, x := range []bool{name.given(), namespaces.given() || pods.given(), block.given()} {
		if x {
			given++
		}
	}
	if given != 1 {
		v.fault("must have one of workload, ipBlock, and namespaceSelector with or without podSelector")
		return Who{}
	}
	switch {
	case name.given():
		return Who{Workload: name.text()}
	case block.given():
		c := cidr(block)
		return Who{Outside: &c}
	}
	return Who{Pods: &Pods{Namespaces: namespaces.selector(), Labels: pods.selector()}}
}

// means reports whether one of several selects a class of pods; none mean every workload.
func (w *World) means(list []Who, class int) bool {
	x := w.classes[class]
	if x.workload < 0 {
		return slices.ContainsFunc(list, func(s Who) bool { return s.Outside != nil })
	}
	l := w.Cluster.Workloads[x.workload]
	labels := l.Pods[slices.Index(w.of[x.workload], class)].Labels
	return len(list) == 0 || slices.ContainsFunc(list, func(s Who) bool {
		switch {
		case s.Workload != "":
			return s.Workload == l.String()
		case s.Pods != nil:
			return s.Pods.selects(w.Cluster.namespace(l.Namespace), labels)
		}
		return false
	})
}

// outsideOf returns the outside addresses that a list means.
func outsideOf(list []Who) []firewall.CIDR {
	var out []firewall.CIDR
	for _, s := range list {
		if s.Outside != nil {
			out = append(out, *s.Outside)
		}
	}
	slices.SortFunc(out, func(a, b firewall.CIDR) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return out
}
