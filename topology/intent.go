package topology

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weftfabric/weft/fabric"
)

// Key names an object: unique within an Intent, comparable, and stable.
type Key struct {
	Kind   Kind
	Tenant string // empty for the platform's objects
	Name   string
}

// String returns "Kind tenant/name" or "Kind name".
func (k Key) String() string {
	if k.Tenant == "" {
		return string(k.Kind) + " " + k.Name
	}
	return string(k.Kind) + " " + k.Tenant + "/" + k.Name
}

// Origin is where an object, or a part of it, was written. File is as the user named it.
type Origin struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1
}

// Object is one declared object of any kind: exactly one of the pointers is set, the one that Key.Kind
// names. Objects are immutable once they are part of an Intent.
type Object struct {
	Key    Key
	Origin Origin
	// RuleLines holds the lines of a policy's rules, Ingress and Egress, in order.
	RuleLines RuleLines

	Fabric         *Fabric
	Tenant         *Tenant
	Network        *Network
	Peering        *Peering
	Port           *Port
	FirewallPolicy *FirewallPolicy
	PlatformPolicy *PlatformPolicy
	AddressGroup   *AddressGroup

	lines  map[string]int // the line of each field that was written, by path
	faulty []string       // the paths in which decoding found errors
}

// RuleLines are the lines on which a policy's rules start.
type RuleLines struct {
	Ingress []int `json:"ingress,omitempty"`
	Egress  []int `json:"egress,omitempty"`
}

// Intent is a whole declared topology. One that Validate returned without errors is consistent: every
// reference resolves, and every default is filled in.
type Intent struct {
	objects map[Key]*Object
	view    func() *view // made at the first use, from objects alone
}

// Ref returns the network's reference.
func (n *Network) Ref() fabric.NetworkRef {
	return fabric.NetworkRef{Tenant: n.Metadata.Tenant, Name: n.Metadata.Name}
}

// Ref returns the port's reference.
func (p *Port) Ref() fabric.PortRef {
	return fabric.PortRef{Tenant: p.Metadata.Tenant, Name: p.Metadata.Name}
}

// NetworkRef returns the reference of the network that the port is attached to.
func (p *Port) NetworkRef() fabric.NetworkRef {
	return fabric.NetworkRef{Tenant: p.Metadata.Tenant, Name: p.Spec.Network}
}

// NewIntent makes an intent of objects. Of two objects with one key the later stands.
func NewIntent(objects ...*Object) *Intent {
	i := &Intent{objects: make(map[Key]*Object, len(objects))}
	for _, o := range objects {
		i.objects[o.Key] = o
	}
	i.view = sync.OnceValue(i.makeView)
	return i
}

// With returns the intent with objects added, or put in place of those with the same keys.
func (i *Intent) With(objects ...*Object) *Intent {
	return NewIntent(append(slices.Collect(maps.Values(i.objects)), objects...)...)
}

// Without returns the intent without the objects that keys name.
func (i *Intent) Without(keys ...Key) *Intent {
	rest := maps.Clone(i.objects)
	for _, k := range keys {
		delete(rest, k)
	}
	return NewIntent(slices.Collect(maps.Values(rest))...)
}

// Get returns the object with a key, or nil.
func (i *Intent) Get(k Key) *Object { return i.objects[k] }

// Len returns the number of objects.
func (i *Intent) Len() int { return len(i.objects) }

// Objects returns all objects, ordered by kind, tenant and name.
// The slice is the caller's.
func (i *Intent) Objects() []*Object { return slices.Clone(i.view().sorted) }

// Compare orders keys by kind (in the order of dependence: Fabric first), tenant and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(slices.Index(Kinds, k.Kind)-slices.Index(Kinds, o.Kind),
		strings.Compare(k.Tenant, o.Tenant), strings.Compare(k.Name, o.Name))
}

// Kinds lists every kind in the order of dependence: a kind refers only to kinds before it, or its own.
var Kinds = []Kind{KindFabric, KindTenant, KindNetwork, KindPeering, KindPort, KindAddressGroup, KindFirewallPolicy, KindPlatformPolicy}
