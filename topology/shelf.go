package topology

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/weftfabric/weft/fabric"
)

// shelf holds an intent's objects of one kind, in groups by tenant. Shelves and groups are never changed: the
// intents before and after a change share the groups that the change doesn't concern.
type shelf []*group

// group holds one tenant's objects of one kind, by name. What is looked up in it often is made at the first use.
type group struct {
	tenant   string
	objects  []*Object
	remotes  func() map[string][]fabric.NetworkRef // of a tenant's peerings, by their own network
	attached func() map[string][]*Port             // of a tenant's ports or clients, by their network
}

func newGroup(tenant string, objects []*Object) *group {
	g := &group{tenant: tenant, objects: objects}
	g.remotes = sync.OnceValue(g.makeRemotes)
	g.attached = sync.OnceValue(g.makeAttached)
	return g
}

// group returns a tenant's objects; nil when there are none, which is a group too.
func (s shelf) group(tenant string) *group {
	if n, ok := slices.BinarySearchFunc(s, tenant, (*group).compare); ok {
		return s[n]
	}
	return nil
}

func (g *group) compare(tenant string) int { return strings.Compare(g.tenant, tenant) }

// all returns the group's objects, by name.
func (g *group) all() []*Object {
	if g == nil {
		return nil
	}
	return g.objects
}

func (g *group) get(name string) *Object {
	objects := g.all()
	if n, ok := slices.BinarySearchFunc(objects, name, (*Object).compareName); ok {
		return objects[n]
	}
	return nil
}

// remotesOf returns the networks with which the peerings of one of the tenant's networks are, in order.
func (g *group) remotesOf(network string) []fabric.NetworkRef {
	if g == nil {
		return nil
	}
	return g.remotes()[network]
}

// attachedTo returns the ports of one of the tenant's networks, by name.
func (g *group) attachedTo(network string) []*Port {
	if g == nil {
		return nil
	}
	return g.attached()[network]
}

func (o *Object) compareName(name string) int { return strings.Compare(o.Key.Name, name) }

// with returns the shelf with objects put in place, or taken away where changes has nil. The keys are those of
// changes, all of the shelf's kind, in order.
func (s shelf) with(keys []Key, changes map[Key]*Object) shelf {
	var tenants []string
	groups := make(map[string]*group)
	for len(keys) > 0 {
		tenant, n := keys[0].Tenant, 1
		for n < len(keys) && keys[n].Tenant == tenant {
			n++
		}
		objects := merged(s.group(tenant).all(), keys[:n],
			func(o *Object, k Key) int { return o.compareName(k.Name) },
			func(k Key) (*Object, bool) { return changes[k], changes[k] != nil })
		tenants, groups[tenant] = append(tenants, tenant), newGroup(tenant, objects)
		keys = keys[n:]
	}
	return merged(s, tenants, (*group).compare, func(tenant string) (*group, bool) { return groups[tenant], len(groups[tenant].objects) > 0 })
}

// merged returns a list with the value of each key put in its place, or left out when it has none. The list and
// the keys are in the order of compare.
func merged[E, K any](list []E, keys []K, compare func(E, K) int, value func(K) (E, bool)) []E {
	out := make([]E, 0, len(list)+len(keys))
	for _, k := range keys {
		n, found := slices.BinarySearchFunc(list, k, compare)
		out = append(out, list[:n]...)
		if found {
			n++
		}
		list = list[n:]
		if v, ok := value(k); ok {
			out = append(out, v)
		}
	}
	return append(out, list...)
}

func (g *group) makeRemotes() map[string][]fabric.NetworkRef {
	remotes := make(map[string][]fabric.NetworkRef)
	for _, o := range g.objects {
		if p := o.Peering; p != nil {
			remotes[p.Spec.Network] = append(remotes[p.Spec.Network], p.Remote())
		}
	}
	for network, list := range remotes {
		slices.SortFunc(list, fabric.NetworkRef.Compare)
		remotes[network] = slices.Compact(list)
	}
	return remotes
}

func (g *group) makeAttached() map[string][]*Port {
	attached := make(map[string][]*Port)
	for _, o := range g.objects {
		if p := o.port(); p != nil {
			attached[p.Spec.Network] = append(attached[p.Spec.Network], p)
		}
	}
	return attached
}

// rank is a kind's place in Kinds, or -1.
func (k Kind) rank() int { return slices.Index(Kinds, k) }

// Compare orders keys by kind (in the order of dependence: Fabric first), tenant and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(k.Kind.rank()-o.Kind.rank(), strings.Compare(k.Tenant, o.Tenant), strings.Compare(k.Name, o.Name))
}
