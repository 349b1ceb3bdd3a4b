package ovs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftfabric/weft/wire/openflow"
)

// Tables is everything that a bridge holds, of whatever owner.
type Tables struct {
	Flows []openflow.Flow
	// Unreadable are flows that hold what the fabric never writes, in words.
	Unreadable []string
	Groups     []openflow.GroupDesc
	Meters     []openflow.MeterDesc
	Ports      map[uint32]string // names by number
	Fragments  openflow.Fragments
	At         time.Time // when the flows had been read
}

// Read reads everything that the bridge holds, on a connection of its own.
func (d Dialer) Read(ctx context.Context) (t Tables, err error) {
	f, err := d.Connect(ctx)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if t.Ports, err = f.Ports(ctx); err != nil {
		return t, err
	}
	if t.Groups, err = f.conn.Groups(ctx); err != nil {
		return t, err
	}
	if t.Meters, err = f.conn.Meters(ctx); err != nil {
		return t, err
	}
	if t.Fragments, err = f.conn.Fragments(ctx); err != nil {
		return t, err
	}
	stats, err := f.conn.DumpFlows(ctx, openflow.FlowFilter{Table: openflow.AllTables})
	t.At = time.Now()
	if t.Unreadable, err = unreadable(err); err != nil {
		return t, err
	}
	for _, s := range stats {
		t.Flows = append(t.Flows, s.Flow)
	}
	return t, nil
}

// unreadable returns the flows that a dump couldn't read, in order, and the error if there is another.
func unreadable(err error) ([]string, error) {
	all, ok := err.(interface{ Unwrap() []error }) // DumpFlows joins them itself
	if !ok {
		return nil, err
	}
	var out []string
	for _, e := range all.Unwrap() {
		var f *openflow.ForeignFlowError
		if !errors.As(e, &f) {
			return nil, err
		}
		out = append(out, fmt.Sprintf("table=%d, priority=%d, cookie=%#x: %v", f.Table, f.Priority, f.Cookie, f.Err))
	}
	slices.Sort(out)
	return out, nil
}
