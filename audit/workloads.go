package audit

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Workload is a workload that is there: a declared Port, a Workload of the lab that isn't attached to one, or what a node
// reports.
type Workload struct {
	Name    string // "tenant/name"
	Network fabric.NetworkRef
	Subnet  string        // empty: the network's first
	Labels  fabric.Labels // without those that policy ignores
	// Addresses are fixed; a workload without any has addresses of its subnet.
	Addresses []netip.Addr
	Origin    topology.Origin
	// Node is where it is attached, as far as that is known. Live says that nodes report it and no file declares it.
	Node string
	Live bool
}

// labDocument is what matters here of the lab's documents.
type labDocument struct {
	Metadata topology.Metadata `json:"metadata"`
	Spec     struct {
		Network string   `json:"network,omitzero"`
		Subnet  string   `json:"subnet,omitzero"`
		Port    string   `json:"port,omitzero"`
		Node    int      `json:"node,omitzero"`
		Type    string   `json:"type,omitzero"`
		Listen  []string `json:"listen,omitzero"`
	} `json:"spec"`
}

// WorkloadsOf returns the declared Ports and the lab's workloads among the documents of other APIs, by name. A lab
// workload on a Port is the Port's. Where both kinds use one name, the lab's workload is named "lab:tenant/name".
func WorkloadsOf(intent *topology.Intent, foreign []topology.Document) ([]Workload, topology.Problems) {
	ignored := intent.Settings().IgnoredLabels
	var out []Workload
	for _, p := range intent.Ports() {
		w := Workload{Name: p.Ref().String(), Network: p.NetworkRef(), Subnet: p.Spec.Subnet,
			Labels: topology.PolicyLabels(ignored, p.Metadata.Labels), Addresses: p.Spec.Addresses}
		if o := intent.Get(p.Key()); o != nil {
			w.Origin = o.Origin
		}
		out = append(out, w)
	}
	var problems topology.Problems
	for _, doc := range foreign {
		if doc.Kind != "Workload" || !strings.HasPrefix(doc.APIVersion, topology.LabAPIPrefix) {
			continue
		}
		var d labDocument
		if faults := doc.Decode(&d); len(faults) > 0 {
			problems = append(problems, faults...)
			continue
		}
		if d.Spec.Port != "" {
			continue
		}
		w := Workload{
			Name: d.Metadata.Tenant + "/" + d.Metadata.Name, Subnet: d.Spec.Subnet,
			Network: fabric.NetworkRef{Tenant: d.Metadata.Tenant, Name: d.Spec.Network},
			Labels:  topology.PolicyLabels(ignored, d.Metadata.Labels), Origin: topology.Origin{File: doc.File, Line: doc.Line},
		}
		n := intent.Network(w.Network)
		switch {
		case n == nil:
			problems = append(problems, doc.Problem("spec.network", "%s is not declared", w.Network))
			continue
		case w.Subnet != "" && n.Subnet(w.Subnet) == nil:
			problems = append(problems, doc.Problem("spec.subnet", "%q is no subnet of network %s", w.Subnet, w.Network))
			continue
		}
		named := func(x Workload) bool { return x.Name == w.Name }
		if slices.ContainsFunc(out, named) {
			w.Name = "lab:" + w.Name
		}
		if slices.ContainsFunc(out, named) {
			problems = append(problems, doc.Problem("metadata.name", "%q is declared twice", w.Name))
			continue
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Workload) int { return strings.Compare(a.Name, b.Name) })
	return out, problems
}
