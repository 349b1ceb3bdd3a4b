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

// RestoreFragments has the switch treat fragments as the flows expect it: like other packets, as a switch does by default. It
// returns what it was set to, in words; nothing if it was that.
func (f *Flows) RestoreFragments(ctx context.Context) (string, error) {
	was, err := f.conn.Fragments(ctx)
	if err != nil || was == openflow.FragmentsNormal {
		return "", err
	}
	return fmt.Sprintf("fragment mode %s of the bridge", was), f.conn.SetFragments(ctx, openflow.FragmentsNormal)
}

// RestoreFragments implements the contract of Flows.RestoreFragments: nobody sets anything about a FakeSwitch.
func (f *FakeFlows) RestoreFragments(ctx context.Context) (string, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return "", f.open(ctx)
}
