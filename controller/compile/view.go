package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

// view is what the plans that hold a network say about it. Views are never changed, only replaced, and plans
// share their memory.
type view struct {
	declaration
	identities []plan.Identity
	placement
	table firewall.Table
}

// declaration is what the intent and the allocation say of a network.
type declaration struct {
	network plan.Network // Hosted is false here; the plans differ in it
	peers   []fabric.NetworkRef
}

// placement says where a network's addresses and ports are.
type placement struct {
	routes routes
	// ports are by the node that each is bound to.
	ports map[fabric.NodeName][]plan.Port
	// hosts hold a lease or a bound port, in order.
	hosts []fabric.NodeName
	// holders are the nodes that routes lead to, in order.
	holders []plan.Peer
	// plain says that one of them has no key, in a fabric that encrypts.
	plain bool
	// placed says on which nodes the network's identities are, in a fabric that holds nodes to it.
	placed []plan.Placement
}

// part names parts of a view.
type part uint8

const (
	partDeclaration part = 1 << iota
	partIdentities
	partPlacement
	partTable
	allParts = partDeclaration | partIdentities | partPlacement | partTable
)

// view returns the view of a network that exists, made anew but for the parts that stand in old.
func (x *index) view(ref fabric.NetworkRef, old *view, renew part) *view {
	if old == nil {
		old, renew = &view{}, allParts
	}
	v := *old
	if renew&partDeclaration != 0 {
		v.declaration = x.declaration(ref)
	}
	if renew&partIdentities != 0 {
		v.identities = x.planIdentities(ref)
	}
	if renew&partPlacement != 0 {
		v.placement = x.placement(ref)
	}
	if renew&partTable != 0 {
		v.table = x.table(ref)
	}
	return &v
}

// equal reports whether plans made of either view are equal.
func (v *view) equal(o *view) bool {
	return slices.Equal(v.hosts, o.hosts) && slices.Equal(v.peers, o.peers) && slices.Equal(v.holders, o.holders) && v.plain == o.plain && slices.Equal(v.placed, o.placed) &&
		plan.Diff(v.asPlan(), o.asPlan()).IsEmpty() && maps.EqualFunc(v.ports, o.ports, func(a, b []plan.Port) bool {
		return plan.Diff(plan.Node{Ports: a}, plan.Node{Ports: b}).IsEmpty()
	}) && maps.EqualFunc(v.routes.blocks, o.routes.blocks, slices.Equal)
}

// asPlan is all of the view that isn't by node.
func (v *view) asPlan() plan.Node {
	return plan.Node{Networks: []plan.Network{v.network}, Identities: v.identities, Routes: v.routes.merged, Tables: []firewall.Table{v.table}}
}

func (x *index) declaration(ref fabric.NetworkRef) declaration {
	declared, alloc := x.intent.Network(ref), x.allocs[ref]
	d := declaration{peers: x.peers(ref)}
	d.network = plan.Network{ID: alloc.ID, Ref: ref, Blocks: slices.Clone(alloc.Blocks), Encrypted: x.requires(ref), MTU: declared.Spec.MTU}
	for _, s := range declared.Spec.Subnets {
		d.network.Subnets = append(d.network.Subnets, plan.Subnet{Name: s.Name, IPv4: s.IPv4, IPv6: s.IPv6, Gateway4: s.Gateway4, Gateway6: s.Gateway6, DNS: s.DNS})
		for _, p := range s.Prefixes() {
			d.network.Reserved = append(d.network.Reserved, s.Gateway(p))
		}
	}
	for _, p := range x.intent.PortsOf(ref) {
		d.network.Reserved = append(d.network.Reserved, p.Spec.Addresses...)
	}
	for _, p := range d.peers {
		d.network.Peers = append(d.network.Peers, x.allocs[p].ID)
	}
	slices.SortFunc(d.network.Blocks, func(a, b fabric.VNIBlock) int { return cmp.Compare(a.Base, b.Base) })
	slices.SortFunc(d.network.Reserved, netip.Addr.Compare)
	slices.Sort(d.network.Peers)
	return d
}

