package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// Plans computes every registered node's plan from scratch. The plans are canonical and share memory: treat
// them as constants.
func Plans(s State) map[fabric.NodeName]plan.Node {
	x := newIndex(s)
	views := make(map[fabric.NetworkRef]*view)
	hosted := make(map[fabric.NodeName]map[fabric.NetworkRef]bool)
	for _, ref := range x.networks() {
		v := x.view(ref, nil, allParts)
		views[ref] = v
		for _, node := range v.hosts {
			put(hosted, node, ref, true)
		}
	}
	out := make(map[fabric.NodeName]plan.Node, len(x.nodes))
	net := x.newNet()
	for name := range x.nodes {
		out[name] = x.assemble(name, views, hosted[name])
		x.setNetPeers(net, out[name])
	}
	net.Dirty() // chooses relays
	narrow := x.anyNarrow()
	for name, n := range out {
		out[name] = x.withWays(x.withOverlay(n, net), net, narrow)
	}
	return out
}

// Tables returns the rules of every network, as the plans hold them.
func Tables(s State) map[fabric.NetworkID]firewall.Table {
	x := newIndex(s)
	out := make(map[fabric.NetworkID]firewall.Table)
	for _, ref := range x.networks() {
		t := x.table(ref)
		out[t.Network] = t
	}
	return out
}

// NeededIdentities returns the label sets of declared Ports that have no identity yet, ordered by network and
// labels. A Port stays out of the plans until its identity exists.
func NeededIdentities(s State) []IdentityAlloc {
	x := newIndex(s)
	var out []IdentityAlloc
	for _, n := range x.intent.Networks() {
		known := x.identitiesByLabels(n.Ref())
		needed := make(map[string]fabric.Labels)
		for _, p := range x.intent.PortsOf(n.Ref()) {
			labels := x.policyLabels(p)
			if _, ok := known[labels.String()]; !ok {
				needed[labels.String()] = labels
			}
		}
		for _, key := range slices.Sorted(maps.Keys(needed)) {
			out = append(out, IdentityAlloc{Network: n.Ref(), Labels: needed[key]})
		}
	}
	return out
}

// assemble makes a node's plan of the views of the networks that it hosts and their peers.
func (x *index) assemble(name fabric.NodeName, views map[fabric.NetworkRef]*view, hosted map[fabric.NetworkRef]bool) plan.Node {
	n := plan.Node{Name: name, Settings: x.planSettings(name)}
	held := held(views, hosted)
	ids := make(map[fabric.NetworkID]bool, len(held))
	for _, v := range held {
		ids[v.network.ID] = true
	}
	vteps := make(map[fabric.NodeName]netip.Addr)
	var placed []plan.Placement
	for _, v := range held {
		network := v.network
		network.Hosted = hosted[network.Ref]
		if !network.Hosted {
			network.Peers = within(network.Peers, ids)
		}
		n.Networks = append(n.Networks, network)
		n.Identities = append(n.Identities, v.identities...)
		routes, holders := x.routesFor(name, v)
		n.Routes = append(n.Routes, routes...)
		n.Ports = append(n.Ports, v.ports[name]...)
		n.Tables = append(n.Tables, v.table)
		for _, p := range holders {
			vteps[p.Name] = p.VTEP
		}
		placed = append(placed, v.placed...)
	}
	delete(vteps, name)
	n.Peers = peersOf(vteps)
	n.Placements = placementsFrom(name, n.Peers, placed)
	// Networks are in order of their numbers, and so are routes and tables; the other keys aren't by network.
	slices.SortFunc(n.Identities, func(a, b plan.Identity) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.Ports, func(a, b plan.Port) int { return a.Ref.Compare(b.Ref) })
	return n
}

// share returns to with the memory of from where they are equal: what is shared costs nothing to compare, here and
// where the plan is sent.
func share(from, to plan.Node) plan.Node {
	if slices.Equal(from.Peers, to.Peers) {
		to.Peers = from.Peers
	}
	if slices.Equal(from.Tunnels, to.Tunnels) {
		to.Tunnels = from.Tunnels
	}
	if slices.Equal(from.Hops, to.Hops) {
		to.Hops = from.Hops
	}
	if slices.Equal(from.Placements, to.Placements) {
		to.Placements = from.Placements
	}
	if slices.Equal(from.Routes, to.Routes) {
		to.Routes = from.Routes
	}
	if slices.EqualFunc(from.Identities, to.Identities, func(a, b plan.Identity) bool {
		return a.ID == b.ID && a.Network == b.Network && maps.Equal(a.Labels, b.Labels)
	}) {
		to.Identities = from.Identities
	}
	return to
}

// held returns the views of the networks that a node hosts, and of their peers, in order of their numbers.
func held(views map[fabric.NetworkRef]*view, hosted map[fabric.NetworkRef]bool) []*view {
	all := maps.Clone(hosted)
	for ref := range hosted {
		for _, p := range views[ref].peers {
			all[p] = true
		}
	}
	var out []*view
	for ref := range all {
		out = append(out, views[ref])
	}
	slices.SortFunc(out, func(a, b *view) int { return cmp.Compare(a.network.ID, b.network.ID) })
	return out
}

// within returns those of all that are in a set.
func within(all []fabric.NetworkID, set map[fabric.NetworkID]bool) []fabric.NetworkID {
	var out []fabric.NetworkID
	for _, id := range all {
		if set[id] {
			out = append(out, id)
		}
	}
	return out
}

func (x *index) planSettings(name fabric.NodeName) plan.Settings {
	s, n := x.settings, x.nodes[name]
	return plan.Settings{
		VTEP: x.vtep(n), Underlay: n.VTEP, VXLANPort: s.VXLANPort, VirtualMAC: s.VirtualMAC,
		WorkloadMTU: s.WorkloadMTU(n.VTEP.Is6()), IgnoredLabels: s.IgnoredLabels, LogDenials: s.LogDenials,
		Encryption: x.planEncryption(name), StrictIdentity: s.StrictIdentity,
	}
}
