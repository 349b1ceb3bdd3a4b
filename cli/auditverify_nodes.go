package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const (
	// verifyBatch is how many nodes are read before they are verified: what they tell is held in memory.
	verifyBatch = 8
	// A node that was changing when it was read is read again.
	verifyTries, verifyPause = 4, 500 * time.Millisecond
)

// verified is the outcome for several nodes, in the order of their names.
type verified struct {
	Nodes []verifiedNode `json:"nodes"`
}

// verifiedNode is the outcome for one node. One that can't be verified has an error and no report.
type verifiedNode struct {
	Node         string         `json:"node"`
	Error        string         `json:"error,omitempty"`
	PlanRevision uint64         `json:"planRevision,omitempty"`
	PlanHash     string         `json:"planHash,omitempty"` // SHA-256
	ReadAt       *time.Time     `json:"readAt,omitempty"`
	FlowsSHA256  string         `json:"flowsSha256,omitempty"`
	OVSVersion   string         `json:"ovsVersion,omitempty"`
	Notes        []string       `json:"notes,omitempty"`
	Report       *verify.Report `json:"report,omitempty"`
	Traces       []verifyTrace  `json:"traces,omitempty"`
}

// verifyTrace is what a switch says about the packet of a finding.
type verifyTrace struct {
	Finding int    `json:"finding"` // its place in the report
	Shown   string `json:"shown"`   // "yes", "no", or "not by a trace"
	Text    string `json:"text"`
}

// outcome is the exit code.
func (v verified) outcome() error {
	unasked := false
	for _, n := range v.Nodes {
		if n.Report != nil && len(n.Report.Findings) > 0 {
			return reported(ExitRefused)
		}
		unasked = unasked || n.Error != ""
	}
	if unasked {
		return reported(ExitUnreachable)
	}
	return nil
}

