package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// switches asks nodes what their switches would do with packets.
type switches struct {
	client *apiclient.Client
	in     audited
	rules  map[uint32]audit.RuleRef
	vteps  map[string]netip.Addr
	ports  map[string]map[string]uint32 // by node and interface; "" is the tunnel
	failed map[string]string            // why a node's ports are unknown
}

// askSwitches adds to each explanation what the switches say about its packet. What can't be asked is said.
func (a *app) askSwitches(cmd *cobra.Command, in audited, why *audit.Why) error {
	client, err := a.dial(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	rules, err := audit.RulesOf(in.intent, in.workloads)
	if err != nil {
		return err
	}
	s := &switches{client: client, in: in, rules: rules, ports: make(map[string]map[string]uint32), failed: make(map[string]string)}
	if err := s.readNodes(ctx); err != nil {
		return explain(a.server(), err)
	}
	for i := range why.Explanations {
		x := &why.Explanations[i]
		if x.Witness == nil {
			continue
		}
		if x.Switches, err = s.follow(ctx, *x); err != nil {
			return explain(a.server(), err)
		}
	}
	return nil
}

func (s *switches) readNodes(ctx context.Context) error {
	res, err := s.client.Intent.ListNodes(ctx, connect.NewRequest(&weftv1.ListNodesRequest{}))
	if err != nil {
		return err
	}
	s.vteps = make(map[string]netip.Addr)
	for _, n := range res.Msg.GetNodes() {
		if addr, err := netip.ParseAddr(n.GetVtep()); err == nil {
			s.vteps[n.GetName()] = addr
		}
	}
	return nil
}

// follow asks the node of the source, and, if the packet leaves it for another, that one.
func (s *switches) follow(ctx context.Context, x audit.Explanation) ([]audit.Crossing, error) {
	attachments := s.in.state.Attachments()
	from, ok := placeOf(attachments, x.FromNetwork, x.Witness.Source)
	if !ok {
		return []audit.Crossing{{Outcome: audit.NotAsked, Reason: fmt.Sprintf("no attached workload of %s has the address %s", x.FromNetwork, x.Witness.Source)}}, nil
	}
	to, ok := placeOf(attachments, x.ToNetwork, x.Witness.Destination)
	if !ok {
		return []audit.Crossing{{Outcome: audit.NotAsked, Reason: fmt.Sprintf("no attached workload of %s has the address %s", x.ToNetwork, x.Witness.Destination)}}, nil
	}
	if err := s.readPorts(ctx, from.Node, to.Node); err != nil {
		return nil, err
	}
	flow, err := flowText(*x.Witness)
	if err != nil {
		return nil, err
	}
	router := s.in.intent.Settings().VirtualMAC.String()
	first := linkText{port: s.ports[from.Node][from.Interface], src: from.MAC, dst: router}
	remote := from.Node != to.Node
	c, err := s.trace(ctx, crossingAt{node: from.Node, link: first, flow: flow, remote: remote})
	if err != nil || c.Outcome != audit.Forwarded {
		return []audit.Crossing{c}, err
	}
	second := linkText{port: s.ports[to.Node][""], src: router, dst: router, tunnel: true, identity: from.Identity, vtepSrc: s.vteps[from.Node], vtepDst: s.vteps[to.Node]}
	d, err := s.trace(ctx, crossingAt{node: to.Node, link: second, flow: flow})
	return []audit.Crossing{c, d}, err
}

// readPorts asks nodes for the numbers of their ports, once.
func (s *switches) readPorts(ctx context.Context, nodes ...string) error {
	nodes = slices.DeleteFunc(slices.Compact(nodes), func(n string) bool { return s.ports[n] != nil })
	if len(nodes) == 0 {
		return nil
	}
	for _, n := range nodes {
		s.ports[n] = make(map[string]uint32)
	}
	stream, err := s.client.Observe.Inspect(ctx, connect.NewRequest(&weftv1.InspectRequest{Nodes: nodes}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // everything has been read
	for stream.Receive() {
		res := stream.Msg()
		ports := s.ports[res.GetNode()]
		if ports == nil {
			continue // nobody asked for it
		}
		if st := res.GetPart().GetState(); st != nil {
			ports[""] = st.GetTunnelPort()
		}
		for _, p := range res.GetPart().GetPorts() {
			ports[p.GetName()] = p.GetOfport()
		}
		if res.GetError() != "" {
			s.failed[res.GetNode()] = res.GetError()
		}
	}
	return stream.Err()
}

// crossingAt is a packet at a node.
type crossingAt struct {
	node, flow string
	link       linkText
	remote     bool // its destination is on another node
}

func (s *switches) trace(ctx context.Context, at crossingAt) (audit.Crossing, error) {
	c := audit.Crossing{Node: at.node, Outcome: audit.NotAsked}
	switch {
	case s.failed[at.node] != "":
		c.Reason = s.failed[at.node]
		return c, nil
	case at.link.port == 0:
		c.Reason = "its switch has no such port now"
		return c, nil
	}
	c.Packet = at.link.String() + at.flow
	stream, err := s.client.Observe.Trace(ctx, connect.NewRequest(&weftv1.TraceRequest{
		Node: at.node, Packets: []*weftv1.TracePacket{{Packet: c.Packet, CtNext: []string{"trk,new", "trk,new"}}},
	}))
	if err != nil {
		return c, err
	}
	defer func() { _ = stream.Close() }() // everything has been read
	text := ""
	for stream.Receive() {
		text += stream.Msg().GetPart().GetText()
		if e := stream.Msg().GetError(); e != "" {
			c.Reason = e
		}
	}
	switch err := stream.Err(); {
	case err != nil:
		return c, err
	case c.Reason == "" && text == "":
		return c, errors.New("node " + at.node + " answered nothing")
	case c.Reason != "":
		return c, nil
	}
	return readTrace(text).crossing(c, at.remote, s.rules), nil
}
