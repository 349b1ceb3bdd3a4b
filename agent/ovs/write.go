package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// What a bridge without a controller does (ovs-vswitchd.conf.db(5), fail_mode): drop, or switch like a learning bridge.
const (
	failSecure     = "secure"
	failStandalone = "standalone"
)

func (s BridgeSpec) failMode() string {
	if s.Standalone {
		return failStandalone
	}
	return failSecure
}

// wantedProtocols are those that must be among the bridge's: 1.5 is the agent's, the others serve ovs-ofctl.
var wantedProtocols = [...]string{"OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"}

// EnsureBridge makes the bridge, or changes what differs from the spec. It leaves the ports alone.
func (d *DB) EnsureBridge(ctx context.Context, spec BridgeSpec) error {
	return d.transact(ctx, &change{what: "ensure bridge " + d.cfg.Bridge, about: d.cfg.Bridge, build: func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error) {
		b, ok := r.bridge(d.cfg.Bridge)
		if !ok {
			return d.createBridge(c, r, spec)
		}
		return updateBridge(c, b, spec)
	}})
}

// DeleteBridge removes the bridge and its ports. One that is not there is no error.
func (d *DB) DeleteBridge(ctx context.Context) error {
	return d.transact(ctx, &change{what: "delete bridge " + d.cfg.Bridge, about: d.cfg.Bridge, build: func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error) {
		b, ok := r.bridge(d.cfg.Bridge)
		if !ok || len(r.roots) != 1 {
			return nil, nil
		}
		root := r.roots[0]
		return c.Where(&root).Mutate(&root, model.Mutation{Field: &root.Bridges, Mutator: ovsdb.MutateOperationDelete, Value: []string{b.UUID}})
	}})
}

// createBridge returns the operations that make the bridge with its local port, as ovs-vsctl add-br does.
func (d *DB) createBridge(c client.Client, r rows, spec BridgeSpec) ([]ovsdb.Operation, error) {
	if len(r.roots) != 1 {
		return nil, errors.New("the database is empty: run \"ovs-vsctl init\" first")
	}
	failMode := spec.failMode()
	create, err := joinOps(
		func() ([]ovsdb.Operation, error) {
			return c.Create(&interfaceRow{UUID: "local_interface", Name: d.cfg.Bridge, Type: "internal"})
		},
		func() ([]ovsdb.Operation, error) {
			return c.Create(&portRow{UUID: "local_port", Name: d.cfg.Bridge, Interfaces: []string{"local_interface"}})
		},
		func() ([]ovsdb.Operation, error) {
			return c.Create(&bridgeRow{UUID: "the_bridge", Name: d.cfg.Bridge, DatapathType: string(spec.Datapath), FailMode: &failMode,
				Protocols: wantedProtocols[:], OtherConfig: spec.OtherConfig, Ports: []string{"local_port"}})
		},
		func() ([]ovsdb.Operation, error) {
			root := r.roots[0]
			return c.Where(&root).Mutate(&root, model.Mutation{Field: &root.Bridges, Mutator: ovsdb.MutateOperationInsert, Value: []string{"the_bridge"}})
		},
	)
	return create, err
}

