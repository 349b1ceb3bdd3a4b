// Package compiletest builds the controller's state for an example, as if its workloads had been attached in the
// order in which they are written. Golden tests of several layers start from it.
package compiletest

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// World is an example with its workloads in place.
type World struct {
	State     compile.State
	Workloads []Workload
}

// Workload is an attached workload.
type Workload struct {
	Name string // tenant.name
	Node fabric.NodeName
	// Port is set for a workload that takes a declared Port; Network, Subnet and Identity hold for all.
	Port     fabric.PortRef
	Network  fabric.NetworkRef
	Subnet   topology.Subnet
	Identity fabric.Identity
	MAC      fabric.MAC
	// Addresses holds one address of each family that the workload has.
	Addresses []netip.Addr
}

// Nodes returns the names of the nodes, in order.
func (w World) Nodes() []fabric.NodeName { return slices.Sorted(maps.Keys(w.State.Nodes)) }

// nodeNames returns the names of the first n nodes.
func nodeNames(n int) (names []fabric.NodeName) {
	for i := range n {
		names = append(names, fabric.NodeName(fmt.Sprintf("n%d", i+1)))
	}
	return names
}

// document is what matters here of the lab's documents: Workload; of a Node, its labels.
type document struct {
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

// Example loads the example in dir, registers so many nodes, or more where the example names more, and attaches the
// workloads. Files are named as seen from the
// repository's root, so that goldens don't depend on where a test runs.
func Example(t testing.TB, dir string, nodes int) World {
	t.Helper()
	sources, err := topology.ReadSources([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sources {
		sources[i].Name = path.Join("examples", filepath.Base(dir), filepath.Base(s.Name))
	}
	intent, foreign, problems := topology.Load(sources)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w := &World{State: compile.State{
		Intent: intent, Networks: map[fabric.NetworkRef]compile.NetworkAlloc{}, Identities: map[fabric.Identity]compile.IdentityAlloc{},
		Leases: map[compile.LeaseKey]compile.Lease{}, Bindings: map[fabric.PortRef]fabric.NodeName{}, Nodes: map[fabric.NodeName]compile.NodeState{},
	}}
	allocs, err := topology.AllocateNetworks(intent, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ref, a := range allocs {
		w.State.Networks[ref] = compile.NetworkAlloc(a)
	}
	var documents []document
	labels := map[fabric.NodeName]fabric.Labels{}
	for _, f := range foreign {
		var d document
		if err := f.Decode(&d).Err(); err != nil {
			t.Fatal(err)
		}
		if f.Kind == "Node" {
			labels[fabric.NodeName(strings.Replace(d.Metadata.Name, "node", "n", 1))] = d.Metadata.Labels
			continue
		}
		documents, nodes = append(documents, d), max(nodes, d.Spec.Node)
	}
	for i, name := range nodeNames(nodes) {
		w.State.Nodes[name] = compile.NodeState{
			Labels:    labels[name],
			VTEP:      netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}),
			Overlay:   netip.AddrFrom4([4]byte{100, 92, 0, byte(i + 1)}), // for encrypted examples
			WireGuard: compile.WireGuard{Key: fabric.PublicKey{byte(i + 1)}},
		}
	}
	for _, needed := range compile.NeededIdentities(w.State) {
		w.identify(t, needed)
	}
	for _, d := range documents {
		w.attach(t, d)
	}
	return *w
}

func (w *World) attach(t testing.TB, d document) {
	tenant := d.Metadata.Tenant
	load := Workload{
		Name:    tenant + "." + d.Metadata.Name,
		Node:    fabric.NodeName(fmt.Sprintf("n%d", max(1, d.Spec.Node))),
		Network: fabric.NetworkRef{Tenant: tenant, Name: d.Spec.Network},
	}
	subnet, labels := d.Spec.Subnet, d.Metadata.Labels
	if d.Spec.Port != "" {
		load.Port = fabric.PortRef{Tenant: tenant, Name: d.Spec.Port}
		p := w.State.Intent.Port(load.Port)
		w.State.Bindings[load.Port] = load.Node
		load.Network, subnet, labels = p.NetworkRef(), p.Spec.Subnet, p.Metadata.Labels
		load.MAC, load.Addresses = p.Spec.MAC, p.Spec.Addresses
	}
	if load.MAC.IsZero() {
		load.MAC = topology.DefaultMAC(fabric.PortRef{Tenant: tenant, Name: d.Metadata.Name})
	}
	load.Identity = w.identify(t, compile.IdentityAlloc{
		Network: load.Network, Labels: topology.PolicyLabels(w.State.Intent.Settings().IgnoredLabels, labels)})
	load.Subnet = w.subnet(load.Network, subnet)
	if len(load.Addresses) == 0 {
		load.Addresses = w.addresses(t, load)
	}
	w.Workloads = append(w.Workloads, load)
}

func (w *World) subnet(ref fabric.NetworkRef, name string) topology.Subnet {
	n := w.State.Intent.Network(ref)
	if name == "" {
		return n.Spec.Subnets[0]
	}
	return *n.Subnet(name)
}

// identify returns the identity of a label set, made when it is new.
func (w *World) identify(t testing.TB, want compile.IdentityAlloc) fabric.Identity {
	for id, a := range w.State.Identities {
		if a.Network == want.Network && a.Labels.String() == want.Labels.String() {
			return id
		}
	}
	used := func(id fabric.Identity) bool { _, ok := w.State.Identities[id]; return ok }
	id, err := topology.NextIdentity(w.State.Networks[want.Network].Blocks, used)
	if err != nil {
		t.Fatal(err)
	}
	w.State.Identities[id] = want
	return id
}

// addresses takes the first free address of the node's block in each family of the workload's subnet.
func (w *World) addresses(t testing.TB, load Workload) (out []netip.Addr) {
	for _, prefix := range load.Subnet.Prefixes() {
		block := w.lease(t, load, prefix)
		a := block.Addr()
		for !topology.Usable(prefix, a) || a == load.Subnet.Gateway4 || a == load.Subnet.Gateway6 || w.taken(load.Network, a) {
			a = a.Next()
		}
		if !block.Contains(a) {
			t.Fatalf("%s: block %s is full", load.Name, block)
		}
		out = append(out, a)
	}
	return out
}

func (w *World) taken(ref fabric.NetworkRef, a netip.Addr) bool {
	for _, o := range w.Workloads {
		for _, b := range o.Addresses {
			if o.Network == ref && a == b {
				return true
			}
		}
	}
	for _, p := range w.State.Intent.Ports() {
		for _, b := range p.Spec.Addresses {
			if p.NetworkRef() == ref && a == b {
				return true
			}
		}
	}
	return false
}

// lease returns the node's block in a subnet, leased when it has none.
func (w *World) lease(t testing.TB, load Workload, subnet netip.Prefix) netip.Prefix {
	var taken []netip.Prefix
	for key, l := range w.State.Leases {
		if key.Network != load.Network {
			continue
		}
		if l.Node == load.Node && subnet.Contains(key.Prefix.Addr()) {
			return key.Prefix
		}
		taken = append(taken, key.Prefix)
	}
	bits := topology.LeaseBits(w.State.Intent.Settings().NodeBlock, subnet)
	block, err := topology.NextBlock(subnet, bits, taken)
	if err != nil {
		t.Fatal(err)
	}
	w.State.Leases[compile.LeaseKey{Network: load.Network, Prefix: block}] = compile.Lease{Node: load.Node, Subnet: load.Subnet.Name}
	return block
}
