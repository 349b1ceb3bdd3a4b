package lab

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/probe"
	"github.com/weftfabric/weft/topology"
)

// APIVersion is that of the lab's own documents, which stand beside the declared ones.
const APIVersion = topology.LabAPIPrefix + "v1alpha1"

// Type says what a workload is.
type Type string

// The types of workloads.
const (
	Container Type = "container" // a network namespace, attached by the CNI plugin
	VM        Type = "vm"        // a QEMU guest on a tap, attached to a declared Port
)

// Workload declares what the lab starts.
type Workload struct {
	Metadata topology.Metadata `json:"metadata"`
	Spec     WorkloadSpec      `json:"spec"`
}

// WorkloadSpec is the body of a Workload.
type WorkloadSpec struct {
	// Node is where the workload runs, from 1; default 1.
	Node int  `json:"node,omitzero"`
	Type Type `json:"type,omitzero"` // container (default) or vm
	// Network and Subnet say where a container is attached. The labels are those of the metadata.
	Network string `json:"network,omitzero"`
	Subnet  string `json:"subnet,omitzero"`
	// Port attaches to a declared Port instead, with its network and labels. A VM needs one.
	Port string `json:"port,omitzero"`
	// Listen lists the services that answer probes; default tcp/80 and udp/53.
	Listen []string `json:"listen,omitzero"`
}

// Ref names the workload: "tenant/name", unique in a lab.
func (w Workload) Ref() string { return w.Metadata.Tenant + "/" + w.Metadata.Name }

// Topology is what a lab is made of: files, what they declare, and the workloads among it.
type Topology struct {
	Sources   []topology.Source
	Intent    *topology.Intent
	Workloads []Workload
	Nodes     []DeclaredNode // those that are special
}

// Load reads the files of a topology and checks them, workloads included. Warnings are left to whoever applies
// the files. nodes bounds the nodes that documents name; 0 takes as many as they name.
func Load(paths []string, stdin io.Reader, nodes int) (Topology, error) {
	sources, err := topology.ReadSources(paths, stdin)
	if err != nil {
		return Topology{}, err
	}
	intent, foreign, problems := topology.Load(sources)
	t := Topology{Sources: sources, Intent: intent}
	seen := map[string]bool{}
	for _, doc := range foreign {
		if strings.HasPrefix(doc.APIVersion, topology.AuditAPIPrefix) {
			continue
		}
		if doc.APIVersion == APIVersion && doc.Kind == "Node" {
			n, faults := loadNode(&doc, t.Nodes, nodes)
			problems, t.Nodes = append(problems, faults...), append(t.Nodes, n)
			continue
		}
		if doc.APIVersion != APIVersion || doc.Kind != "Workload" {
			problems = append(problems, doc.Problem("kind", "%s %s is unknown: the lab knows Workload and Node of %s", doc.APIVersion, doc.Kind, APIVersion))
			continue
		}
		var w Workload
		if faults := doc.Decode(&w); len(faults) > 0 {
			problems = append(problems, faults...)
			continue
		}
		setDefaults(&w, intent)
		problems = append(problems, checkWorkload(&doc, w, intent, nodes)...)
		if seen[w.Ref()] {
			problems = append(problems, doc.Problem("metadata.name", "%q is declared twice", w.Ref()))
		}
		seen[w.Ref()] = true
		t.Workloads = append(t.Workloads, w)
	}
	slices.SortFunc(t.Workloads, func(a, b Workload) int { return cmp.Compare(a.Ref(), b.Ref()) })
	return t, problems.Err()
}

// setDefaults fills in what was left out; what a declared Port says stands.
func setDefaults(w *Workload, intent *topology.Intent) {
	w.Spec.Type = cmp.Or(w.Spec.Type, Container)
	w.Spec.Node = cmp.Or(w.Spec.Node, 1)
	if w.Spec.Listen == nil {
		w.Spec.Listen = []string{"tcp/80", "udp/53"}
	}
	if port := intent.Port(w.portRef()); w.Spec.Port != "" && port != nil && w.Spec.Network == "" {
		w.Spec.Network = port.Spec.Network
		if len(w.Metadata.Labels) == 0 {
			w.Metadata.Labels = port.Metadata.Labels
		}
	}
}

func (w Workload) portRef() fabric.PortRef {
	return fabric.PortRef{Tenant: w.Metadata.Tenant, Name: w.Spec.Port}
}

func (w Workload) networkRef() fabric.NetworkRef {
	return fabric.NetworkRef{Tenant: w.Metadata.Tenant, Name: w.Spec.Network}
}

func checkWorkload(doc *topology.Document, w Workload, intent *topology.Intent, nodes int) topology.Problems {
	var ps topology.Problems
	fault := func(path, format string, args ...any) { ps = append(ps, doc.Problem(path, format, args...)) }
	for _, f := range []struct{ path, value string }{{"metadata.name", w.Metadata.Name}, {"metadata.tenant", w.Metadata.Tenant}} {
		if err := fabric.CheckName(f.value); err != nil {
			fault(f.path, "is wrong: %v", err)
		}
	}
	if w.Spec.Type != Container && w.Spec.Type != VM {
		fault("spec.type", "%q is unknown: write container or vm", w.Spec.Type)
	}
	switch {
	case w.Spec.Node < 1 || w.Spec.Node > MaxNodes:
		fault("spec.node", "%d is out of range 1-%d", w.Spec.Node, MaxNodes)
	case nodes > 0 && w.Spec.Node > nodes:
		fault("spec.node", "%d is more than the %d nodes of this lab: raise --nodes", w.Spec.Node, nodes)
	}
	port := intent.Port(w.portRef())
	switch {
	case w.Spec.Port == "" && w.Spec.Type == VM:
		fault("spec.port", "is missing: a VM is attached to a declared Port")
	case w.Spec.Port == "" && w.Spec.Network == "":
		fault("spec.network", "is missing: name a network, or a declared Port with spec.port")
	case w.Spec.Port != "" && port == nil:
		fault("spec.port", "%s is not declared", w.portRef())
	case w.Spec.Port != "" && (w.Spec.Network != port.Spec.Network || w.Metadata.Labels.String() != port.Metadata.Labels.String()):
		fault("spec.port", "%s brings its own network and labels: leave them out here", w.portRef())
	}
	if net := intent.Network(w.networkRef()); w.Spec.Port == "" && w.Spec.Network != "" {
		switch {
		case net == nil:
			fault("spec.network", "%s is not declared", w.networkRef())
		case w.Spec.Subnet != "" && net.Subnet(w.Spec.Subnet) == nil:
			fault("spec.subnet", "%q is no subnet of network %s", w.Spec.Subnet, w.networkRef())
		}
	}
	for _, s := range w.Spec.Listen {
		if _, err := probe.ParseService(strings.TrimSpace(s)); err != nil {
			fault("spec.listen", "is wrong: %v", err)
		}
	}
	return ps
}
