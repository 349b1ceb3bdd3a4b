package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// The record of an attachment in an interface's external_ids (docs/invariants.md).
const (
	recordKind      = "weft-kind"
	recordPort      = "weft-port"
	recordNetwork   = "weft-network"
	recordAddresses = "weft-addresses"
	recordMAC       = "attached-mac"
	recordStatus    = "iface-status"
)

// askIPAM asks the nodes that are connected what their switches hold, a few at a time: their flows are not kept.
func (a *app) askIPAM(ctx context.Context, client *apiclient.Client, nodes []*weftv1.NodeInfo) (map[string]*nodeReading, error) {
	var names []string
	for _, n := range sortedNodes(nodes) {
		if n.GetConnected() {
			names = append(names, n.GetName())
		}
	}
	out := make(map[string]*nodeReading, len(names))
	for batch := range slices.Chunk(names, verifyBatch) {
		told, err := a.inspectSettled(ctx, client, batch)
		if err != nil {
			return nil, err
		}
		for name, r := range told {
			out[name] = &nodeReading{err: r.err, state: r.state, ports: r.ports}
		}
	}
	return out, nil
}

// records returns what the database of a switch says is attached, by interface.
func (r *nodeReading) records() map[string]*weftv1.Attachment {
	out := map[string]*weftv1.Attachment{}
	for _, p := range r.ports {
		ids := p.GetExternalIds()
		if ids[recordKind] == "" || ids[recordStatus] == "inactive" {
			continue
		}
		at := &weftv1.Attachment{Interface: p.GetName(), Network: ids[recordNetwork], Port: ids[recordPort], Mac: strings.ToLower(ids[recordMAC])}
		if text := ids[recordAddresses]; text != "" {
			at.Addresses = strings.Split(text, ",")
		}
		out[at.Interface] = at
	}
	return out
}

// checkSwitch compares what a node's agent reports with what its switch holds.
func (c *ipamCheck) checkSwitch(n *weftv1.NodeInfo, r *nodeReading) {
	name := n.GetName()
	if r == nil || r.err != "" || r.state == nil {
		reason := "it was not asked"
		if r != nil {
			reason = r.err
		}
		c.find(name, "switch", "see 'weft status'; if the node is busy, run this again", "what its switch holds is not known: %s", reason)
		return
	}
	c.report.Switches++
	for _, flow := range r.state.GetUnreadable() {
		c.find(name, "switch", "restart the agent: it removes what is not its own", "a flow holds what the fabric never writes: %s", flow)
	}
	const again = "run this again; if it stays, see the agent's log, and attach the workload again"
	records := r.records()
	for _, at := range n.GetReport().GetAttachments() {
		record, there := records[at.GetInterface()]
		delete(records, at.GetInterface())
		switch {
		case !there:
			c.find(name, at.GetInterface(), again, "the agent reports it, and the switch has no record of it")
		case record.Port != at.GetPort(), record.Network != at.GetNetwork() && record.Port == "":
			c.find(name, at.GetInterface(), again, "the switch has it in network %q with Port %q, and the agent reports network %q and Port %q",
				record.Network, record.Port, at.GetNetwork(), at.GetPort())
		case len(c.fixed[record.Port]) > 0: // what the Port declares goes before the record
		case !sameTexts(record.Addresses, at.GetAddresses()):
			c.find(name, at.GetInterface(), again, "the switch has it with %s, and the agent reports %s", strings.Join(record.Addresses, ","), strings.Join(at.GetAddresses(), ","))
		case record.Port == "" && record.Mac != at.GetMac():
			c.find(name, at.GetInterface(), again, "the switch has it with MAC address %s, and the agent reports %s", record.Mac, at.GetMac())
		}
	}
	for iface, at := range records {
		c.find(name, iface, again, "the switch has a record of it in network %q with %s, and the agent reports nothing", at.Network, strings.Join(at.Addresses, ","))
	}
}
