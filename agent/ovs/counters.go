package ovs

import (
	"context"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// DumpTable returns the flows of one table. Flows that the fabric could not have written are left out.
func (f *Flows) DumpTable(ctx context.Context, table uint8) ([]Flow, error) {
	stats, err := f.conn.DumpFlows(ctx, openflow.FlowFilter{Table: table})
	if _, err := foreignFlows(err); err != nil {
		return nil, err
	}
	out := make([]Flow, len(stats))
	for i, s := range stats {
		out[i] = Flow{Flow: s.Flow, Packets: s.Packets}
	}
	return out, nil
}

// MeterDropped returns how many packets a meter has dropped.
func (f *Flows) MeterDropped(ctx context.Context, id uint32) (uint64, error) {
	stats, err := f.conn.MeterStats(ctx)
	if err != nil {
		return 0, err
	}
	if i := slices.IndexFunc(stats, func(s openflow.MeterStats) bool { return s.ID == id }); i >= 0 {
		return stats[i].Dropped, nil
	}
	return 0, nil
}

// DumpTable implements the contract of Flows.DumpTable.
func (f *FakeFlows) DumpTable(ctx context.Context, table uint8) ([]Flow, error) {
	f.sw.mu.Lock()
	err := f.open(ctx)
	f.sw.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(f.sw.Flows(), func(fl Flow) bool { return fl.Table != table }), nil
}

// MeterDropped implements the contract of Flows.MeterDropped: the fake's meters drop nothing.
func (f *FakeFlows) MeterDropped(ctx context.Context, _ uint32) (uint64, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return 0, f.open(ctx)
}
