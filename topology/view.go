package topology

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// view holds what the accessors of an Intent answer from: each slice is sorted by key.
type view struct {
	sorted           []*Object
	settings         FabricSpec
	tenants          []*Tenant
	networks         []*Network
	peerings         []*Peering
	ports            []*Port
	addressGroups    []*AddressGroup
	firewallPolicies []*FirewallPolicy
	platformPolicies []*PlatformPolicy
	peers            map[fabric.NetworkRef][]fabric.NetworkRef
	referrers        map[Key][]Key
}

func (i *Intent) makeView() *view {
	v := &view{
		sorted: slices.SortedFunc(maps.Values(i.objects), func(a, b *Object) int { return a.Key.Compare(b.Key) }),
		peers:  map[fabric.NetworkRef][]fabric.NetworkRef{}, referrers: map[Key][]Key{},
	}
	v.settings.applyDefaults()
	for _, o := range v.sorted {
		switch {
		case o.Fabric != nil && o.Key.Name == FabricName:
			v.settings = o.Fabric.Spec
		case o.Tenant != nil:
			v.tenants = append(v.tenants, o.Tenant)
		case o.Network != nil:
			v.networks = append(v.networks, o.Network)
		case o.Peering != nil:
			v.peerings = append(v.peerings, o.Peering)
		case o.Port != nil:
			v.ports = append(v.ports, i.resolvePort(o.Port))
		case o.AddressGroup != nil:
			v.addressGroups = append(v.addressGroups, o.AddressGroup)
		case o.FirewallPolicy != nil:
			v.firewallPolicies = append(v.firewallPolicies, o.FirewallPolicy)
		case o.PlatformPolicy != nil:
			v.platformPolicies = append(v.platformPolicies, o.PlatformPolicy)
		}
		for _, r := range o.references() {
			if list := v.referrers[r.to]; len(list) == 0 || list[len(list)-1] != o.Key {
				v.referrers[r.to] = append(list, o.Key)
			}
		}
	}
	v.joinPeers(i)
	return v
}

// joinPeers finds the peerings that both sides declare, between networks that exist.
func (v *view) joinPeers(i *Intent) {
	declared := map[[2]fabric.NetworkRef]bool{}
	for _, p := range v.peerings {
		declared[[2]fabric.NetworkRef{p.Local(), p.Remote()}] = true
	}
	for sides := range declared {
		here, there := sides[0], sides[1]
		if here != there && declared[[2]fabric.NetworkRef{there, here}] && i.Network(here) != nil && i.Network(there) != nil {
			v.peers[here] = append(v.peers[here], there)
		}
	}
	for _, list := range v.peers {
		slices.SortFunc(list, fabric.NetworkRef.Compare)
	}
}

// resolvePort fills in the subnet that a port's network decides.
func (i *Intent) resolvePort(p *Port) *Port {
	n := i.Network(p.NetworkRef())
	if p.Spec.Subnet != "" || n == nil || len(n.Spec.Subnets) == 0 {
		return p
	}
	full := *p
	full.Spec.Subnet = n.Spec.Subnets[0].Name
	for _, s := range n.Spec.Subnets {
		if slices.ContainsFunc(p.Spec.Addresses, s.Contains) {
			full.Spec.Subnet = s.Name
			break
		}
	}
	return &full
}

// Settings returns the fabric's settings, every default filled in.
func (i *Intent) Settings() FabricSpec { return i.view().settings }

// Tenants returns the tenants in order.
func (i *Intent) Tenants() []*Tenant { return slices.Clone(i.view().tenants) }

// Networks returns the networks, ordered by tenant and name.
func (i *Intent) Networks() []*Network { return slices.Clone(i.view().networks) }

// Peerings returns the declared peerings, one-sided ones too, ordered by tenant and name.
func (i *Intent) Peerings() []*Peering { return slices.Clone(i.view().peerings) }

// Ports returns the ports, ordered by tenant and name. Spec.Subnet is filled in.
func (i *Intent) Ports() []*Port { return slices.Clone(i.view().ports) }

