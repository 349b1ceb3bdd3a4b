package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// relation is how another object has to do with the one that is described.
type relation struct {
	Kind   topology.Kind `json:"kind"`
	Tenant string        `json:"tenant,omitempty"`
	Name   string        `json:"name"`
	// How reads as "<kind> <name>: <how>".
	How string `json:"how"`
}

// related returns the objects that need one, those that it needs, and the policies and workloads that
// selectors join, in order.
func related(intent *topology.Intent, o *topology.Object) []relation {
	found := make(map[topology.Key]string)
	for _, k := range intent.References(o.Key) {
		found[k] = "needs it"
	}
	for _, other := range intent.Objects() {
		if slices.Contains(intent.References(other.Key), o.Key) {
			found[other.Key] = "needed by it"
		}
		if how := selects(intent, other, o); how != "" {
			found[other.Key] = how
		} else if how := selects(intent, o, other); how != "" && (other.Port != nil || other.Client != nil) {
			found[other.Key] = "selected by it"
		}
	}
	delete(found, o.Key)
	list := make([]relation, 0, len(found))
	for k, how := range found {
		list = append(list, relation{k.Kind, k.Tenant, k.Name, how})
	}
	slices.SortFunc(list, func(x, y relation) int {
		return cmp.Or(x.key().Compare(y.key()), strings.Compare(x.How, y.How))
	})
	return list
}

func (r relation) key() topology.Key {
	return topology.Key{Kind: r.Kind, Tenant: r.Tenant, Name: r.Name}
}

// selects says how a policy selects a Port or a Client, or may select workloads of a network; empty when it doesn't.
func selects(intent *topology.Intent, policy, o *topology.Object) string {
	var network fabric.NetworkRef
	switch {
	case o.Port != nil:
		network = o.Port.NetworkRef()
	case o.Client != nil:
		network = o.Client.Port().NetworkRef()
	case o.Network != nil:
		network = o.Network.Ref()
	default:
		return ""
	}
	subject, ok := subjectIn(intent, policy, network)
	switch {
	case !ok:
		return ""
	case o.Network != nil && subject.IsZero():
		return "selects every workload of it"
	case o.Network != nil:
		return "selects its workloads with " + selector(subject)
	case subject.Matches(o.Metadata().Labels):
		return "selects it"
	}
	return ""
}

// subjectIn returns what a policy selects in a network; ok is false when it doesn't look there.
func subjectIn(intent *topology.Intent, policy *topology.Object, network fabric.NetworkRef) (s topology.Selector, ok bool) {
	switch {
	case policy.FirewallPolicy != nil:
		spec := policy.FirewallPolicy.Spec
		here := policy.Key.Tenant == network.Tenant && (spec.Network == "" || spec.Network == network.Name)
		return spec.Subject, here
	case policy.PlatformPolicy != nil:
		spec := policy.PlatformPolicy.Spec
		t := intent.Tenant(network.Tenant)
		return spec.Subject.Workloads, t != nil && spec.Subject.Tenants.Matches(t.Metadata.Labels)
	}
	return s, false
}

// workload is an attached interface that has to do with an object.
type workload struct {
	Node string `json:"node"`
	attached
}

// attached is an attachment as it is shown.
type attached struct {
	Interface string        `json:"interface"`
	Workload  string        `json:"workload"`
	Port      string        `json:"port,omitempty"`
	Network   string        `json:"network"`
	MAC       string        `json:"mac"`
	Addresses []string      `json:"addresses"`
	Identity  uint32        `json:"identity"`
	Labels    fabric.Labels `json:"labels"`
}

// workloadsOf returns the attached interfaces that an object is about: a Port's own, those of a network or a
// tenant, those that a policy selects. Sorted by node and interface.
func workloadsOf(intent *topology.Intent, o *topology.Object, nodes []*weftv1.NodeInfo) []workload {
	list := []workload{}
	for _, n := range nodes {
		for _, at := range n.GetReport().GetAttachments() {
			if concerns(intent, o, at) {
				list = append(list, workload{n.GetName(), attachedOf(intent, at)})
			}
		}
	}
	slices.SortFunc(list, func(x, y workload) int {
		return cmp.Or(strings.Compare(x.Node, y.Node), strings.Compare(x.Interface, y.Interface))
	})
	return list
}

func attachedOf(intent *topology.Intent, at *weftv1.Attachment) attached {
	return attached{
		Interface: at.GetInterface(), Workload: at.GetWorkload(), Port: at.GetPort(), Network: at.GetNetwork(), MAC: at.GetMac(),
		Addresses: append([]string{}, at.GetAddresses()...), Identity: at.GetIdentity(), Labels: labelsOf(intent, at),
	}
}

// labelsOf returns a workload's labels: those of its Port where one is declared, else those that it was attached with.
func labelsOf(intent *topology.Intent, at *weftv1.Attachment) fabric.Labels {
	labels := fabric.Labels(at.GetLabels())
	if ref, err := fabric.ParsePortRef(at.GetPort()); err == nil {
		if p := intent.Port(ref); p != nil {
			labels = p.Metadata.Labels
		}
	}
	if labels == nil {
		labels = fabric.Labels{}
	}
	return labels
}

func concerns(intent *topology.Intent, o *topology.Object, at *weftv1.Attachment) bool {
	network, err := fabric.ParseNetworkRef(at.GetNetwork())
	if err != nil {
		return false
	}
	switch {
	case o.Port != nil:
		return at.GetPort() == o.Port.Ref().String()
	case o.Client != nil:
		return at.GetPort() == o.Client.Ref().String()
	case o.Network != nil:
		return network == o.Network.Ref()
	case o.Tenant != nil:
		return network.Tenant == o.Key.Name
	}
	subject, ok := subjectIn(intent, o, network)
	return ok && subject.Matches(labelsOf(intent, at))
}
