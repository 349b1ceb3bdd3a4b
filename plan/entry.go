package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Entry is one keyed part of a Node: exactly one of the pointers is set, and Key is derived from it.
type Entry struct {
	// Key is "settings", "peer/n2", "tunnel/n2", "hop/n3", "placement/n2/0x000101", "network/7", "identity/0x000101", "route/7/10.0.0.64/26",
	// "port/acme/vm" or "rule/7/123".
	Key string

	Settings  *Settings
	Peer      *Peer
	Tunnel    *Tunnel
	Hop       *Hop
	Placement *Placement
	Network   *Network
	Identity  *Identity
	Route     *Route
	Port      *Port
	Rule      *TableRule
}

// TableRule is a rule of a network's table. Key: Network, Rule.ID.
type TableRule struct {
	Network fabric.NetworkID
	Rule    firewall.Rule
}

// SettingsKey is the key of the Settings.
const SettingsKey = "settings"

// DeriveKey returns the key that e's content asks for, or why e has none: not exactly one part is set.
func (e Entry) DeriveKey() (string, error) {
	parts := 0
	for _, set := range []bool{e.Settings != nil, e.Peer != nil, e.Tunnel != nil, e.Hop != nil, e.Placement != nil, e.Network != nil, e.Identity != nil, e.Route != nil, e.Port != nil, e.Rule != nil} {
		if set {
			parts++
		}
	}
	if parts != 1 {
		return "", fmt.Errorf("plan entry %q has %d parts, it must have one", e.Key, parts)
	}
	return e.contentKey(), nil
}

// contentKey is the key of the part that is set.
func (e Entry) contentKey() string {
	switch {
	case e.Peer != nil:
		return "peer/" + string(e.Peer.Name)
	case e.Tunnel != nil:
		return "tunnel/" + string(e.Tunnel.Name)
	case e.Hop != nil:
		return "hop/" + string(e.Hop.Node)
	case e.Placement != nil:
		return e.Placement.key()
	case e.Network != nil:
		return fmt.Sprintf("network/%d", e.Network.ID)
	case e.Identity != nil:
		return "identity/" + e.Identity.ID.String()
	case e.Route != nil:
		return fmt.Sprintf("route/%d/%s", e.Route.Network, e.Route.Prefix)
	case e.Port != nil:
		return "port/" + e.Port.Ref.String()
	case e.Rule != nil:
		return fmt.Sprintf("rule/%d/%d", e.Rule.Network, e.Rule.Rule.ID)
	}
	return SettingsKey
}

// keyed returns e with its key.
func (e Entry) keyed() Entry {
	e.Key = e.contentKey()
	return e
}

// Entries returns all entries of a canonical plan: the settings first, then kind by kind in canonical order.
// They share the plan's memory.
func Entries(n Node) []Entry {
	var out []Entry
	n.each(func(e Entry) { out = append(out, e.keyed()) })
	return out
}

// each visits all entries in canonical order, without their keys.
func (n *Node) each(visit func(Entry)) {
	visit(settingsEntry(&n.Settings))
	eachOf(n.Peers, peerEntry, visit)
	eachOf(n.Tunnels, tunnelEntry, visit)
	eachOf(n.Hops, hopEntry, visit)
	eachOf(n.Placements, placementEntry, visit)
	eachOf(n.Networks, networkEntry, visit)
	eachOf(n.Identities, identityEntry, visit)
	eachOf(n.Routes, routeEntry, visit)
	eachOf(n.Ports, portEntry, visit)
	for _, t := range n.Tables {
		for i := range t.Rules {
			visit(ruleEntry(t.Network, &t.Rules[i]))
		}
	}
}

func eachOf[T any](s []T, entry func(*T) Entry, visit func(Entry)) {
	for i := range s {
		visit(entry(&s[i]))
	}
}

func settingsEntry(s *Settings) Entry { return Entry{Settings: s} }
func peerEntry(p *Peer) Entry         { return Entry{Peer: p} }
func networkEntry(n *Network) Entry   { return Entry{Network: n} }
func identityEntry(i *Identity) Entry { return Entry{Identity: i} }
func routeEntry(r *Route) Entry       { return Entry{Route: r} }
func portEntry(p *Port) Entry         { return Entry{Port: p} }

func ruleEntry(network fabric.NetworkID, r *firewall.Rule) Entry {
	return Entry{Rule: &TableRule{Network: network, Rule: *r}}
}

func comparePeers(a, b *Peer) int       { return cmp.Compare(a.Name, b.Name) }
func compareNetworks(a, b *Network) int { return cmp.Compare(a.ID, b.ID) }

func compareIdentities(a, b *Identity) int { return cmp.Compare(a.ID, b.ID) }

func compareRoutes(a, b *Route) int {
	return cmp.Or(cmp.Compare(a.Network, b.Network), comparePrefixes(a.Prefix, b.Prefix))
}

func comparePorts(a, b *Port) int { return a.Ref.Compare(b.Ref) }

func compareTables(a, b *firewall.Table) int { return cmp.Compare(a.Network, b.Network) }

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func compareBlocks(a, b fabric.VNIBlock) int {
	return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Bits, b.Bits))
}

func compareServices(a, b firewall.Service) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Ports.Last, b.Ports.Last),
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Code, b.Code))
}

func compareCIDRs(a, b firewall.CIDR) int {
	return cmp.Or(comparePrefixes(a.Prefix, b.Prefix), slices.CompareFunc(a.Except, b.Except, comparePrefixes))
}