// AddressGroups returns the address groups, the platform's first.
func (i *Intent) AddressGroups() []*AddressGroup { return slices.Clone(i.view().addressGroups) }

// FirewallPolicies returns the tenants' policies, ordered by tenant and name.
func (i *Intent) FirewallPolicies() []*FirewallPolicy { return slices.Clone(i.view().firewallPolicies) }

// PlatformPolicies returns the platform's policies in order.
func (i *Intent) PlatformPolicies() []*PlatformPolicy { return slices.Clone(i.view().platformPolicies) }

// Tenant returns a tenant, or nil.
func (i *Intent) Tenant(name string) *Tenant {
	if o := i.Get(Key{Kind: KindTenant, Name: name}); o != nil {
		return o.Tenant
	}
	return nil
}

// Network returns a network, or nil.
func (i *Intent) Network(ref fabric.NetworkRef) *Network {
	if o := i.Get(Key{KindNetwork, ref.Tenant, ref.Name}); o != nil {
		return o.Network
	}
	return nil
}

// Port returns a port with Spec.Subnet filled in, or nil.
func (i *Intent) Port(ref fabric.PortRef) *Port {
	if o := i.Get(Key{KindPort, ref.Tenant, ref.Name}); o != nil {
		return i.resolvePort(o.Port)
	}
	return nil
}

// AddressGroup returns an address group of a tenant, or of the platform when tenant is empty, or nil.
func (i *Intent) AddressGroup(tenant, name string) *AddressGroup {
	if o := i.Get(Key{KindAddressGroup, tenant, name}); o != nil {
		return o.AddressGroup
	}
	return nil
}

// Posture returns what decides a network's connections that no policy decided: the posture of the network,
// else of its tenant, else of the fabric.
func (i *Intent) Posture(ref fabric.NetworkRef) Action {
	action, _ := i.PostureOrigin(ref)
	return action
}

// PostureOrigin returns a network's posture, and the object that declares it. Without a declared Fabric the
// default's origin is the key of the Fabric that could be declared.
func (i *Intent) PostureOrigin(ref fabric.NetworkRef) (Action, Key) {
	if n := i.Network(ref); n != nil && n.Spec.Posture != "" {
		return n.Spec.Posture, n.Key()
	}
	if t := i.Tenant(ref.Tenant); t != nil && t.Spec.Posture != "" {
		return t.Spec.Posture, Key{Kind: KindTenant, Name: ref.Tenant}
	}
	return i.Settings().Posture, Key{Kind: KindFabric, Name: FabricName}
}

// PeersOf returns the networks that a network is joined to by peerings which both sides declare, in order.
func (i *Intent) PeersOf(ref fabric.NetworkRef) []fabric.NetworkRef {
	return slices.Clone(i.view().peers[ref])
}

// References returns the keys of the objects that refer to one, in order. While there are any, the object
// can't be deleted.
func (i *Intent) References(k Key) []Key { return slices.Clone(i.view().referrers[k]) }

// Key returns the network's key.
func (n *Network) Key() Key { return Key{KindNetwork, n.Metadata.Tenant, n.Metadata.Name} }

// Subnet returns the network's subnet of a name, or nil.
func (n *Network) Subnet(name string) *Subnet {
	for i := range n.Spec.Subnets {
		if n.Spec.Subnets[i].Name == name {
			return &n.Spec.Subnets[i]
		}
	}
	return nil
}

// Local returns the network on the peering's own side.
func (p *Peering) Local() fabric.NetworkRef {
	return fabric.NetworkRef{Tenant: p.Metadata.Tenant, Name: p.Spec.Network}
}

// Remote returns the network on the other side.
func (p *Peering) Remote() fabric.NetworkRef {
	tenant := p.Spec.Peer.Tenant
	if tenant == "" {
		tenant = p.Metadata.Tenant
	}
	return fabric.NetworkRef{Tenant: tenant, Name: p.Spec.Peer.Network}
}
