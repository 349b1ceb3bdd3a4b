package agent

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// The flow log: the switch copies first packets of connections, the agent says what they are and writes it down. Nothing
// that goes wrong here has a say in what becomes of the packets.

// What records can be lost by.
const (
	lostBySwitch = "switch" // its meter
	lostByAgent  = "agent"  // its own limit
	lostByFile   = "file"   // that couldn't be written
)

// logCopy writes a record of a packet that the switch has copied, unless one like it was just written.
func (a *Agent) logCopy(ctx context.Context, l *flowlog.Limiter, q ovs.Question) error {
	packet, err := flowlog.ParsePacket(q.Packet)
	if err != nil {
		return err
	}
	now := time.Now()
	found, err := ask(ctx, a, func(s *state) (*flowlog.Record, error) {
		r, wanted := s.flowRecord(q, packet)
		if !wanted {
			return nil, nil
		}
		return &r, nil
	})
	if err != nil || found == nil {
		return err
	}
	record := *found
	kind := flowlog.Kind{
		Reason: record.Reason, Src: packet.Src, Dst: packet.Dst, Protocol: packet.Protocol,
		SrcPort: packet.SrcPort, DstPort: packet.DstPort, Type: packet.Type, Code: packet.Code,
	}
	if record.Rule != nil {
		kind.Rule = record.Rule.ID
	}
	switch decision, repeated := l.Allow(kind, now); decision {
	case flowlog.Limited:
		a.limited.Add(1)
	case flowlog.Write:
		record.Time, record.Repeated = now, repeated
		a.writeRecord(record)
	}
	return nil
}

// writeRecord appends a record to the log. What can't be written is counted, and said once.
func (a *Agent) writeRecord(r flowlog.Record) {
	if a.connections == nil {
		return
	}
	if err := a.connections.Write(r); err != nil {
		if a.unwritten.Add(1) == 1 {
			a.cfg.Logger.Error("can't write the flow log", "file", a.cfg.FlowLog, "error", err)
		}
	}
}

// noteLimited writes how many records were lost since the last time, and returns the meter's count.
func (a *Agent) noteLimited(ctx context.Context, conn Flows, before uint64) uint64 {
	meterCtx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	dropped, err := conn.MeterDropped(meterCtx, pipeline.LogMeter)
	if err != nil || dropped < before {
		before = dropped // the meter has begun anew
	}
	lost := map[string]uint64{lostBySwitch: dropped - before, lostByAgent: a.limited.Swap(0), lostByFile: a.unwritten.Swap(0)}
	maps.DeleteFunc(lost, func(_ string, n uint64) bool { return n == 0 })
	if len(lost) > 0 {
		a.writeRecord(flowlog.Record{Time: time.Now(), Node: string(a.cfg.Node), Limited: lost})
	}
	return dropped
}

// flowRecord says what a copied packet is. It reports false for one that nobody wants to know of: the switch picked a rule
// beside the one that decides, which isn't logged.
func (s *state) flowRecord(q ovs.Question, packet flowlog.Packet) (flowlog.Record, bool) {
	c, ok := pipeline.CopyOf(q.Cookie, q.Metadata)
	if !ok {
		return flowlog.Record{}, false
	}
	r := flowlog.Record{
		Node: string(s.node), Protocol: flowlog.ProtocolName(packet.Protocol),
		Src: s.flowEnd(c.SrcNetwork, c.SrcIdentity, packet.Src, packet.SrcPort), Dst: s.flowEnd(c.DstNetwork, c.DstIdentity, packet.Dst, packet.DstPort),
	}
	if packet.Protocol == firewall.ICMP || packet.Protocol == firewall.ICMPv6 {
		r.ICMP = &flowlog.ICMP{Type: packet.Type, Code: packet.Code}
	}
	if c.Drop != 0 {
		r.Verdict, r.Reason = flowlog.ActionName(firewall.Deny), c.Drop.String()
		return r, true
	}
	p := firewall.Packet{
		Src:      firewall.Endpoint{Network: c.SrcNetwork, Identity: c.SrcIdentity, Addr: packet.Src},
		Dst:      firewall.Endpoint{Network: c.DstNetwork, Identity: c.DstIdentity, Addr: packet.Dst},
		Protocol: packet.Protocol, DstPort: packet.DstPort, Type: packet.Type, Code: packet.Code,
	}
	rule := s.decidingRule(c, p)
	if rule == nil || !rule.Log {
		return flowlog.Record{}, false
	}
	r.Direction = flowlog.DirectionName(rule.Direction)
	r.Rule = &flowlog.Rule{
		ID: rule.ID, Policy: rule.Origin.Policy, Name: rule.Origin.Rule, Action: flowlog.ActionName(rule.Action), File: rule.Origin.File, Line: rule.Origin.Line,
	}
	denied := rule
	switch {
	case rule.Action == firewall.Deny:
	case rule.Action == firewall.Allow && rule.Direction == firewall.Ingress:
		denied = nil
	default: // the rest of policy decides
		v := firewall.Decide(s.index.tables, p)
		if denied = v.Egress; v.Ingress != nil {
			denied = v.Ingress
		}
		if v.Allowed {
			denied = nil
		}
	}
	r.Verdict = flowlog.ActionName(firewall.Allow)
	if denied != nil {
		r.Verdict, r.Reason = flowlog.ActionName(firewall.Deny), denyReason(denied).String()
	}
	return r, true
}

// denyReason is the reason of the drop that a denying rule causes.
func denyReason(r *firewall.Rule) pipeline.Reason {
	if r.Tier == firewall.Posture {
		return pipeline.DropPostureDeny
	}
	return pipeline.DropPolicyDeny
}

// decidingRule returns the rule that decides about a packet where the switch found the one that it names. Of neighbours
// that do the same the switch may have found another one than the first; and the plan may have changed since.
func (s *state) decidingRule(c pipeline.Copy, p firewall.Packet) *firewall.Rule {
	var named *firewall.Rule
	rules := s.index.tables[c.Network].Rules
	for i := range rules {
		if rules[i].ID == c.Rule && rules[i].Direction == c.Direction {
			named = &rules[i]
		}
	}
	if named == nil {
		return nil
	}
	for _, step := range firewall.Explain(s.index.tables, p) {
		if step.Rule != nil && step.Direction == named.Direction && step.Tier == named.Tier && step.Rule.Action == named.Action {
			return step.Rule
		}
	}
	return named
}

// flowEnd says who an end is.
func (s *state) flowEnd(n fabric.NetworkID, id fabric.Identity, addr netip.Addr, port uint16) *flowlog.End {
	e := &flowlog.End{Address: addr, Port: port, Identity: id}
	if n != 0 {
		e.Network = s.index.refs[n].String()
	}
	e.Labels = s.index.labels[id]
	if at, ok := s.attachedAt(n, addr); ok {
		e.Workload = at.Name
		if !at.Port.IsZero() {
			e.Workload = at.Port.String()
		}
	}
	return e
}

// attachedAt returns the workload of this node that has an address.
func (s *state) attachedAt(n fabric.NetworkID, addr netip.Addr) (attachment, bool) {
	for name, at := range s.flows.enforced {
		if at.Network != n {
			continue
		}
		for _, own := range at.Addresses {
			if own == addr {
				return s.attachments[name], true
			}
		}
	}
	return attachment{}, false
}
