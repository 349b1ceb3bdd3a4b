package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Delta leads from one plan of a node to another.
type Delta struct {
	// Upsert are the entries that are new or have new content, in canonical order.
	Upsert []Entry
	// Remove are the keys of the entries that are gone, in order.
	Remove []string
}

// IsEmpty reports whether d changes nothing.
func (d Delta) IsEmpty() bool { return len(d.Upsert) == 0 && len(d.Remove) == 0 }

// Diff returns the delta that leads from one canonical plan to another of the same node. Slices that both plans
// share cost nothing. The delta shares the memory of to. A rule that only moved in its file is no difference; where
// it stands by then goes along with its next change.
func Diff(from, to Node) Delta {
	var d differ
	if s, t := settingsEntry(&from.Settings), settingsEntry(&to.Settings); !d.equal(s, t) {
		d.Upsert = append(d.Upsert, t.keyed())
	}
	diffSlices(&d, from.Peers, to.Peers, comparePeers, peerEntry)
	diffSlices(&d, from.Tunnels, to.Tunnels, compareTunnels, tunnelEntry)
	diffSlices(&d, from.Hops, to.Hops, compareHops, hopEntry)
	diffSlices(&d, from.Placements, to.Placements, comparePlacements, placementEntry)
	diffSlices(&d, from.Networks, to.Networks, compareNetworks, networkEntry)
	diffSlices(&d, from.Identities, to.Identities, compareIdentities, identityEntry)
	diffSlices(&d, from.Routes, to.Routes, compareRoutes, routeEntry)
	diffSlices(&d, from.Ports, to.Ports, comparePorts, portEntry)
	d.tables(from.Tables, to.Tables)
	slices.Sort(d.Remove)
	return d.Delta
}

type differ struct {
	Delta
	comparer
}

// diffSlices walks two slices that are sorted by their keys.
func diffSlices[T any](d *differ, from, to []T, compare func(a, b *T) int, entry func(*T) Entry) {
	if sameMemory(from, to) {
		return
	}
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && compare(&from[0], &to[0]) < 0:
			d.Remove = append(d.Remove, entry(&from[0]).contentKey())
			from = from[1:]
		case len(from) == 0 || compare(&from[0], &to[0]) > 0:
			d.Upsert = append(d.Upsert, entry(&to[0]).keyed())
			to = to[1:]
		default:
			if e := entry(&to[0]); !d.equal(entry(&from[0]), e) {
				d.Upsert = append(d.Upsert, e.keyed())
			}
			from, to = from[1:], to[1:]
		}
	}
}

func (d *differ) tables(from, to []firewall.Table) {
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].Network < to[0].Network:
			d.rules(from[0].Network, from[0].Rules, nil)
			from = from[1:]
		case len(from) == 0 || from[0].Network > to[0].Network:
			d.rules(to[0].Network, nil, to[0].Rules)
			to = to[1:]
		default:
			d.rules(to[0].Network, from[0].Rules, to[0].Rules)
			from, to = from[1:], to[1:]
		}
	}
}

// rules compares by id: rules are sorted by their order, which isn't their key.
func (d *differ) rules(network fabric.NetworkID, from, to []firewall.Rule) {
	if sameMemory(from, to) {
		return
	}
	old := make(map[firewall.RuleID]*firewall.Rule, len(from))
	for i := range from {
		old[from[i].ID] = &from[i]
	}
	for i := range to {
		r := &to[i]
		e := ruleEntry(network, r)
		if was := old[r.ID]; was == nil || !d.equal(ruleEntry(network, was), e) {
			d.Upsert = append(d.Upsert, e.keyed())
		}
		delete(old, r.ID)
	}
	for i := range from {
		if old[from[i].ID] != nil {
			d.Remove = append(d.Remove, ruleEntry(network, &from[i]).contentKey())
		}
	}
}

func sameMemory[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Apply returns the canonical plan that d leads to. It refuses a delta that can't belong to n, in which case n
// stands: an entry that names a network that the result lacks, a wrong key, a removal of the settings.
func Apply(n Node, d Delta) (Node, error) {
	entries := make(map[string]Entry)
	for _, e := range Entries(Canonical(n)) {
		entries[e.Key] = e
	}
	for _, key := range d.Remove {
		if key == SettingsKey {
			return Node{}, fmt.Errorf("plan of %s: the settings can't be removed", n.Name)
		}
		delete(entries, key)
	}
	for _, e := range d.Upsert {
		key, err := e.DeriveKey()
		if err != nil {
			return Node{}, fmt.Errorf("plan of %s: %w", n.Name, err)
		}
		if key != e.Key {
			return Node{}, fmt.Errorf("plan of %s: entry %q has the content of %q", n.Name, e.Key, key)
		}
		entries[key] = e
	}
	return assemble(n.Name, entries)
}

// assemble makes a canonical plan of entries.
func assemble(name fabric.NodeName, entries map[string]Entry) (Node, error) {
	n := Node{Name: name}
	rules := make(map[fabric.NetworkID][]firewall.Rule)
	users := make(map[fabric.NetworkID]string) // one entry that names the network
	use := func(id fabric.NetworkID, key string) {
		if was, ok := users[id]; !ok || key < was {
			users[id] = key
		}
	}
	for _, e := range entries {
		switch {
		case e.Settings != nil:
			n.Settings = *e.Settings
		case e.Peer != nil:
			n.Peers = append(n.Peers, *e.Peer)
		case e.Tunnel != nil:
			n.Tunnels = append(n.Tunnels, *e.Tunnel)
		case e.Hop != nil:
			n.Hops = append(n.Hops, *e.Hop)
		case e.Placement != nil:
			n.Placements = append(n.Placements, *e.Placement)
		case e.Network != nil:
			n.Networks = append(n.Networks, *e.Network)
		case e.Identity != nil:
			n.Identities = append(n.Identities, *e.Identity)
			use(e.Identity.Network, e.Key)
		case e.Route != nil:
			n.Routes = append(n.Routes, *e.Route)
			use(e.Route.Network, e.Key)
		case e.Port != nil:
			n.Ports = append(n.Ports, *e.Port)
			use(e.Port.Network, e.Key)
		case e.Rule != nil:
			rules[e.Rule.Network] = append(rules[e.Rule.Network], e.Rule.Rule)
			use(e.Rule.Network, e.Key)
		}
	}
	for _, w := range n.Networks {
		n.Tables = append(n.Tables, firewall.Table{Network: w.ID, Rules: rules[w.ID]})
		delete(users, w.ID)
	}
	if len(users) > 0 {
		first := slices.Min(slices.Collect(maps.Values(users)))
		return Node{}, fmt.Errorf("plan of %s: entry %s names a network that the plan lacks", name, first)
	}
	return Canonical(n), nil
}
