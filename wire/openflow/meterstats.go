package openflow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// MeterStats are the counters of a meter: what it saw, and what of it was above the rate and dropped.
type MeterStats struct {
	ID              uint32
	Packets, Bytes  uint64
	Dropped, Excess uint64 // packets and bytes that the band dropped
}

// MeterStats returns the counters of all meters by number.
func (c *Conn) MeterStats(ctx context.Context) ([]MeterStats, error) {
	var out []MeterStats
	req := be.AppendUint32(be.AppendUint32(nil, allMeters), 0)
	err := c.multipart(ctx, mpMeter, req, func(cur *cursor) error {
		// struct ofp_meter_stats: meter(4) length(2) pad(6) flows(4) packets(8) bytes(8) duration(4+4) bands, each
		// packets(8) bytes(8)
		s := MeterStats{ID: cur.u32()}
		n := int(cur.u16())
		body := cursor{b: cur.take(n - 6)}
		body.skip(6 + 4)
		s.Packets, s.Bytes = body.u64(), body.u64()
		body.skip(8)
		if len(body.b) > 0 {
			s.Dropped, s.Excess = body.u64(), body.u64()
		}
		out = append(out, s)
		return body.err()
	})
	if err != nil {
		return nil, fmt.Errorf("openflow: meter counters: %w", err)
	}
	slices.SortFunc(out, func(a, b MeterStats) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}
