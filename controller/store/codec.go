package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

const (
	prefixAll    = "/weft/v1/"
	prefixState  = prefixAll + "state/"
	prefixStatus = prefixAll + "status/"
	prefixMember = prefixAll + "member/"
	prefixToken  = prefixAll + "token/"
	// prefixCommit holds by its revision which attempt made each of the latest transactions.
	prefixCommit = prefixAll + "commit/"
	// prefixController holds the controllers that are alive, by the id of their process.
	prefixController = prefixAll + "controller/"
	keyCA            = prefixAll + "pki/ca"
	keyRevision      = prefixState + "revision"
	// keyRestoring exists while a backup is being restored.
	keyRestoring = prefixAll + "restoring"
)

// noTenant stands in keys for the tenant of the platform's objects; it is not a valid name.
const noTenant = "-"

// objectRecord is a declared object at rest.
type objectRecord struct {
	state.ObjectMeta
	Origin topology.Origin    `json:"origin,omitzero"`
	Rules  topology.RuleLines `json:"rules,omitzero"`
	Object json.RawMessage    `json:"object"`
}

type identityRecord struct {
	compile.IdentityAlloc
	Made uint64 `json:"made"`
}

type bindingRecord struct {
	Node fabric.NodeName `json:"node"`
}

// errContent says that etcd holds what this version can't read. Going on would mean to compile plans from a
// part of the state, so the controller stops.
var errContent = errors.New("etcd holds what this controller doesn't understand")

// encode returns the key of a change, and its value; a nil value deletes the key.
func encode(c state.Change) (key string, value []byte, err error) {
	switch {
	case c.Object != nil:
		body, err := c.Object.MarshalJSON()
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", c.Object.Key, err)
		}
		value, err = json.Marshal(objectRecord{ObjectMeta: c.Meta, Origin: c.Object.Origin, Rules: c.Object.RuleLines, Object: body})
		return objectKey(c.Object.Key), value, err
	case c.ObjectGone != nil:
		return objectKey(*c.ObjectGone), nil, nil
	case c.Network != nil:
		return encodeValue(stateKey("network", c.Network.Network.Tenant, c.Network.Network.Name), c.Network.Alloc)
	case c.Identity != nil:
		key := stateKey("identity", fmt.Sprintf("%06x", uint32(c.Identity.ID)))
		if c.Identity.Alloc == nil {
			return key, nil, nil
		}
		return encodeValue(key, &identityRecord{*c.Identity.Alloc, c.Made})
	case c.Lease != nil:
		k := c.Lease.Key
		return encodeValue(stateKey("lease", k.Network.Tenant, k.Network.Name, strings.Replace(k.Prefix.String(), "/", "_", 1)), c.Lease.Lease)
	case c.Binding != nil:
		key := stateKey("binding", c.Binding.Port.Tenant, c.Binding.Port.Name)
		if c.Binding.Node == "" {
			return key, nil, nil
		}
		return encodeValue(key, &bindingRecord{c.Binding.Node})
	case c.Node != nil:
		return encodeValue(stateKey("node", string(c.Node.Name)), c.Node.State)
	case c.Link != nil:
		return encodeMark(stateKey("link", string(c.Link.Link.A), string(c.Link.Link.B)), c.Link.Failed)
	case c.Placed != nil:
		p := c.Placed.Placement
		return encodeMark(stateKey("placed", string(p.Node), fmt.Sprintf("%06x", uint32(p.Identity))), !c.Placed.Gone)
	}
	return "", nil, fmt.Errorf("a change changes nothing")
}

func encodeValue[T any](key string, v *T) (string, []byte, error) {
	if v == nil {
		return key, nil, nil
	}
	value, err := json.Marshal(v)
	return key, value, err
}

// encodeMark returns a key whose presence is all that counts.
func encodeMark(key string, in bool) (string, []byte, error) {
	if !in {
		return key, nil, nil
	}
	return key, []byte("{}"), nil
}

func stateKey(parts ...string) string { return prefixState + strings.Join(parts, "/") }