// verifyNodes reads and verifies nodes; without names, all.
func (a *app) verifyNodes(cmd *cobra.Command, names []string, trace bool) (verified, error) {
	out := verified{Nodes: []verifiedNode{}}
	client, err := a.dial(cmd)
	if err != nil {
		return out, err
	}
	defer client.Close()
	if len(names) == 0 {
		list, err := call(cmd.Context(), a, client.Intent.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return out, err
		}
		for _, n := range list.Nodes {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	for batch := range slices.Chunk(slices.Compact(names), verifyBatch) {
		told, err := a.inspectSettled(cmd.Context(), client, batch)
		if err != nil {
			return out, err
		}
		for _, n := range batch {
			v := told[n].verify(n)
			if trace && v.Report != nil {
				if err := a.traceFindings(cmd.Context(), client, &v); err != nil {
					return out, err
				}
			}
			out.Nodes = append(out.Nodes, v)
		}
	}
	return out, nil
}

// nodeReading is what a node told of itself and its switch.
type nodeReading struct {
	err      string
	state    *weftv1.InspectState
	entries  []*weftv1.PlanEntry
	ports    []*weftv1.InspectPort
	flows    []byte
	meters   []byte
	bridge   *weftv1.InspectBridge
	expected *weftv1.InspectExpected
}

// moving reports whether the node was changing when it was read, so that another look may tell more.
func (i *nodeReading) moving() bool {
	return i.err == "" && (!i.state.GetSettled() || !bytes.Equal(i.state.GetPlanHash(), i.expected.GetPlanHash()))
}

// inspectSettled reads nodes, those that are changing again.
func (a *app) inspectSettled(ctx context.Context, client *apiclient.Client, names []string) (map[string]*nodeReading, error) {
	out, err := a.inspect(ctx, client, names)
	for try := 1; err == nil && try < verifyTries; try++ {
		again := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !out[n].moving() })
		if len(again) == 0 {
			break
		}
		select {
		case <-time.After(verifyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var newer map[string]*nodeReading
		newer, err = a.inspect(ctx, client, again)
		for n, i := range newer {
			out[n] = i
		}
	}
	return out, err
}

// inspect reads nodes.
func (a *app) inspect(ctx context.Context, client *apiclient.Client, names []string) (map[string]*nodeReading, error) {
	stream, err := client.Observe.Inspect(ctx, connect.NewRequest(&weftv1.InspectRequest{Nodes: names}))
	if err != nil {
		return nil, explain(a.server(), err)
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	out := make(map[string]*nodeReading, len(names))
	for _, n := range names {
		out[n] = &nodeReading{err: "the controller said nothing about it"}
	}
	for stream.Receive() {
		m := stream.Msg()
		i := out[m.Node]
		if i == nil {
			return nil, refused("the controller tells of node %s, which was not asked for", m.Node)
		}
		if p := m.Part; p != nil {
			if p.State != nil {
				i.state, i.bridge = p.State, p.Bridge
			}
			i.meters = append(i.meters, p.Meters...)
			i.entries, i.ports, i.flows = append(i.entries, p.Plan...), append(i.ports, p.Ports...), append(i.flows, p.Flows...)
		}
		if m.Last {
			i.err, i.expected = m.Error, m.Expected
		}
	}
	if err := stream.Err(); err != nil {
		return nil, explain(a.server(), err)
	}
	return out, nil
}

// verify verifies one node.
func (i *nodeReading) verify(name string) verifiedNode {
	out := verifiedNode{Node: name, Error: i.err}
	if out.Error == "" && i.state == nil {
		out.Error = "it told nothing"
	}
	if out.Error != "" {
		return out
	}
	in, err := i.input(name)
	if err != nil {
		out.Error = fmt.Sprintf("what it told can't be read: %v", err)
		return out
	}
	at := i.state.ReadAt.AsTime()
	out.PlanRevision, out.PlanHash, out.ReadAt = i.state.PlanRevision, hex.EncodeToString(i.state.PlanHash), &at
	out.FlowsSHA256, out.OVSVersion = hex.EncodeToString(i.state.FlowsSha256), i.state.OvsVersion
	out.Notes = i.notes()
	r := verify.Verify(in)
	r.Findings = append(i.findings(), r.Findings...) // never nil: in JSON it is a list
	out.Report = &r
	return out
}

// input is what verification needs.
func (i *nodeReading) input(name string) (in verify.Input, err error) {
	entries, err := planwire.FromProtos(i.entries)
	if err != nil {
		return in, err
	}
	if in.Plan, err = plan.Apply(plan.Node{Name: fabric.NodeName(name)}, plan.Delta{Upsert: entries}); err != nil {
		return in, err
	}
	if hash := plan.Hash(in.Plan); !bytes.Equal(hash[:], i.state.PlanHash) {
		return in, errors.New("its plan has another hash than it says")
	}
	if sum := sha256.Sum256(i.flows); !bytes.Equal(sum[:], i.state.FlowsSha256) {
		return in, errors.New("its flows have another hash than it says")
	}
	if in.Flows, err = verify.ParseFlows(i.flows); err != nil {
		return in, fmt.Errorf("flows: %w", err)
	}
	var interfaces []verify.Interface
	for _, p := range i.ports {
		interfaces = append(interfaces, verify.Interface{Name: p.Name, OFPort: p.Ofport, ExternalIDs: p.ExternalIds})
	}
	ports, err := verify.PortsOf(interfaces, in.Plan)
	if err != nil {
		return in, err
	}
	in.Attachments, in.TunnelPort = ports.Attachments, i.state.TunnelPort
	in.AgentND = i.state.Datapath == verify.System
	if in.Bridge, err = bridgeOf(i.bridge, i.meters); err != nil {
		return in, err
	}
	return in, nil
}

// bridgeOf is what a node told of its bridge; nil if nothing.
func bridgeOf(b *weftv1.InspectBridge, meters []byte) (*verify.Bridge, error) {
	if b == nil {
		return nil, nil
	}
	out := &verify.Bridge{
		Name: b.Name, FailMode: b.FailMode, OtherConfig: b.OtherConfig, STP: b.Stp, RSTP: b.Rstp, Controllers: b.Controllers,
		Evicting: b.Evicting, Fragments: b.Fragments,
	}
	for _, m := range b.Mirrors {
		out.Mirrors = append(out.Mirrors, verify.Mirror{Name: m.Name, All: m.All, Ports: int(m.Ports), Output: m.Output})
	}
	for _, e := range b.Exports {
		out.Exports = append(out.Exports, verify.Export{Kind: e.Kind, Targets: e.Targets})
	}
	for _, t := range b.Tunnels {
		out.Tunnels = append(out.Tunnels, verify.Tunnel{Name: t.Name, Type: t.Type, Options: t.Options})
	}
	var err error
	if out.Meters, err = verify.ParseMeters(meters); err != nil {
		return nil, fmt.Errorf("meters: %w", err)
	}
	return out, nil
}

// findings are those about what verification starts from.
func (i *nodeReading) findings() []verify.Finding {
	out := []verify.Finding{}
	e := i.expected
	revision := fmt.Sprintf("plan of revision %d", i.state.PlanRevision)
	switch {
	case e == nil:
		out = append(out, verify.Finding{Kind: verify.KindPlan, Region: "what the node works on", Got: revision, Want: "nothing: the controller has no plan for it"})
	case !bytes.Equal(i.state.PlanHash, e.PlanHash):
		out = append(out, verify.Finding{Kind: verify.KindPlan, Region: "what the node works on",
			Got: fmt.Sprintf("%s with hash %.6x", revision, i.state.PlanHash), Want: fmt.Sprintf("the plan of revision %d with hash %.6x", e.PlanRevision, e.PlanHash)})
	}
	if e != nil && len(e.CompiledHash) > 0 && !bytes.Equal(e.PlanHash, e.CompiledHash) {
		out = append(out, verify.Finding{Kind: verify.KindPlan, Region: "what the controller tells the node",
			Got: fmt.Sprintf("the plan with hash %.6x", e.PlanHash), Want: fmt.Sprintf("what is declared at revision %d: hash %.6x", e.CompiledRevision, e.CompiledHash)})
	}
	for _, u := range i.state.Unreadable {
		out = append(out, verify.Finding{Kind: verify.KindUnmodelled, Region: "a flow of somebody else", Got: u, Want: "flows that can be read"})
	}
	return out
}

// notes are circumstances that explain findings.
func (i *nodeReading) notes() []string {
	var out []string
	if !i.state.Settled {
		out = append(out, "the node was still installing a change when it was read: verify it again")
	}
	if i.bridge == nil {
		out = append(out, "the agent doesn't tell the bridge's settings: mirrors and the like were not looked at")
	}
	for _, n := range i.state.Closed {
		out = append(out, fmt.Sprintf("network %d is closed, because the switch refuses a flow of its policy", n))
	}
	for _, p := range i.state.Problems {
		out = append(out, "the node reports: "+p)
	}
	return out
}

// traceFindings asks a node's switch about the packets of its findings.
func (a *app) traceFindings(ctx context.Context, client *apiclient.Client, v *verifiedNode) error {
	req := &weftv1.TraceRequest{Node: v.Node}
	var about []int
	for i, f := range v.Report.Findings {
		if f.Packet != "" {
			about = append(about, i)
			req.Packets = append(req.Packets, &weftv1.TracePacket{Packet: f.Packet, CtNext: f.CT})
		}
	}
	if len(about) == 0 {
		return nil
	}
	stream, err := client.Observe.Trace(ctx, connect.NewRequest(req))
	if err != nil {
		return explain(a.server(), err)
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	for stream.Receive() {
		m := stream.Msg()
		if p := m.Part; p != nil && int(p.Index) < len(about) {
			f := about[p.Index]
			v.Traces = append(v.Traces, verifyTrace{Finding: f, Shown: string(v.Report.Findings[f].Shown(p.Text)), Text: p.Text})
		}
		if m.Error != "" {
			v.Notes = append(v.Notes, "packets can't be traced: "+m.Error)
		}
	}
	if err := stream.Err(); err != nil {
		return explain(a.server(), err)
	}
	return nil
}
