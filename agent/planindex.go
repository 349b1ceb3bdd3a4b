package agent

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/agent/ipam"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// planIndex finds the parts of a plan by what requests name.
type planIndex struct {
	node       fabric.NodeName
	networks   map[fabric.NetworkRef]plan.Network
	refs       map[fabric.NetworkID]fabric.NetworkRef
	ports      map[fabric.PortRef]plan.Port
	uids       map[string]fabric.PortRef
	identities map[labelSet]fabric.Identity
	labels     map[fabric.Identity]fabric.Labels // the ignored ones left out
	leases     map[poolKey][]netip.Prefix
	ignoreKeys []string
	tables     map[fabric.NetworkID]firewall.Table
	// strict says that others accept from here only what is placed here.
	strict bool
	placed map[fabric.Identity]bool
}

// labelSet names an identity.
type labelSet struct {
	network fabric.NetworkID
	labels  string
}

// family is an IP version, 4 or 6.
type family uint8

// bothFamilies are the families in the order in which they are asked for.
var bothFamilies = [...]family{4, 6}

// poolKey names what addresses are allocated from.
type poolKey struct {
	network fabric.NetworkID
	subnet  string
	family  family
}

// familyOf returns the family of an address.
func familyOf(a netip.Addr) family {
	if a.Is4() {
		return 4
	}
	return 6
}

// indexPlan builds the index of a plan.
func indexPlan(n plan.Node) planIndex {
	x := planIndex{
		node: n.Name, networks: map[fabric.NetworkRef]plan.Network{}, refs: map[fabric.NetworkID]fabric.NetworkRef{},
		ports: map[fabric.PortRef]plan.Port{}, uids: map[string]fabric.PortRef{}, identities: map[labelSet]fabric.Identity{},
		labels: map[fabric.Identity]fabric.Labels{}, tables: map[fabric.NetworkID]firewall.Table{},
		leases: map[poolKey][]netip.Prefix{}, ignoreKeys: n.Settings.IgnoredLabels,
		strict: n.Settings.StrictIdentity, placed: map[fabric.Identity]bool{},
	}
	for _, net := range n.Networks {
		x.networks[net.Ref], x.refs[net.ID] = net, net.Ref
	}
	for _, p := range n.Ports {
		x.ports[p.Ref], x.uids[p.UID] = p, p.Ref
	}
	for _, id := range n.Identities {
		x.identities[labelSet{id.Network, id.Labels.String()}], x.labels[id.ID] = id.ID, id.Labels
	}
	for _, r := range n.Routes {
		if r.Lease && r.Node == n.Name {
			k := poolKey{r.Network, r.Subnet, familyOf(r.Prefix.Addr())}
			x.leases[k] = append(x.leases[k], r.Prefix)
		}
	}
	for _, p := range n.Placements {
		if p.Node == n.Name {
			x.placed[p.Identity] = true
		}
	}
	for _, t := range n.Tables {
		x.tables[t.Network] = t
	}
	return x
}

// identity returns the identity of a network's label set, ignored labels left out.
func (x planIndex) identity(n fabric.NetworkID, labels fabric.Labels) (fabric.Identity, bool) {
	id, ok := x.identities[labelSet{n, labels.String()}]
	return id, ok
}

// mayAttach reports whether workloads with a label set can be attached without asking the controller: it has made
// their identity, and, where others hold this node to it, knows that the node has such workloads.
func (x planIndex) mayAttach(n fabric.NetworkID, labels fabric.Labels) bool {
	id, ok := x.identity(n, labels)
	return ok && (!x.strict || x.placed[id])
}

// ignored reports whether a label is no part of an identity; a trailing "/" makes a prefix of a key.
func (x planIndex) ignored(key string) bool {
	return slices.ContainsFunc(x.ignoreKeys, func(k string) bool {
		return k == key || strings.HasSuffix(k, "/") && strings.HasPrefix(key, k)
	})
}

// subnetOf returns the subnet of that name, the first one for the empty name.
func subnetOf(n plan.Network, name string) (plan.Subnet, bool) {
	for _, sub := range n.Subnets {
		if name == "" || sub.Name == name {
			return sub, true
		}
	}
	return plan.Subnet{}, false
}

// subnetWith returns the subnet that an address is part of.
func subnetWith(n plan.Network, a netip.Addr) (plan.Subnet, bool) {
	for _, sub := range n.Subnets {
		if prefixOf(sub, familyOf(a)).Contains(a) {
			return sub, true
		}
	}
	return plan.Subnet{}, false
}

// prefixOf returns a subnet's range of one family; it is the zero Prefix where the subnet lacks the family.
func prefixOf(sub plan.Subnet, f family) netip.Prefix {
	if f == 4 {
		return sub.IPv4
	}
	return sub.IPv6
}

// gatewayOf returns a subnet's gateway of one family.
func gatewayOf(sub plan.Subnet, f family) netip.Addr {
	if f == 4 {
		return sub.Gateway4
	}
	return sub.Gateway6
}

// families returns the families that a subnet has, IPv4 first.
func families(sub plan.Subnet) []family {
	return slices.DeleteFunc(slices.Clone(bothFamilies[:]), func(f family) bool { return !prefixOf(sub, f).IsValid() })
}

// pool returns what the node may give away of one family of a subnet.
func (s *state) pool(n plan.Network, sub plan.Subnet, f family) ipam.Pool {
	used := map[netip.Addr]bool{}
	for _, a := range n.Reserved {
		used[a] = true
	}
	for _, a := range s.all() {
		if a.Network == n.Ref {
			for _, addr := range a.Addresses {
				used[addr] = true
			}
		}
	}
	k := poolKey{n.ID, sub.Name, f}
	blocks := slices.DeleteFunc(slices.Clone(s.index.leases[k]), func(b netip.Prefix) bool { return s.returning[leaseKey{k, b}] })
	return ipam.Pool{Subnet: prefixOf(sub, f), Blocks: blocks, Taken: func(a netip.Addr) bool { return used[a] }}
}

// closing returns the addresses of a network that nobody has any more, and whose flows the switch has not dropped yet.
func (s *state) closing(n plan.Network) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, a := range s.flows.enforced {
		if a.Network == n.ID {
			for _, addr := range a.Addresses {
				out[addr] = true
			}
		}
	}
	if len(out) == 0 {
		return out
	}
	for _, a := range s.all() {
		for _, addr := range a.Addresses {
			if a.Network == n.Ref || !a.Port.IsZero() {
				delete(out, addr)
			}
		}
	}
	return out
}