func objectKey(k topology.Key) string {
	tenant := k.Tenant
	if tenant == "" {
		tenant = noTenant
	}
	return stateKey("object", string(k.Kind), tenant, k.Name)
}

// decode is the inverse of encode; the revision key is not for it.
func decode(key string, value []byte) (state.Change, error) {
	c, err := decodeParts(strings.Split(strings.TrimPrefix(key, prefixState), "/"), value)
	if err != nil {
		return state.Change{}, fmt.Errorf("%w: %s: %w", errContent, key, err)
	}
	return c, nil
}

func decodeParts(parts []string, value []byte) (c state.Change, err error) {
	switch kind := parts[0]; {
	case kind == "object" && len(parts) == 4:
		return decodeObject(parts, value)
	case kind == "network" && len(parts) == 3:
		c.Network = &compile.NetworkChange{Network: fabric.NetworkRef{Tenant: parts[1], Name: parts[2]}}
		c.Network.Alloc, err = decodeValue[compile.NetworkAlloc](value)
	case kind == "identity" && len(parts) == 2:
		id, err := strconv.ParseUint(parts[1], 16, 24)
		if err != nil {
			return c, err
		}
		c.Identity = &compile.IdentityChange{ID: fabric.Identity(id)}
		r, err := decodeValue[identityRecord](value)
		if err != nil {
			return c, err
		}
		if r != nil {
			c.Identity.Alloc, c.Made = &r.IdentityAlloc, r.Made
		}
	case kind == "lease" && len(parts) == 4:
		prefix, err := netip.ParsePrefix(strings.Replace(parts[3], "_", "/", 1))
		if err != nil {
			return c, err
		}
		c.Lease = &compile.LeaseChange{Key: compile.LeaseKey{Network: fabric.NetworkRef{Tenant: parts[1], Name: parts[2]}, Prefix: prefix}}
		c.Lease.Lease, err = decodeValue[compile.Lease](value)
		return c, err
	case kind == "binding" && len(parts) == 3:
		c.Binding = &compile.BindingChange{Port: fabric.PortRef{Tenant: parts[1], Name: parts[2]}}
		r, err := decodeValue[bindingRecord](value)
		if err != nil {
			return c, err
		}
		if r != nil {
			c.Binding.Node = r.Node
		}
	case kind == "node" && len(parts) == 2:
		c.Node = &compile.NodeChange{Name: fabric.NodeName(parts[1])}
		c.Node.State, err = decodeValue[compile.NodeState](value)
	case kind == "link" && len(parts) == 3:
		c.Link = &compile.LinkChange{Link: overlay.Link{A: fabric.NodeName(parts[1]), B: fabric.NodeName(parts[2])}, Failed: value != nil}
	case kind == "placed" && len(parts) == 3:
		id, err := strconv.ParseUint(parts[2], 16, 24)
		if err != nil {
			return c, err
		}
		c.Placed = &compile.PlacedChange{Placement: plan.Placement{Node: fabric.NodeName(parts[1]), Identity: fabric.Identity(id)}, Gone: value == nil}
	default:
		err = fmt.Errorf("the key is not one of this version: a newer controller wrote it")
	}
	return c, err
}

func decodeObject(parts []string, value []byte) (c state.Change, err error) {
	k := topology.Key{Kind: topology.Kind(parts[1]), Tenant: parts[2], Name: parts[3]}
	if k.Tenant == noTenant {
		k.Tenant = ""
	}
	r, err := decodeValue[objectRecord](value)
	if err != nil {
		return c, err
	}
	if r == nil {
		c.ObjectGone = &k
		return c, nil
	}
	if c.Object, err = topology.UnmarshalObject(r.Object); err != nil {
		return c, err
	}
	if c.Object.Key != k {
		return c, fmt.Errorf("the value holds %s", c.Object.Key)
	}
	c.Object.Origin, c.Object.RuleLines, c.Meta = r.Origin, r.Rules, r.ObjectMeta
	return c, nil
}

func decodeValue[T any](value []byte) (*T, error) {
	if value == nil {
		return nil, nil
	}
	v := new(T)
	return v, json.Unmarshal(value, v)
}
