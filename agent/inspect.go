package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const (
	// settleTimeout is how long a look at the switch waits for the flows of the last change.
	settleTimeout = 5 * time.Second
	// maxLooks is how often the switch is read, when something changes meanwhile.
	maxLooks = 4
	// partSize is how much of a text or a list one part of an answer holds, in bytes.
	partSize  = 256 << 10
	maxTraces = 100 // packets of one question
)

// Switch is what the agent asks its switch for users; ovs.Dialer is one.
type Switch interface {
	// Read reads everything that the bridge holds.
	Read(context.Context) (ovs.Tables, error)
	// Trace returns what the switch would do with a packet.
	Trace(context.Context, ovs.Packet) (string, error)
}

// view is what the agent works on at one time.
type view struct {
	state       *weftv1.InspectState
	plan        plan.Node
	interfaces  []ovs.Interface
	mods        uint64
	attachments uint64
}

// same reports whether nothing that flows depend on has changed from one view to another.
func (v view) same(w view) bool {
	return v.state.PlanRevision == w.state.PlanRevision && v.mods == w.mods && v.state.Settled && w.state.Settled && v.attachments == w.attachments
}

// inspect tells what the node works on, and what its switch holds.
func (a *Agent) inspect(ctx context.Context, send send) error {
	if a.cfg.Switch == nil {
		return fmt.Errorf("this agent can't read its switch for others")
	}
	v, tables, err := a.look(ctx)
	if err != nil {
		return err
	}
	flows := text(tables.Flows)
	sum := sha256.Sum256(flows)
	v.state.ReadAt, v.state.FlowsSha256 = timestamppb.New(tables.At), sum[:]
	v.state.FlowCount, v.state.Unreadable = uint32(len(tables.Flows)+len(tables.Unreadable)), tables.Unreadable
	hash := plan.Hash(v.plan)
	v.state.PlanHash = hash[:]
	bridge, err := a.bridgeSettings(ctx, tables)
	if err != nil {
		return err
	}
	part := func(p *weftv1.InspectPart) error {
		return send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Inspect{Inspect: p}})
	}
	if err := part(&weftv1.InspectPart{State: v.state, Bridge: bridge}); err != nil {
		return err
	}
	for entries := range bySize(planwire.ToProtos(plan.Entries(v.plan))) {
		if err := part(&weftv1.InspectPart{Plan: entries}); err != nil {
			return err
		}
	}
	for ports := range bySize(portsOf(tables.Ports, v.interfaces)) {
		if err := part(&weftv1.InspectPart{Ports: ports}); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(flows, partSize) {
		if err := part(&weftv1.InspectPart{Flows: chunk}); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(text(tables.Groups), partSize) {
		if err := part(&weftv1.InspectPart{Groups: chunk}); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(text(tables.Meters), partSize) {
		if err := part(&weftv1.InspectPart{Meters: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// bridgeSettings tells what decides about packets beside the flows; nil where that can't be read.
func (a *Agent) bridgeSettings(ctx context.Context, tables ovs.Tables) (*weftv1.InspectBridge, error) {
	if a.cfg.Settings == nil {
		return nil, nil
	}
	s, err := a.cfg.Settings(ctx)
	if err != nil {
		return nil, err
	}
	out := &weftv1.InspectBridge{
		Name: ovs.DefaultBridge, FailMode: s.FailMode, OtherConfig: s.OtherConfig, Stp: s.STP, Rstp: s.RSTP, Controllers: s.Controllers, Evicting: s.Evicting,
		Fragments: tables.Fragments.String(),
	}
	for _, m := range s.Mirrors {
		out.Mirrors = append(out.Mirrors, &weftv1.InspectMirror{Name: m.Name, All: m.All, Ports: uint32(m.Ports), Output: m.Output})
	}
	for _, e := range s.Exports {
		out.Exports = append(out.Exports, &weftv1.InspectExport{Kind: e.Kind, Targets: e.Targets})
	}
	for _, t := range s.Tunnels {
		out.Tunnels = append(out.Tunnels, &weftv1.InspectTunnel{Name: t.Name, Type: t.Type, Options: t.Options})
	}
	return out, nil
}

// look reads the switch while the agent's state stays as it is. If that is always changing, or the flows never get there,
// the answer says so.
func (a *Agent) look(ctx context.Context) (before view, tables ovs.Tables, err error) {
	for range maxLooks {
		err := a.waitFor(ctx, wait{For: "the flows of the last change", Timeout: settleTimeout, Condition: func(s *state) (bool, error) { return s.settled(), nil }})
		if err != nil && ctx.Err() != nil {
			return before, tables, err
		}
		if before, err = a.view(ctx); err != nil {
			return before, tables, err
		}
		if tables, err = a.cfg.Switch.Read(ctx); err != nil {
			return before, tables, err
		}
		after, err := a.view(ctx)
		if err != nil || before.same(after) {
			return before, tables, err
		}
		before.state.Settled = false
		if !after.state.Settled {
			break
		}
	}
	return before, tables, nil
}

// view returns what the agent works on.
func (a *Agent) view(ctx context.Context) (view, error) {
	return ask(ctx, a, func(s *state) (view, error) {
		if !s.havePlan {
			return view{}, fmt.Errorf("the node has no plan yet; controller: %s", s.controller)
		}
		st := &weftv1.InspectState{
			PlanRevision: s.revision, EnforcedRevision: s.flows.revision, Settled: s.settled(), OvsVersion: s.ovs.Version,
			Datapath: string(s.datapath), Problems: s.problems(), Version: a.cfg.Version,
		}
		st.TunnelPort = s.input().TunnelPort
		for _, n := range s.flows.closed() {
			st.Closed = append(st.Closed, uint32(n))
		}
		return view{state: st, plan: s.plan, interfaces: s.ovs.Interfaces, mods: s.flows.mods, attachments: s.ovsChanges}, nil
	})
}

// settled reports whether the switch has confirmed everything that plan and attachments ask for.
func (s *state) settled() bool {
	f := &s.flows
	return f.connected && s.havePlan && s.ovsSeen && f.synced && !f.busy && !f.dirty && f.found == nil
}

// portsOf returns the ports that the switch tells, in order of their numbers, with what the database says of them.
func portsOf(names map[uint32]string, interfaces []ovs.Interface) []*weftv1.InspectPort {
	ids := map[string]map[string]string{}
	for _, i := range interfaces {
		ids[i.Name] = i.ExternalIDs
	}
	var out []*weftv1.InspectPort
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, &weftv1.InspectPort{Ofport: n, Name: names[n], ExternalIds: ids[names[n]]})
	}
	return out
}

// text returns the lines of what a switch holds.
func text[T fmt.Stringer](all []T) []byte {
	var b bytes.Buffer
	for _, v := range all {
		b.WriteString(v.String())
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// bySize divides messages into lists that fit into a part.
func bySize[M proto.Message](all []M) func(yield func([]M) bool) {
	return func(yield func([]M) bool) {
		from, size := 0, 0
		for i, m := range all {
			n := proto.Size(m)
			if i > from && size+n > partSize {
				if !yield(all[from:i]) {
					return
				}
				from, size = i, 0
			}
			size += n
		}
		if from < len(all) {
			yield(all[from:])
		}
	}
}

// trace tells what the switch would do with packets.
func (a *Agent) trace(ctx context.Context, packets []*weftv1.TracePacket, send send) error {
	switch {
	case a.cfg.Switch == nil:
		return fmt.Errorf("this agent can't ask its switch for others")
	case len(packets) > maxTraces:
		return fmt.Errorf("%d packets to trace: at most %d at once", len(packets), maxTraces)
	}
	for i, p := range packets {
		out, err := a.cfg.Switch.Trace(ctx, ovs.Packet{Flow: p.GetPacket(), CTNext: p.GetCtNext()})
		if err != nil {
			return fmt.Errorf("packet %d: %w", i+1, err)
		}
		out = out[:min(len(out), partSize)]
		if err := send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Trace{Trace: &weftv1.TracePart{Index: uint32(i), Text: out}}}); err != nil {
			return err
		}
	}
	return nil
}
