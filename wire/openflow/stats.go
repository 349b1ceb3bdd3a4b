package openflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftfabric/weft/fabric"
)

// FlowFilter selects flows. The zero FlowFilter selects table 0; use AllTables for every table. Cookie
// counts in the bits of CookieMask.
type FlowFilter struct {
	Table              uint8
	Cookie, CookieMask uint64
}

// FlowStats is a flow of the switch with its counters.
type FlowStats struct {
	Flow
	Packets, Bytes uint64
	Duration       time.Duration // since the flow was added
}

// ForeignFlowError says that the switch has a flow that this package has no types for. Its match and actions
// are unknown; table, priority and cookie are those given.
type ForeignFlowError struct {
	Table    uint8
	Priority uint16
	Cookie   uint64
	Err      error
}

// Error names the flow and what isn't supported about it.
func (e *ForeignFlowError) Error() string {
	return fmt.Sprintf("flow in table %d with priority %d and cookie 0x%x: %v", e.Table, e.Priority, e.Cookie, e.Err)
}

// Unwrap returns the reason.
func (e *ForeignFlowError) Unwrap() error { return e.Err }

// DumpFlows returns the flows that the filter selects, in the order of table, falling priority and match.
// Flows that can't be read are left out, and reported by errors of type *ForeignFlowError joined; the flows
// that are returned with such an error are right, but not all.
func (c *Conn) DumpFlows(ctx context.Context, filter FlowFilter) ([]FlowStats, error) {
	// struct ofp_flow_stats_request: table(1) pad(3) out_port(4) out_group(4) pad(4) cookie(8) mask(8) match
	req := []byte{filter.Table, 0, 0, 0}
	req = be.AppendUint32(be.AppendUint32(be.AppendUint32(req, PortAny), anyGroup), 0)
	req = be.AppendUint64(be.AppendUint64(req, filter.Cookie), filter.CookieMask)
	req, err := appendMatch(req, nil)
	if err != nil {
		return nil, err
	}
	var out []FlowStats
	var foreign []error
	err = c.multipart(ctx, mpFlow, req, func(cur *cursor) error {
		s, err := cur.flowStats()
		if f := (*ForeignFlowError)(nil); errors.As(err, &f) {
			foreign = append(foreign, err)
			return nil
		}
		out = append(out, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: dump flows: %w", err)
	}
	slices.SortStableFunc(out, func(a, b FlowStats) int { return a.Compare(b.Flow) })
	return out, errors.Join(foreign...)
}

// flowStats reads struct ofp_flow_desc: length(2) pad(2) table(1) pad(1) priority(2) idle(2) hard(2) flags(2)
// importance(2) cookie(8) match stats instructions.
func (c *cursor) flowStats() (FlowStats, error) {
	n := int(c.u16())
	body := cursor{b: c.take(n - 2)}
	var s FlowStats
	body.skip(2)
	s.Table = body.u8()
	body.skip(1)
	s.Priority, s.IdleTimeout, s.HardTimeout = body.u16(), body.u16(), body.u16()
	body.skip(4)
	s.Cookie = body.u64()
	if c.bad || body.bad {
		return s, errShort
	}
	foreign := func(err error) error { return &ForeignFlowError{s.Table, s.Priority, s.Cookie, err} }
	var err error
	if s.Match, err = body.match(); err != nil {
		return s, foreign(err)
	}
	if err = body.oxs(&s); err != nil {
		return s, foreign(err)
	}
	if s.Actions, err = body.instructions(); err != nil {
		return s, foreign(err)
	}
	return s, nil
}

// Fields of struct ofp_stats (OpenFlow 1.5.1, section 7.2.4).
const (
	classOXS   = 0x8002
	oxsTime    = 0
	oxsPackets = 4
	oxsBytes   = 5
)

// oxs reads struct ofp_stats: reserved(2) length(2) fields, each class(2) field(1) length(1) value, padding.
func (c *cursor) oxs(s *FlowStats) error {
	c.skip(2)
	n := int(c.u16())
	body := cursor{b: c.take(n - 4)}
	c.take(-n & 7)
	for len(body.b) > 0 && !body.bad && !c.bad {
		class, field, size := body.u16(), body.u8()>>1, int(body.u8())
		v := cursor{b: body.take(size)}
		switch {
		case class != classOXS:
		case field == oxsTime:
			s.Duration = time.Duration(v.u32())*time.Second + time.Duration(v.u32())
		case field == oxsPackets:
			s.Packets = v.u64()
		case field == oxsBytes:
			s.Bytes = v.u64()
		}
		if v.bad {
			return errShort
		}
	}
	return errors.Join(c.err(), body.err())
}

// PortDesc is a port of the bridge.
type PortDesc struct {
	Number uint32
	Name   string
	MAC    fabric.MAC
	Up     bool // administratively, and its link
	// Settings are what was set about the port over OpenFlow.
	Settings PortSettings
}

// Port flags (OpenFlow 1.5.1, section 7.2.1).
const (
	portConfigDown = 1
	portStateDown  = 1
	portNameLen    = 16
)

// PortDescs returns the ports of the bridge by number.
func (c *Conn) PortDescs(ctx context.Context) ([]PortDesc, error) {
	var out []PortDesc
	req := be.AppendUint32(be.AppendUint32(nil, PortAny), 0)
	err := c.multipart(ctx, mpPortDesc, req, func(cur *cursor) error {
		p, err := cur.port()
		out = append(out, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: ports: %w", err)
	}
	slices.SortFunc(out, func(a, b PortDesc) int { return cmp.Compare(a.Number, b.Number) })
	return out, nil
}

// PortStats are the counters of a port, seen from the switch.
type PortStats struct {
	Number               uint32
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxDropped, TxDropped uint64
	RxErrors, TxErrors   uint64
	Duration             time.Duration
}

// PortStats returns the counters of all ports by number. A counter that the port doesn't have is 0.
func (c *Conn) PortStats(ctx context.Context) ([]PortStats, error) {
	var out []PortStats
	req := be.AppendUint32(be.AppendUint32(nil, PortAny), 0)
	err := c.multipart(ctx, mpPortStats, req, func(cur *cursor) error {
		// struct ofp_port_stats: length(2) pad(2) port(4) duration(4+4) then eight counters and properties
		n := int(cur.u16())
		body := cursor{b: cur.take(n - 2)}
		body.skip(2)
		p := PortStats{Number: body.u32()}
		p.Duration = time.Duration(body.u32())*time.Second + time.Duration(body.u32())
		for _, v := range []*uint64{&p.RxPackets, &p.TxPackets, &p.RxBytes, &p.TxBytes, &p.RxDropped, &p.TxDropped, &p.RxErrors, &p.TxErrors} {
			if *v = body.u64(); *v == ^uint64(0) {
				*v = 0
			}
		}
		out = append(out, p)
		return body.err()
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: port counters: %w", err)
	}
	slices.SortFunc(out, func(a, b PortStats) int { return cmp.Compare(a.Number, b.Number) })
	return out, nil
}

// TableStats are the counters of a table.
type TableStats struct {
	Table           uint8
	Flows           uint32
	Lookups, Misses uint64 // packets that were looked up, and those of them without a flow
}

// TableStats returns the counters of all tables that have flows or saw packets, by number.
func (c *Conn) TableStats(ctx context.Context) ([]TableStats, error) {
	var out []TableStats
	err := c.multipart(ctx, mpTable, nil, func(cur *cursor) error {
		// struct ofp_table_stats: table(1) pad(3) active(4) lookup(8) matched(8)
		t := TableStats{Table: cur.u8()}
		cur.skip(3)
		t.Flows, t.Lookups = cur.u32(), cur.u64()
		t.Misses = t.Lookups - cur.u64()
		if t.Flows > 0 || t.Lookups > 0 {
			out = append(out, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: table counters: %w", err)
	}
	slices.SortFunc(out, func(a, b TableStats) int { return cmp.Compare(a.Table, b.Table) })
	return out, nil
}

// Groups returns the groups of the bridge by number.
func (c *Conn) Groups(ctx context.Context) ([]GroupDesc, error) {
	var out []GroupDesc
	req := be.AppendUint32(be.AppendUint32(nil, allGroups), 0)
	err := c.multipart(ctx, mpGroupDesc, req, func(cur *cursor) error {
		g, err := cur.group()
		out = append(out, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: groups: %w", err)
	}
	slices.SortFunc(out, func(a, b GroupDesc) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// allGroups is the number of all groups in a request.
const allGroups = 0xfffffffc

// Meters returns the meters of the bridge by number.
func (c *Conn) Meters(ctx context.Context) ([]MeterDesc, error) {
	var out []MeterDesc
	req := be.AppendUint32(be.AppendUint32(nil, allMeters), 0)
	err := c.multipart(ctx, mpMeterConfig, req, func(cur *cursor) error {
		m, err := cur.meter()
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: meters: %w", err)
	}
	slices.SortFunc(out, func(a, b MeterDesc) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}