func (x *index) planIdentities(ref fabric.NetworkRef) []plan.Identity {
	var out []plan.Identity
	for id, labels := range x.identities[ref] {
		if len(labels) == 0 {
			labels = nil
		}
		out = append(out, plan.Identity{ID: id, Network: x.allocs[ref].ID, Labels: labels})
	}
	slices.SortFunc(out, func(a, b plan.Identity) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (x *index) placement(ref fabric.NetworkRef) placement {
	network, mtu := x.allocs[ref].ID, x.intent.Network(ref).Spec.MTU
	p := placement{ports: make(map[fabric.NodeName][]plan.Port)}
	var leases, fixed []plan.Route
	hosts := make(map[fabric.NodeName]bool)
	for prefix, l := range x.leases[ref] {
		if node, ok := x.nodes[l.Node]; ok {
			leases = append(leases, plan.Route{Network: network, Prefix: prefix, Node: l.Node, VTEP: x.vtep(node), Lease: true, Subnet: l.Subnet, MTU: mtu})
			hosts[l.Node] = true
		}
	}
	known := x.identitiesByLabels(ref)
	for _, port := range x.intent.PortsOf(ref) {
		name := x.bindings[port.Ref()]
		node, registered := x.nodes[name]
		id, ok := known[x.policyLabels(port).String()]
		if !registered || !ok {
			continue
		}
		hosts[name] = true
		p.ports[name] = append(p.ports[name], x.planPort(port, network, id))
		for _, a := range port.Spec.Addresses {
			fixed = append(fixed, plan.Route{Network: network, Prefix: netip.PrefixFrom(a, a.BitLen()), Node: name, VTEP: x.vtep(node), Subnet: port.Spec.Subnet, MTU: mtu})
		}
	}
	p.routes = routesOf(leases, fixed)
	p.hosts = slices.Sorted(maps.Keys(hosts))
	p.holders = holders(p.routes.merged)
	p.plain = x.encrypted() && slices.ContainsFunc(p.holders, func(h plan.Peer) bool { return !x.keyed(h.Name) })
	p.placed = x.placements(ref, p.ports)
	return p
}

// holders returns the nodes that routes lead to, in order.
func holders(routes []plan.Route) []plan.Peer {
	vteps := make(map[fabric.NodeName]netip.Addr)
	for _, r := range routes {
		vteps[r.Node] = r.VTEP
	}
	return peersOf(vteps)
}

func peersOf(vteps map[fabric.NodeName]netip.Addr) []plan.Peer {
	var out []plan.Peer
	for _, name := range slices.Sorted(maps.Keys(vteps)) {
		out = append(out, plan.Peer{Name: name, VTEP: vteps[name]})
	}
	return out
}

func (x *index) planPort(p *topology.Port, network fabric.NetworkID, id fabric.Identity) plan.Port {
	out := plan.Port{
		Ref: p.Ref(), UID: topology.PortUID(p.Ref()), Network: network, Subnet: p.Spec.Subnet,
		Identity: id, MAC: p.Spec.MAC, Addresses: slices.Clone(p.Spec.Addresses),
	}
	slices.SortFunc(out.Addresses, netip.Addr.Compare)
	if p.Client != nil {
		out.Client = plan.Client{Key: p.Client.Spec.PublicKey, Listen: x.settings.ClientPort(network)}
	}
	return out
}

// policyLabels returns the labels of a port that make up its identity.
func (x *index) policyLabels(p *topology.Port) fabric.Labels {
	return topology.PolicyLabels(x.settings.IgnoredLabels, p.Metadata.Labels)
}

// identitiesByLabels returns the identity of each label set; nil for a network without declared ports, for
// which nobody asks. Were a set allocated twice, the smaller number stands.
func (x *index) identitiesByLabels(ref fabric.NetworkRef) map[string]fabric.Identity {
	if len(x.intent.PortsOf(ref)) == 0 {
		return nil
	}
	out := make(map[string]fabric.Identity, len(x.identities[ref]))
	for id, labels := range x.identities[ref] {
		key := labels.String()
		if was, ok := out[key]; !ok || id < was {
			out[key] = id
		}
	}
	return out
}
