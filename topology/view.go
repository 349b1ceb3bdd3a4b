package topology

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// bodies returns what body returns for each object of a shelf, in their order; nil for none.
func bodies[T any](s shelf, body func(*Object) T) []T {
	var out []T
	for _, g := range s {
		out = slices.Grow(out, len(g.all()))
		for _, o := range g.all() {
			out = append(out, body(o))
		}
	}
	return out
}

// of returns the shelf of one tenant's objects of a kind.
func (i *Intent) of(kind Kind, tenant string) shelf { return shelf{i.shelves[kind].group(tenant)} }

func network(o *Object) *Network               { return o.Network }
func firewallPolicy(o *Object) *FirewallPolicy { return o.FirewallPolicy }

// resolvePort fills in the subnet that a port's network decides.
func (i *Intent) resolvePort(p *Port) *Port {
	if p.Spec.Subnet != "" {
		return p
	}
	n := i.Network(p.NetworkRef())
	if n == nil || len(n.Spec.Subnets) == 0 {
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
func (i *Intent) Settings() FabricSpec {
	if o := i.Get(Key{Kind: KindFabric, Name: FabricName}); o != nil {
		return o.Fabric.Spec
	}
	var s FabricSpec
	s.applyDefaults()
	return s
}

// Tenants returns the tenants in order.
func (i *Intent) Tenants() []*Tenant {
	return bodies(i.shelves[KindTenant], func(o *Object) *Tenant { return o.Tenant })
}

// Networks returns the networks, ordered by tenant and name.
func (i *Intent) Networks() []*Network { return bodies(i.shelves[KindNetwork], network) }

// NetworksOf returns a tenant's networks, ordered by name.
func (i *Intent) NetworksOf(tenant string) []*Network {
	return bodies(i.of(KindNetwork, tenant), network)
}

// Peerings returns the declared peerings, one-sided ones too, ordered by tenant and name.
func (i *Intent) Peerings() []*Peering {
	return bodies(i.shelves[KindPeering], func(o *Object) *Peering { return o.Peering })
}

// Ports returns the ports, those of clients too, ordered by tenant and name. Spec.Subnet is filled in.
func (i *Intent) Ports() []*Port {
	ports := bodies(i.shelves[KindPort], func(o *Object) *Port { return i.resolvePort(o.Port) })
	clients := bodies(i.shelves[KindClient], func(o *Object) *Port { return i.resolvePort(o.Client.Port()) })
	return inOrder(ports, clients)
}

// PortsOf returns a network's ports, those of clients too, ordered by name. Spec.Subnet is filled in.
func (i *Intent) PortsOf(ref fabric.NetworkRef) []*Port {
	var out []*Port
	for _, p := range i.shelves[KindPort].group(ref.Tenant).attachedTo(ref.Name) {
		out = append(out, i.resolvePort(p))
	}
	if clients := i.shelves[KindClient].group(ref.Tenant).attachedTo(ref.Name); len(clients) > 0 {
		var others []*Port
		for _, p := range clients {
			others = append(others, i.resolvePort(p))
		}
		out = inOrder(out, others)
	}
	return out
}

// inOrder joins declared ports with those of clients.
func inOrder(ports, clients []*Port) []*Port {
	if len(clients) == 0 {
		return ports
	}
	out := slices.Concat(ports, clients)
	slices.SortFunc(out, func(a, b *Port) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// Clients returns the remote clients, ordered by tenant and name.
func (i *Intent) Clients() []*Client {
	return bodies(i.shelves[KindClient], func(o *Object) *Client { return o.Client })
}

// AddressGroups returns the address groups, the platform's first.
func (i *Intent) AddressGroups() []*AddressGroup {
	return bodies(i.shelves[KindAddressGroup], func(o *Object) *AddressGroup { return o.AddressGroup })
}

// FirewallPolicies returns the tenants' policies, ordered by tenant and name.
func (i *Intent) FirewallPolicies() []*FirewallPolicy {
	return bodies(i.shelves[KindFirewallPolicy], firewallPolicy)
}

// FirewallPoliciesOf returns a tenant's policies, ordered by name.
func (i *Intent) FirewallPoliciesOf(tenant string) []*FirewallPolicy {
	return bodies(i.of(KindFirewallPolicy, tenant), firewallPolicy)
}

// PlatformPolicies returns the platform's policies in order.
func (i *Intent) PlatformPolicies() []*PlatformPolicy {
	return bodies(i.shelves[KindPlatformPolicy], func(o *Object) *PlatformPolicy { return o.PlatformPolicy })
}

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

// Port returns a port, a client's too, with Spec.Subnet filled in, or nil.
func (i *Intent) Port(ref fabric.PortRef) *Port {
	if o := i.Get(Key{KindPort, ref.Tenant, ref.Name}); o != nil {
		return i.resolvePort(o.Port)
	}
	if o := i.Get(Key{KindClient, ref.Tenant, ref.Name}); o != nil {
		return i.resolvePort(o.Client.Port())
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

// LogDenials reports whether what the rules of a tenant's networks deny is logged, because the tenant or the fabric says so.
func (i *Intent) LogDenials(tenant string) bool {
	t := i.Tenant(tenant)
	return i.Settings().LogDenials || t != nil && t.Spec.LogDenials
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
	if i.Network(ref) == nil {
		return nil
	}
	var out []fabric.NetworkRef
	for _, there := range i.remotes(ref) {
		if _, back := slices.BinarySearchFunc(i.remotes(there), ref, fabric.NetworkRef.Compare); back && there != ref && i.Network(there) != nil {
			out = append(out, there)
		}
	}
	return out
}

// remotes returns the networks that a network declares peerings with, in order.
func (i *Intent) remotes(ref fabric.NetworkRef) []fabric.NetworkRef {
	return i.shelves[KindPeering].group(ref.Tenant).remotesOf(ref.Name)
}

// References returns the keys of the objects that refer to one, in order. While there are any, the object
// can't be deleted. The first call walks over all objects.
func (i *Intent) References(k Key) []Key { return slices.Clone(i.referrers()[k]) }

func (i *Intent) makeReferrers() map[Key][]Key {
	referrers := make(map[Key][]Key)
	for _, o := range i.Objects() {
		for _, r := range o.references() {
			if list := referrers[r.to]; len(list) == 0 || list[len(list)-1] != o.Key {
				referrers[r.to] = append(list, o.Key)
			}
		}
	}
	return referrers
}

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
