package lab

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// DeclaredNode says what is special about one of a lab's nodes. Nodes that nobody declares are there, too.
type DeclaredNode struct {
	Metadata topology.Metadata `json:"metadata"` // named node1, node2 and so on; the labels are the agent's
	Spec     NodeSpec          `json:"spec,omitzero"`
}

// NodeSpec is the body of a Node.
type NodeSpec struct {
	// NAT puts the node behind a router that translates its address.
	NAT bool `json:"nat,omitzero"`
}

// nodeName returns the name of the n-th node, from 1.
func nodeName(n int) fabric.NodeName { return fabric.NodeName("node" + strconv.Itoa(n)) }

// index is the number of the node, from 1; 0 when its name is none of a node's.
func (d DeclaredNode) index() int {
	n, err := strconv.Atoi(strings.TrimPrefix(d.Metadata.Name, "node"))
	if err != nil || n < 1 || string(nodeName(n)) != d.Metadata.Name {
		return 0
	}
	return n
}

// loadNode reads a Node; before are those of the documents before it.
func loadNode(doc *topology.Document, before []DeclaredNode, nodes int) (d DeclaredNode, ps topology.Problems) {
	if faults := doc.Decode(&d); len(faults) > 0 {
		return d, faults
	}
	fault := func(path, format string, args ...any) { ps = append(ps, doc.Problem(path, format, args...)) }
	switch i := d.index(); {
	case i == 0:
		fault("metadata.name", "%q is no node of the lab: they are node1, node2 and so on", d.Metadata.Name)
	case i > MaxNodes:
		fault("metadata.name", "%q is out of range: a lab has at most %d nodes", d.Metadata.Name, MaxNodes)
	case nodes > 0 && i > nodes:
		fault("metadata.name", "%q is more than the %d nodes of this lab: raise --nodes", d.Metadata.Name, nodes)
	}
	if d.Metadata.Tenant != "" {
		fault("metadata.tenant", "is none of a node's: leave it out")
	}
	if err := topology.CheckLabels(d.Metadata.Labels); err != nil {
		fault("metadata.labels", "are wrong: %v", err)
	}
	for _, o := range before {
		if o.Metadata.Name == d.Metadata.Name {
			fault("metadata.name", "%q is declared twice", d.Metadata.Name)
			break
		}
	}
	return d, ps
}

// declared returns what is declared of the n-th node.
func (t Topology) declared(n int) DeclaredNode {
	for _, d := range t.Nodes {
		if d.index() == n {
			return d
		}
	}
	return DeclaredNode{}
}

// labelFlags are the agent's flags for the node's labels, in order of the labels' names.
func (n Node) labelFlags() []string {
	out := []string{"--label", nodeLabel + "=" + string(n.Name)}
	for _, k := range n.Labels.Keys() {
		out = append(out, "--label", fmt.Sprintf("%s=%s", k, n.Labels[k]))
	}
	return out
}
