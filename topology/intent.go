package topology

import (
	"maps"
	"slices"
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
	Client         *Client
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
//
// An Intent is never changed. With and Without cost what the touched tenants have of the touched kinds; all else
// is shared by the intents before and after.
type Intent struct {
	shelves   map[Kind]shelf // of every kind
	referrers func() map[Key][]Key
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
func NewIntent(objects ...*Object) *Intent { return new(Intent).With(objects...) }

// With returns the intent with objects added, or put in place of those with the same keys.
func (i *Intent) With(objects ...*Object) *Intent {
	changes := make(map[Key]*Object, len(objects))
	for _, o := range objects {
		changes[o.Key] = o
	}
	return i.with(changes)
}

// Without returns the intent without the objects that keys name.
func (i *Intent) Without(keys ...Key) *Intent {
	changes := make(map[Key]*Object, len(keys))
	for _, k := range keys {
		changes[k] = nil
	}
	return i.with(changes)
}

// with returns the intent with objects put in place, or taken away where changes has nil.
func (i *Intent) with(changes map[Key]*Object) *Intent {
	next := &Intent{shelves: maps.Clone(i.shelves)}
	if next.shelves == nil {
		next.shelves = make(map[Kind]shelf, len(Kinds))
	}
	next.referrers = sync.OnceValue(next.makeReferrers)
	keys := slices.SortedFunc(maps.Keys(changes), Key.Compare)
	for len(keys) > 0 {
		kind, n := keys[0].Kind, 1
		for n < len(keys) && keys[n].Kind == kind {
			n++
		}
		next.shelves[kind] = next.shelves[kind].with(keys[:n], changes)
		keys = keys[n:]
	}
	return next
}

// Get returns the object with a key, or nil.
func (i *Intent) Get(k Key) *Object { return i.shelves[k.Kind].group(k.Tenant).get(k.Name) }

// Len returns the number of objects.
func (i *Intent) Len() int {
	n := 0
	for _, s := range i.shelves {
		for _, g := range s {
			n += len(g.objects)
		}
	}
	return n
}

// Objects returns all objects, ordered by kind, tenant and name.
// The slice is the caller's.
func (i *Intent) Objects() []*Object {
	var out []*Object
	for _, kind := range Kinds {
		for _, g := range i.shelves[kind] {
			out = append(out, g.objects...)
		}
	}
	return out
}

// Kinds lists every kind in the order of dependence: a kind refers only to kinds before it, or its own.
var Kinds = []Kind{KindFabric, KindTenant, KindNetwork, KindPeering, KindPort, KindClient, KindAddressGroup, KindFirewallPolicy, KindPlatformPolicy}
