package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// Cluster is what manifests say, as far as policy depends on it. Everything in it is in order.
type Cluster struct {
	// Namespaces hold those that workloads and policies are in too, with the label that every namespace has.
	Namespaces []Namespace
	Workloads  []Workload
	Policies   []Policy
	Nodes      []Node
	Assertions []Assertion
	// Skipped counts the documents that say nothing here, by kind.
	Skipped []Count
	// Notes are what the answers depend on and the manifests don't say.
	Notes []string
}

// Count is a number of documents of one kind.
type Count struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// nameLabel is the label that an API server sets on each namespace.
const nameLabel = "kubernetes.io/metadata.name"

// Namespace is a namespace with its labels.
type Namespace struct {
	Name   string
	Labels fabric.Labels
}

// Node is a node with the addresses of its status.
type Node struct {
	Name      string
	Labels    fabric.Labels
	Addresses []netip.Addr
}

// Workload is what one controller runs, or a pod without one.
type Workload struct {
	Namespace, Kind, Name string
	Origin                topology.Origin
	// Pods are the different kinds of pods that it has: usually one.
	Pods []Pod
	// Several says that it may have two pods at one time, so that one can be another's peer.
	Several bool
	// HostNetwork says that it uses its nodes' addresses, so that no policy governs it.
	HostNetwork bool
}

// String returns "namespace/Kind/name", as which answers name it.
func (w Workload) String() string { return w.Namespace + "/" + w.Kind + "/" + w.Name }

// Pod is a pod, as policies see it.
type Pod struct {
	Labels fabric.Labels
	// Ports are the named ports of its containers, in order.
	Ports []NamedPort
	// Addresses are known for running pods only.
	Addresses []netip.Addr
}

// alike returns a text that is the same for pods that policies can't tell apart within a namespace, addresses aside.
func (p Pod) alike() string { return fmt.Sprint(p.Labels, p.Ports) }

// NamedPort is a container's port that has a name.
type NamedPort struct {
	Name     string
	Protocol firewall.Protocol
	Port     uint16
}

// compareNamedPorts orders ports by name, protocol and number.
func compareNamedPorts(a, b NamedPort) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

// Policy is a NetworkPolicy, or one for the whole cluster, in one form.
type Policy struct {
	Kind, Namespace, Name string
	Origin                topology.Origin
	Tier                  firewall.Tier
	Priority              int
	Subject               Pods
	// Isolates says for which directions the subject is denied what no NetworkPolicy allows.
	Isolates []firewall.Direction
	Rules    []Rule
}

// String returns "NetworkPolicy shop/web", or "ClusterNetworkPolicy name".
func (p Policy) String() string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name
}

// Rule is a rule of a policy.
type Rule struct {
	Name      string // or "ingress[0]"
	Line      int
	Direction firewall.Direction
	Action    firewall.Action
	// Everyone says that the rule is for all peers, AllPorts that it is for all protocols.
	Everyone bool
	Peers    []Peer
	AllPorts bool
	Ports    []Port
}

// Peer is one of the three.
type Peer struct {
	Pods  *Pods
	CIDR  *firewall.CIDR
	Nodes *topology.Selector
}

// Pods selects pods by namespace and labels.
type Pods struct {
	// Namespace names one namespace; without it Namespaces selects them by their labels.
	Namespace  string
	Namespaces topology.Selector
	Labels     topology.Selector
}

// selects reports whether s means pods with these labels in a namespace.
func (s Pods) selects(ns Namespace, labels fabric.Labels) bool {
	if s.Namespace != "" && s.Namespace != ns.Name {
		return false
	}
	return (s.Namespace != "" || s.Namespaces.Matches(ns.Labels)) && s.Labels.Matches(labels)
}

// Port is a range of destination ports, or the name of one.
type Port struct {
	// Protocol 0 goes with a name, and means the protocol that the container's port has.
	Protocol firewall.Protocol
	// Range is zero for all ports of the protocol.
	Range firewall.PortRange
	Name  string
}

// namespace returns the namespace of a name. Load has put in each that is used.
func (c *Cluster) namespace(name string) Namespace {
	i, found := slices.BinarySearchFunc(c.Namespaces, name, func(n Namespace, name string) int { return strings.Compare(n.Name, name) })
	if !found {
		return Namespace{Name: name, Labels: fabric.Labels{nameLabel: name}}
	}
	return c.Namespaces[i]
}
