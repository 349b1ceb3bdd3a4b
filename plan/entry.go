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
	// Key is "settings", "peer/n2", "network/7", "identity/0x000101", "route/7/10.0.0.64/26",
	// "port/acme/vm" or "rule/7/123".
	Key string

	Settings *Settings
	Peer     *Peer
	Network  *Network
	Identity *Identity
	Route    *Route
	Port     *Port
	Rule     *TableRule
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
	var keys []string
	if e.Settings != nil {
		keys = append(keys, SettingsKey)
	}
	if e.Peer != nil {
		keys = append(keys, e.Peer.key())
	}
	if e.Network != nil {
		keys = append(keys, e.Network.key())
	}
	if e.Identity != nil {
		keys = append(keys, e.Identity.key())
	}
	if e.Route != nil {
		keys = append(keys, e.Route.key())
	}
	if e.Port != nil {
		keys = append(keys, e.Port.key())
	}
	if e.Rule != nil {
		keys = append(keys, e.Rule.key())
	}
	if len(keys) != 1 {
		return "", fmt.Errorf("plan entry %q has %d parts, it must have one", e.Key, len(keys))
	}
	return keys[0], nil
}

func (p Peer) key() string      { return "peer/" + string(p.Name) }
func (n Network) key() string   { return fmt.Sprintf("network/%d", n.ID) }
func (i Identity) key() string  { return "identity/" + i.ID.String() }
func (r Route) key() string     { return fmt.Sprintf("route/%d/%s", r.Network, r.Prefix) }
func (p Port) key() string      { return "port/" + p.Ref.String() }
func (r TableRule) key() string { return fmt.Sprintf("rule/%d/%d", r.Network, r.Rule.ID) }

// Entries returns all entries of a canonical plan: the settings first, then kind by kind in canonical order.
// They share the plan's memory.
func Entries(n Node) []Entry {
	out := []Entry{settingsEntry(&n.Settings)}
	for i := range n.Peers {
		out = append(out, peerEntry(&n.Peers[i]))
	}
	for i := range n.Networks {
		out = append(out, networkEntry(&n.Networks[i]))
	}
	for i := range n.Identities {
		out = append(out, identityEntry(&n.Identities[i]))
	}
	for i := range n.Routes {
		out = append(out, routeEntry(&n.Routes[i]))
	}
	for i := range n.Ports {
		out = append(out, portEntry(&n.Ports[i]))
	}
	for _, t := range n.Tables {
		for _, r := range t.Rules {
			out = append(out, ruleEntry(TableRule{Network: t.Network, Rule: r}))
		}
	}
	return out
}

func settingsEntry(s *Settings) Entry   { return Entry{Key: SettingsKey, Settings: s} }
func peerEntry(p *Peer) Entry           { return Entry{Key: p.key(), Peer: p} }
func networkEntry(n *Network) Entry     { return Entry{Key: n.key(), Network: n} }
func identityEntry(i *Identity) Entry   { return Entry{Key: i.key(), Identity: i} }
func routeEntry(r *Route) Entry         { return Entry{Key: r.key(), Route: r} }
func portEntry(p *Port) Entry           { return Entry{Key: p.key(), Port: p} }
func ruleEntry(r TableRule) Entry       { return Entry{Key: r.key(), Rule: &r} }
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