// updateBridge returns the operations that take an existing bridge to its spec; none when it is right.
func updateBridge(c client.Client, b bridgeRow, spec BridgeSpec) ([]ovsdb.Operation, error) {
	next := b
	var changed []any
	if spec.Datapath != "" && b.DatapathType != string(spec.Datapath) && (b.DatapathType != "" || spec.Datapath != System) {
		next.DatapathType = string(spec.Datapath)
		changed = append(changed, &next.DatapathType)
	}
	if mode := spec.failMode(); deref(b.FailMode) != mode {
		next.FailMode = &mode
		changed = append(changed, &next.FailMode)
	}
	for _, p := range wantedProtocols {
		if !slices.Contains(next.Protocols, p) {
			next.Protocols = append(slices.Clone(next.Protocols), p)
		}
	}
	if len(next.Protocols) != len(b.Protocols) {
		changed = append(changed, &next.Protocols)
	}
	if merged := merge(b.OtherConfig, spec.OtherConfig); !maps.Equal(merged, b.OtherConfig) {
		next.OtherConfig = merged
		changed = append(changed, &next.OtherConfig)
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return c.Where(&next).Update(&next, changed...)
}

// AddPort adds a port to the bridge, or changes what differs from the spec when it is there already; its number stays
// then. A port of that name on another bridge is an error.
func (d *DB) AddPort(ctx context.Context, spec PortSpec) error {
	return d.transact(ctx, &change{what: "add port " + spec.Name, about: spec.Name, build: func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error) {
		b, ok := r.bridge(d.cfg.Bridge)
		if !ok {
			return nil, fmt.Errorf("there is no bridge %s yet", d.cfg.Bridge)
		}
		_, bridge, ok := r.port(spec.Name)
		if ok && bridge != d.cfg.Bridge {
			return nil, fmt.Errorf("it is a port of bridge %s: remove it there, or choose another name", bridge)
		}
		if ok {
			return updateInterface(c, r, spec)
		}
		return joinOps(
			func() ([]ovsdb.Operation, error) {
				return c.Create(&interfaceRow{
					UUID: "new_interface" + suffix, Name: spec.Name, Type: spec.Type, Options: spec.Options, ExternalIDs: spec.ExternalIDs, OFPortRequest: number(spec.Number),
				})
			},
			func() ([]ovsdb.Operation, error) {
				return c.Create(&portRow{UUID: "new_port" + suffix, Name: spec.Name, Interfaces: []string{"new_interface" + suffix}})
			},
			func() ([]ovsdb.Operation, error) {
				return c.Where(&b).Mutate(&b, model.Mutation{Field: &b.Ports, Mutator: ovsdb.MutateOperationInsert, Value: []string{"new_port" + suffix}})
			},
		)
	}})
}

// number returns a port's number as the optional column holds it.
func number(n uint32) *int {
	if n == 0 {
		return nil
	}
	i := int(n)
	return &i
}

// updateInterface returns the operations that take an existing port's interface to its spec.
func updateInterface(c client.Client, r rows, spec PortSpec) ([]ovsdb.Operation, error) {
	i, ok := r.interfaceNamed(spec.Name)
	if !ok {
		return nil, fmt.Errorf("port %s has no interface of its name: a bond can't be used here", spec.Name)
	}
	next := i
	var changed []any
	if i.Type != spec.Type {
		next.Type = spec.Type
		changed = append(changed, &next.Type)
	}
	if !maps.Equal(i.Options, spec.Options) {
		next.Options = spec.Options
		changed = append(changed, &next.Options)
	}
	if merged := merge(i.ExternalIDs, spec.ExternalIDs); !maps.Equal(merged, i.ExternalIDs) {
		next.ExternalIDs = merged
		changed = append(changed, &next.ExternalIDs)
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return c.Where(&next).Update(&next, changed...)
}

// SetExternalIDs sets keys of an interface's external_ids and removes those whose value is empty; other keys
// stay. An interface that is not there is left alone.
func (d *DB) SetExternalIDs(ctx context.Context, name string, ids map[string]string) error {
	return d.transact(ctx, &change{what: "set external_ids of " + name, about: name, build: func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error) {
		i, ok := r.interfaceNamed(name)
		if !ok {
			return nil, nil
		}
		next := merge(i.ExternalIDs, ids)
		maps.DeleteFunc(next, func(_, v string) bool { return v == "" })
		if maps.Equal(next, i.ExternalIDs) {
			return nil, nil
		}
		i.ExternalIDs = next
		return c.Where(&i).Update(&i, &i.ExternalIDs)
	}})
}

// DeletePort removes a port of the bridge; its interface goes with it.
func (d *DB) DeletePort(ctx context.Context, name string) error {
	return d.transact(ctx, &change{what: "delete port " + name, about: name, build: func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error) {
		b, ok := r.bridge(d.cfg.Bridge)
		if !ok {
			return nil, nil
		}
		p, bridge, ok := r.port(name)
		if !ok || bridge != d.cfg.Bridge {
			return nil, nil
		}
		return c.Where(&b).Mutate(&b, model.Mutation{Field: &b.Ports, Mutator: ovsdb.MutateOperationDelete, Value: []string{p.UUID}})
	}})
}

// joinOps concatenates operations, and stops at the first error.
func joinOps(parts ...func() ([]ovsdb.Operation, error)) (all []ovsdb.Operation, err error) {
	for _, part := range parts {
		ops, err := part()
		if err != nil {
			return nil, err
		}
		all = append(all, ops...)
	}
	return all, nil
}

// merge returns base with the keys of over set; both stay as they are.
func merge(base, over map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}
