package openflow

import (
	"context"
	"fmt"
)

// Flow monitoring (OpenFlow 1.5.1, section 7.3.5.20).
const (
	mpFlowMonitor = 16

	monitorAdd     = 1 << 1
	monitorRemoved = 1 << 2
	monitorModify  = 1 << 3

	eventAbbrev = 4 // of what came over this connection
)

// MonitorFlows has the switch tell when flows change by another hand than this connection's: FlowChanges receives then. It
// returns when the switch has agreed; Open vSwitch 3.1 does, older ones may not know it in OpenFlow 1.5.
func (c *Conn) MonitorFlows(ctx context.Context) error {
	// struct ofp_flow_monitor_request: id(4) out_port(4) out_group(4) flags(2) table(1) command(1) match
	req := be.AppendUint32(be.AppendUint32(be.AppendUint32(nil, 1), PortAny), anyGroup)
	req = be.AppendUint16(req, monitorAdd|monitorRemoved|monitorModify)
	req, err := appendMatch(append(req, AllTables, 0), nil)
	if err != nil {
		return err
	}
	err = c.multipart(ctx, mpFlowMonitor, req, func(cur *cursor) error { cur.take(len(cur.b)); return nil })
	if err != nil {
		return fmt.Errorf("openflow: monitor flows: %w", err)
	}
	return nil
}

// FlowChanges receives once, or more often, after others have changed flows, once MonitorFlows has returned.
func (c *Conn) FlowChanges() <-chan struct{} { return c.flowChanges }

// receiveFlowUpdates takes a multipart reply that nobody asked for: updates, each length(2) event(2) and more.
func (c *Conn) receiveFlowUpdates(body []byte) {
	if len(body) < multipartHead || be.Uint16(body) != mpFlowMonitor {
		return
	}
	cur := cursor{b: body[multipartHead:]}
	for len(cur.b) >= 4 && !cur.bad {
		n, event := int(cur.u16()), cur.u16()
		cur.take(n - 4)
		if event == eventAbbrev {
			continue
		}
		select {
		case c.flowChanges <- struct{}{}:
		default: // it has been told already
		}
	}
}
