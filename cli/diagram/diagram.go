// Package diagram draws a fabric: its networks, who is peered with whom, its nodes, and the tunnels between
// them. It is pure, and equal fabrics give equal drawings.
package diagram

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Picture is what is drawn. All slices are sorted.
type Picture struct {
	Networks []Network `json:"networks"`
	Peerings []Peering `json:"peerings"`
	Nodes    []Node    `json:"nodes"`
	Tunnels  []Tunnel  `json:"tunnels"`
}

// Network is a network with what is declared in it, and the nodes that host it.
type Network struct {
	Ref     string   `json:"network"` // tenant/name
	Subnets []Subnet `json:"subnets"`
	Ports   []string `json:"ports"`
	Nodes   []string `json:"nodes"`
}

// Subnet is a range of a network, of one family or both.
type Subnet struct {
	Name     string         `json:"name"`
	Prefixes []netip.Prefix `json:"prefixes"`
}

// Peering joins two networks, From before To unless it is one-sided.
type Peering struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Active says that both sides declare it; else only From does, and nothing crosses.
	Active bool `json:"active"`
}

// Node is a machine that joined the fabric.
type Node struct {
	Name      string `json:"name"`
	VTEP      string `json:"vtep"`
	Connected bool   `json:"connected"`
	Datapath  string `json:"datapath"`
}

// Tunnel joins two nodes, A before B, that host a network in common or two that are peered.
type Tunnel struct {
	A        string   `json:"a"`
	B        string   `json:"b"`
	Networks []string `json:"networks"` // why: those of A that B has, or has a peer of
}

// Of returns the picture of what is declared and, where the controller was asked, of its nodes.
func Of(intent *topology.Intent, nodes []*weftv1.NodeInfo) Picture {
	hosted := make(map[string]map[string]bool) // node name -> networks
	for _, n := range nodes {
		hosted[n.GetName()] = Hosted(n)
	}
	p := Picture{
		Networks: networks(intent, hosted),
		Peerings: peerings(intent),
		Nodes:    make([]Node, 0, len(nodes)),
	}
	for _, n := range nodes {
		p.Nodes = append(p.Nodes, Node{
			Name: n.GetName(), VTEP: n.GetVtep(), Connected: n.GetConnected(), Datapath: n.GetReport().GetDatapath(),
		})
	}
	slices.SortFunc(p.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	p.Tunnels = tunnels(p, hosted)
	return p
}

// Hosted returns the networks, as tenant/name, that the node leased addresses of or has workloads in.
func Hosted(n *weftv1.NodeInfo) map[string]bool {
	set := make(map[string]bool)
	for _, lease := range n.GetLeases() {
		network, _, _ := strings.Cut(lease, " ")
		set[network] = true
	}
	for _, a := range n.GetReport().GetAttachments() {
		set[a.GetNetwork()] = true
	}
	return set
}

func networks(intent *topology.Intent, hosted map[string]map[string]bool) []Network {
	list := []Network{}
	ports := make(map[fabric.NetworkRef][]string)
	for _, p := range intent.Ports() {
		ports[p.NetworkRef()] = append(ports[p.NetworkRef()], p.Metadata.Name)
	}
	for _, declared := range intent.Networks() {
		ref := declared.Ref()
		n := Network{Ref: ref.String(), Subnets: []Subnet{}, Ports: append([]string{}, ports[ref]...), Nodes: []string{}}
		for _, s := range declared.Spec.Subnets {
			n.Subnets = append(n.Subnets, Subnet{Name: s.Name, Prefixes: s.Prefixes()})
		}
		for _, node := range slices.Sorted(maps.Keys(hosted)) {
			if hosted[node][n.Ref] {
				n.Nodes = append(n.Nodes, node)
			}
		}
		list = append(list, n)
	}
	return list
}

func peerings(intent *topology.Intent) []Peering {
	list := []Peering{}
	for _, p := range intent.Peerings() {
		active := slices.Contains(intent.PeersOf(p.Local()), p.Remote())
		if active && p.Local().Compare(p.Remote()) > 0 {
			continue // drawn once, from the other side
		}
		list = append(list, Peering{From: p.Local().String(), To: p.Remote().String(), Active: active})
	}
	slices.SortFunc(list, func(a, b Peering) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	return slices.Compact(list) // several Peerings may join the same networks
}

func tunnels(p Picture, hosted map[string]map[string]bool) []Tunnel {
	joined := make(map[string][]string) // network -> itself and its active peers
	for _, n := range p.Networks {
		joined[n.Ref] = append(joined[n.Ref], n.Ref)
	}
	for _, e := range p.Peerings {
		if e.Active {
			joined[e.From] = append(joined[e.From], e.To)
			joined[e.To] = append(joined[e.To], e.From)
		}
	}
	list := []Tunnel{}
	for i, a := range p.Nodes {
		for _, b := range p.Nodes[i+1:] {
			var why []string
			for _, network := range slices.Sorted(maps.Keys(hosted[a.Name])) {
				if slices.ContainsFunc(joined[network], func(n string) bool { return hosted[b.Name][n] }) {
					why = append(why, network)
				}
			}
			if len(why) > 0 {
				list = append(list, Tunnel{A: a.Name, B: b.Name, Networks: why})
			}
		}
	}
	return list
}
