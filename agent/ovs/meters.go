package ovs

import (
	"context"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// EnsureMeters makes meters as they must be: those that are missing or otherwise are changed, the rest stand. It returns the
// numbers of those that were missing. The switch looks a meter up when it takes a flow that names it: a flow that was there
// before its meter works without one.
func (f *Flows) EnsureMeters(ctx context.Context, want []openflow.MeterDesc) (missing []uint32, err error) {
	have, err := f.conn.Meters(ctx)
	if err != nil {
		return nil, err
	}
	var mods []openflow.Mod
	for _, w := range want {
		i := slices.IndexFunc(have, func(m openflow.MeterDesc) bool { return m.ID == w.ID })
		switch {
		case i < 0:
			mods, missing = append(mods, openflow.MeterMod{Command: openflow.Add, Meter: w}), append(missing, w.ID)
		case have[i] != w:
			mods = append(mods, openflow.MeterMod{Command: openflow.Modify, Meter: w})
		}
	}
	if len(mods) == 0 {
		return nil, nil
	}
	return missing, f.conn.Bundle(ctx, mods)
}

// MeterStats returns the counters of all meters.
func (f *Flows) MeterStats(ctx context.Context) ([]openflow.MeterStats, error) {
	return f.conn.MeterStats(ctx)
}

// MeterStats implements the contract of Flows.MeterStats: the fake's meters see nothing.
func (f *FakeFlows) MeterStats(ctx context.Context) ([]openflow.MeterStats, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return nil, f.open(ctx)
}

// EnsureMeters implements the contract of Flows.EnsureMeters.
func (f *FakeFlows) EnsureMeters(ctx context.Context, _ []openflow.MeterDesc) ([]uint32, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return nil, f.open(ctx)
}
