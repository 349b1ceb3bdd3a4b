package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Canonical returns the canonical form of n, which shares no memory with it: everything that is a set is
// sorted by its key, every network has a table, and what is empty is nil. Subnets and name servers keep their
// order, which counts.
func Canonical(n Node) Node {
	n = Clone(n)
	Sort(&n)
	return n
}

// Sort brings n into its canonical form in place.
func Sort(n *Node) {
	n.Settings.IgnoredLabels = sorted(n.Settings.IgnoredLabels)
	n.Peers = sortedBy(n.Peers, comparePeers)
	n.Tunnels = sortedBy(n.Tunnels, compareTunnels)
	n.Hops = sortedBy(n.Hops, compareHops)
	n.Placements = sortedBy(n.Placements, comparePlacements)
	n.Networks = sortedBy(n.Networks, compareNetworks)
	for i := range n.Networks {
		w := &n.Networks[i]
		w.Blocks = sortedFunc(w.Blocks, compareBlocks)
		w.Subnets = orNil(w.Subnets)
		for j := range w.Subnets {
			w.Subnets[j].DNS = orNil(w.Subnets[j].DNS)
		}
		w.Peers = sorted(w.Peers)
		w.Reserved = sortedFunc(w.Reserved, netip.Addr.Compare)
	}
	n.Identities = sortedBy(n.Identities, compareIdentities)
	for i := range n.Identities {
		if len(n.Identities[i].Labels) == 0 {
			n.Identities[i].Labels = nil
		}
	}
	n.Routes = sortedBy(n.Routes, compareRoutes)
	n.Ports = sortedBy(n.Ports, comparePorts)
	for i := range n.Ports {
		n.Ports[i].Addresses = sortedFunc(n.Ports[i].Addresses, netip.Addr.Compare)
	}
	n.Tables = allTables(n.Networks, n.Tables)
	for i := range n.Tables {
		SortTable(&n.Tables[i])
	}
}

// SortTable brings a table into its canonical form in place.
func SortTable(t *firewall.Table) {
	t.Rules = sortedFunc(t.Rules, firewall.CompareRules)
	for i := range t.Rules {
		r := &t.Rules[i]
		r.Subject.IDs = sorted(r.Subject.IDs)
		r.Peers.IDs = sorted(r.Peers.IDs)
		r.Peers.Blocks = sortedFunc(r.Peers.Blocks, compareBlocks)
		for j := range r.Peers.CIDRs {
			r.Peers.CIDRs[j].Except = sortedFunc(r.Peers.CIDRs[j].Except, comparePrefixes)
		}
		r.Peers.CIDRs = sortedFunc(r.Peers.CIDRs, compareCIDRs)
		r.Services = sortedFunc(r.Services, compareServices)
	}
}

// allTables returns tables in order, with an empty one for each network that lacks it.
func allTables(networks []Network, tables []firewall.Table) []firewall.Table {
	present := make(map[fabric.NetworkID]bool, len(tables))
	for _, t := range tables {
		present[t.Network] = true
	}
	for _, w := range networks {
		if !present[w.ID] {
			tables = append(tables, firewall.Table{Network: w.ID})
		}
	}
	return sortedBy(tables, compareTables)
}

// Clone returns a deep copy of n.
func Clone(n Node) Node {
	n.Settings.IgnoredLabels = slices.Clone(n.Settings.IgnoredLabels)
	n.Peers = slices.Clone(n.Peers)
	n.Tunnels, n.Hops, n.Placements = slices.Clone(n.Tunnels), slices.Clone(n.Hops), slices.Clone(n.Placements)
	n.Networks = slices.Clone(n.Networks)
	for i := range n.Networks {
		w := &n.Networks[i]
		w.Blocks, w.Subnets = slices.Clone(w.Blocks), slices.Clone(w.Subnets)
		w.Peers, w.Reserved = slices.Clone(w.Peers), slices.Clone(w.Reserved)
		for j := range w.Subnets {
			w.Subnets[j].DNS = slices.Clone(w.Subnets[j].DNS)
		}
	}
	n.Identities = slices.Clone(n.Identities)
	for i := range n.Identities {
		n.Identities[i].Labels = maps.Clone(n.Identities[i].Labels)
	}
	n.Routes = slices.Clone(n.Routes)
	n.Ports = slices.Clone(n.Ports)
	for i := range n.Ports {
		n.Ports[i].Addresses = slices.Clone(n.Ports[i].Addresses)
	}
	n.Tables = slices.Clone(n.Tables)
	for i := range n.Tables {
		n.Tables[i].Rules = cloneRules(n.Tables[i].Rules)
	}
	return n
}

func cloneRules(rules []firewall.Rule) []firewall.Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		r := &rules[i]
		r.Subject.IDs = slices.Clone(r.Subject.IDs)
		r.Peers.IDs, r.Peers.Blocks = slices.Clone(r.Peers.IDs), slices.Clone(r.Peers.Blocks)
		r.Peers.CIDRs = slices.Clone(r.Peers.CIDRs)
		for j := range r.Peers.CIDRs {
			r.Peers.CIDRs[j].Except = slices.Clone(r.Peers.CIDRs[j].Except)
		}
		r.Services = slices.Clone(r.Services)
	}
	return rules
}

func sorted[T ~string | fabric.Identity | fabric.NetworkID](s []T) []T {
	slices.Sort(s)
	return orNil(s)
}

func sortedFunc[T any](s []T, compare func(a, b T) int) []T {
	slices.SortStableFunc(s, compare)
	return orNil(s)
}

func sortedBy[T any](s []T, compare func(a, b *T) int) []T {
	slices.SortStableFunc(s, func(a, b T) int { return compare(&a, &b) })
	return orNil(s)
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}
