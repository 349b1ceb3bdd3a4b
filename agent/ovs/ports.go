package ovs

import (
	"context"
	"fmt"

	"github.com/weftfabric/weft/wire/openflow"
)

// RestorePorts clears, at the ports that it is asked about, what somebody has set over OpenFlow to keep packets away from
// them: no flow says that. It returns what was cleared, in words.
func (f *Flows) RestorePorts(ctx context.Context, ours func(name string) bool) ([]string, error) {
	ports, err := f.conn.PortDescs(ctx)
	if err != nil {
		return nil, err
	}
	const away = openflow.PortNoReceive | openflow.PortNoForward | openflow.PortNoPacketIn
	var out []string
	for _, p := range ports {
		set := p.Settings & away
		if set == 0 || !ours(p.Name) {
			continue
		}
		if err := f.conn.ClearPort(ctx, openflow.PortMod{Number: p.Number, MAC: p.MAC, Clear: set}); err != nil {
			return out, err
		}
		out = append(out, fmt.Sprintf("%s of port %d (%s)", set, p.Number, p.Name))
	}
	return out, nil
}

// RestorePorts implements the contract of Flows.RestorePorts: nobody sets anything about the ports of a FakeSwitch.
func (f *FakeFlows) RestorePorts(ctx context.Context, _ func(name string) bool) ([]string, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return nil, f.open(ctx)
}
