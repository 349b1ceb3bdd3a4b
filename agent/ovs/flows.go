package ovs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

// Flow is a flow of the switch and how many packets it has seen.
type Flow struct {
	openflow.Flow
	Packets uint64
	// Unreadable says why only table, priority and cookie of a flow are known: it holds what the fabric never writes.
	Unreadable string
}

// RefusedError says that the switch did not take a list of operations, of which then none took effect.
type RefusedError struct {
	Index int // of the operation that it refused; negative when it named none
	Err   error
}

// Error returns the switch's reason.
func (r *RefusedError) Error() string { return r.Err.Error() }

// Unwrap returns the switch's reason.
func (r *RefusedError) Unwrap() error { return r.Err }

// Dialer connects to the bridge's OpenFlow socket.
type Dialer struct {
	RunDir string // Open vSwitch's run directory
	Bridge string
}

// Connect makes a connection.
func (d Dialer) Connect(ctx context.Context) (*Flows, error) {
	conn, err := openflow.Dial(ctx, filepath.Join(d.RunDir, d.Bridge+".mgmt"))
	if err != nil {
		return nil, err
	}
	return &Flows{conn}, nil
}

// Flows is a connection to the bridge's OpenFlow socket.
type Flows struct {
	conn *openflow.Conn
}

// Ports returns the names of the switch's ports by their numbers.
func (f *Flows) Ports(ctx context.Context) (map[uint32]string, error) {
	ports, err := f.conn.PortDescs(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[uint32]string, len(ports))
	for _, p := range ports {
		out[p.Number] = p.Name
	}
	return out, nil
}

// PortChanges waits for ports of the switch to change, and returns the last change of each once packets go by it: the
// switch tells of a port before its flows can use it.
func (f *Flows) PortChanges(ctx context.Context) ([]openflow.PortChange, error) {
	changes, err := f.conn.PortChanges(ctx)
	if err != nil {
		return nil, err
	}
	return changes, f.conn.Barrier(ctx)
}

// Dump returns the flows of the switch in canonical form. Those that the fabric could not have written are told as
// unreadable.
func (f *Flows) Dump(ctx context.Context) ([]Flow, error) {
	stats, err := f.conn.DumpFlows(ctx, openflow.FlowFilter{Table: openflow.AllTables})
	foreign, err := foreignFlows(err)
	if err != nil {
		return nil, err
	}
	out := make([]Flow, len(stats), len(stats)+len(foreign))
	for i, s := range stats {
		out[i] = Flow{Flow: s.Canonical(), Packets: s.Packets}
	}
	return append(out, foreign...), nil
}

// foreignFlows returns the flows that a dump couldn't read, and the error if there is another.
func foreignFlows(err error) (out []Flow, other error) {
	all, ok := err.(interface{ Unwrap() []error }) // DumpFlows joins them itself
	if !ok {
		return nil, err
	}
	for _, e := range all.Unwrap() {
		var f *openflow.ForeignFlowError
		if !errors.As(e, &f) {
			return nil, err
		}
		out = append(out, Flow{Flow: openflow.Flow{Table: f.Table, Priority: f.Priority, Cookie: f.Cookie}, Unreadable: f.Error()})
	}
	return out, nil
}

// Apply makes all changes as one atomic, ordered bundle. When it returns nil the switch has confirmed them by a
// barrier. The error is a *RefusedError when the connection still works.
func (f *Flows) Apply(ctx context.Context, ops []dataplane.Op) error {
	mods := make([]openflow.Mod, len(ops))
	for i, op := range ops {
		mod := openflow.FlowMod{Flow: op.Flow}
		switch op.Kind {
		case dataplane.Add:
			mod.Command = openflow.Add
		case dataplane.Delete:
			mod.Command = openflow.DeleteStrict
		case dataplane.Sweep:
			mod.Command, mod.CookieMask = openflow.Delete, ^uint64(0)
		default:
			return &RefusedError{Index: i, Err: fmt.Errorf("operation %d has no kind", i)}
		}
		mods[i] = mod
	}
	if err := f.conn.Bundle(ctx, mods); err != nil {
		var refused *openflow.BundleError
		switch {
		case errors.As(err, &refused):
			return &RefusedError{Index: refused.Index, Err: refused}
		case f.conn.Err() != nil || ctx.Err() != nil:
			return err
		}
		return &RefusedError{Index: -1, Err: err}
	}
	return f.conn.Barrier(ctx)
}

// Forget removes connections from the switch's tracker.
func (f *Flows) Forget(ctx context.Context, which []openflow.Connections) error {
	return f.conn.FlushConnections(ctx, which)
}

// Done is closed when the connection has ended.
func (f *Flows) Done() <-chan struct{} { return f.conn.Done() }

// Close ends the connection.
func (f *Flows) Close() error { return f.conn.Close() }
