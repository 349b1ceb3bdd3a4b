package ovs

import (
	"context"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// EnsureMeters makes meters as they must be: those that are missing or otherwise are changed, the rest stand.
func (f *Flows) EnsureMeters(ctx context.Context, want []openflow.MeterDesc) error {
	have, err := f.conn.Meters(ctx)
	if err != nil {
		return err
	}
	var mods []openflow.Mod
	for _, w := range want {
		i := slices.IndexFunc(have, func(m openflow.MeterDesc) bool { return m.ID == w.ID })
		switch {
		case i < 0:
			mods = append(mods, openflow.MeterMod{Command: openflow.Add, Meter: w})
		case have[i] != w:
			mods = append(mods, openflow.MeterMod{Command: openflow.Modify, Meter: w})
		}
	}
	if len(mods) == 0 {
		return nil
	}
	return f.conn.Bundle(ctx, mods)
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
func (f *FakeFlows) EnsureMeters(ctx context.Context, _ []openflow.MeterDesc) error {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return f.open(ctx)
}
