package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// newObject returns an empty object of a kind, or nil when there is no such kind.
func newObject(kind Kind) *Object {
	o := &Object{Key: Key{Kind: kind}}
	switch kind {
	case KindFabric:
		o.Fabric = new(Fabric)
	case KindTenant:
		o.Tenant = new(Tenant)
	case KindNetwork:
		o.Network = new(Network)
	case KindPeering:
		o.Peering = new(Peering)
	case KindPort:
		o.Port = new(Port)
	case KindClient:
		o.Client = new(Client)
	case KindFirewallPolicy:
		o.FirewallPolicy = new(FirewallPolicy)
	case KindPlatformPolicy:
		o.PlatformPolicy = new(PlatformPolicy)
	case KindAddressGroup:
		o.AddressGroup = new(AddressGroup)
	default:
		return nil
	}
	return o
}

// NewObject wraps a value of a kind's type, such as *Network, as an Object with its key and its defaults.
// The value must not be changed afterwards. ok is false for other types.
func NewObject(body any) (o *Object, ok bool) {
	o = new(Object)
	switch b := body.(type) {
	case *Fabric:
		o.Key.Kind, o.Fabric = KindFabric, b
	case *Tenant:
		o.Key.Kind, o.Tenant = KindTenant, b
	case *Network:
		o.Key.Kind, o.Network = KindNetwork, b
	case *Peering:
		o.Key.Kind, o.Peering = KindPeering, b
	case *Port:
		o.Key.Kind, o.Port = KindPort, b
	case *Client:
		o.Key.Kind, o.Client = KindClient, b
	case *FirewallPolicy:
		o.Key.Kind, o.FirewallPolicy = KindFirewallPolicy, b
	case *PlatformPolicy:
		o.Key.Kind, o.PlatformPolicy = KindPlatformPolicy, b
	case *AddressGroup:
		o.Key.Kind, o.AddressGroup = KindAddressGroup, b
	default:
		return nil, false
	}
	o.finish()
	return o, true
}

// finish sets the key from the metadata and fills in the defaults.
func (o *Object) finish() {
	m := o.Metadata()
	o.Key = Key{Kind: o.Key.Kind, Tenant: m.Tenant, Name: m.Name}
	o.applyDefaults()
}

// body returns the pointer that the object's kind names.
func (o *Object) body() any {
	switch o.Key.Kind {
	case KindFabric:
		return o.Fabric
	case KindTenant:
		return o.Tenant
	case KindNetwork:
		return o.Network
	case KindPeering:
		return o.Peering
	case KindPort:
		return o.Port
	case KindClient:
		return o.Client
	case KindFirewallPolicy:
		return o.FirewallPolicy
	case KindPlatformPolicy:
		return o.PlatformPolicy
	case KindAddressGroup:
		return o.AddressGroup
	}
	return nil
}

// Metadata returns the object's metadata, which is not to be changed.
func (o *Object) Metadata() *Metadata {
	switch o.Key.Kind {
	case KindFabric:
		return &o.Fabric.Metadata
	case KindTenant:
		return &o.Tenant.Metadata
	case KindNetwork:
		return &o.Network.Metadata
	case KindPeering:
		return &o.Peering.Metadata
	case KindPort:
		return &o.Port.Metadata
	case KindClient:
		return &o.Client.Metadata
	case KindFirewallPolicy:
		return &o.FirewallPolicy.Metadata
	case KindPlatformPolicy:
		return &o.PlatformPolicy.Metadata
	case KindAddressGroup:
		return &o.AddressGroup.Metadata
	}
	return &Metadata{}
}

// rules returns the rules of a policy of either kind.
func (o *Object) rules() (ingress, egress []Rule) {
	switch {
	case o.FirewallPolicy != nil:
		return o.FirewallPolicy.Spec.Ingress, o.FirewallPolicy.Spec.Egress
	case o.PlatformPolicy != nil:
		return o.PlatformPolicy.Spec.Ingress, o.PlatformPolicy.Spec.Egress
	}
	return nil, nil
}

// Equal reports whether two objects declare the same, wherever they were written.
func (o *Object) Equal(p *Object) bool {
	if o == nil || p == nil {
		return o == p
	}
	if o.Key != p.Key {
		return false
	}
	a, errA := o.MarshalJSON()
	b, errB := p.MarshalJSON()
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// MarshalJSON returns the canonical form: apiVersion, kind, metadata and spec, with defaults filled in and
// keys in a fixed order. Equal declarations have equal bytes.
func (o *Object) MarshalJSON() ([]byte, error) {
	body, err := json.Marshal(o.body())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Key, err)
	}
	header := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,`, APIVersion, o.Key.Kind)
	return append([]byte(header), bytes.TrimPrefix(body, []byte("{"))...), nil
}

// UnmarshalObject parses the form that MarshalJSON writes, refuses unknown fields, and fills in defaults.
// The result has no origin, and is not validated.
func UnmarshalObject(data []byte) (*Object, error) {
	var header struct {
		APIVersion string `json:"apiVersion"`
		Kind       Kind   `json:"kind"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if header.APIVersion != APIVersion {
		return nil, fmt.Errorf("object: apiVersion %q is not known: write %s", header.APIVersion, APIVersion)
	}
	o := newObject(header.Kind)
	if o == nil {
		return nil, fmt.Errorf("object: unknown kind %q: write %s", header.Kind, oneOf(Kinds))
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	delete(raw, "apiVersion")
	delete(raw, "kind")
	rest, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(o.body()); err != nil {
		return nil, fmt.Errorf("%s: %w", header.Kind, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: text after the object", header.Kind)
	}
	o.finish()
	return o, nil
}
