package agent

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// flowState is what the loop knows of the switch's flows.
type flowState struct {
	renderer *pipeline.Renderer
	// connected says that there is an OpenFlow connection; problem says why not.
	connected bool
	problem   string
	// ports are the names that the switch gave its port numbers when the connection was made.
	ports map[uint32]string
	// sessions counts the connections of this run.
	sessions uint64
	// synced says that the switch holds what the renderer holds, so that a difference of renderings is enough.
	synced bool
	// dumpDue says that the switch is to be asked what it holds, although it should be known.
	dumpDue bool
	// found are the flows that the switch told of, until they are compared.
	found []openflow.Flow // nil when nothing is to be compared
	// dirty says that plan or attachments have changed since the last rendering.
	dirty bool
	// busy says that a job is with the switch.
	busy    bool
	retryAt time.Time // of a dump that is due
	// refused are flows that the switch refused, by key, with its reason. They are left out until they change.
	refused map[dataplane.Key]refusal
	// suspects are networks of which the switch may have refused a row of policy.
	suspects []fabric.NetworkID
	// unreadable are flows of ours that hold what we never write; alien says what they are, until the next dump.
	unreadable []openflow.Flow
	alien      []string
	// foreign are flows of others that can't be read, until the next dump.
	foreign []ovs.Flow
	// enforced are the attachments that a barrier has confirmed, by interface.
	enforced map[string]pipeline.Attachment
	// left are the addresses whose connections the switch has to forget.
	left map[tracked]bool
	// revision is the revision that a barrier has confirmed; count the number of flows.
	revision  uint64
	count     int
	drops     map[string]uint64
	dropped   dropBook
	questions map[string]uint64 // what the switch had for the agent, by purpose
	dumped    uint64            // number of dumps, for those who wait for a new one
	mods      uint64            // flow modifications sent in this run
}

// refusal is a flow that the switch doesn't take.
type refusal struct {
	flow   openflow.Flow
	reason string
}

func newFlowState() flowState {
	return flowState{renderer: pipeline.NewRenderer(), problem: "not connected yet", refused: map[dataplane.Key]refusal{}, enforced: map[string]pipeline.Attachment{}, left: map[tracked]bool{}}
}

// stale reports whether the database shows a port number that the switch has given to another port: right after a
// restart of vswitchd the database may still hold the numbers of before.
func (f *flowState) stale(i ovs.Interface) bool {
	name, ok := f.ports[i.OFPort]
	return ok && name != i.Name
}

// portsChanged drops what the switch said of numbers that the database tells anew.
func (f *flowState) portsChanged(before, after []ovs.Interface) {
	old := map[string]uint32{}
	for _, i := range before {
		old[i.Name] = i.OFPort
	}
	for _, i := range after {
		if was, ok := old[i.Name]; !ok || was != i.OFPort {
			delete(f.ports, i.OFPort)
			delete(f.ports, was)
		}
		delete(old, i.Name)
	}
	for _, was := range old {
		delete(f.ports, was)
	}
}

// convergeFlows brings the switch closer to what plan and attachments ask for: at most one job at a time.
func (a *Agent) convergeFlows(s *state, now time.Time) {
	f := &s.flows
	if !f.connected || f.busy || !s.havePlan || !s.ovsSeen {
		return
	}
	switch {
	case f.found != nil && s.mayGetNewerPlan(now):
		f.retryAt = s.waitUntil
	case f.found != nil && s.awaitsWay(now):
		f.retryAt = now.Add(wayRetry)
	case f.found != nil:
		ops := a.compareFlows(s, now)
		f.found, f.unreadable, f.dirty, f.retryAt = nil, nil, false, time.Time{}
		a.applyFlows(s, ops)
	case !f.synced && now.Before(f.retryAt): // the loop comes back then
	case !f.synced || f.dumpDue:
		f.dumpDue = false // what changes while the switch answers makes it due again
		a.sendFlowJob(s, flowJob{kind: dumpJob})
	case f.dirty:
		f.dirty = false
		a.applyFlows(s, f.renderer.Sync(s.input()).Ops())
	}
}

// canonical returns flows in the form in which the switch tells them.
func canonical(flows []openflow.Flow) []openflow.Flow {
	out := make([]openflow.Flow, len(flows))
	for i, f := range flows {
		out[i] = f.Canonical()
	}
	return out
}

// applyFlows sends operations to the switch; without any, what is rendered is enforced already.
func (a *Agent) applyFlows(s *state, ops []dataplane.Op) {
	s.forgetRefusals()
	ops = slices.DeleteFunc(ops, s.flows.isRefused)
	done := applied{attachments: s.input().Attachments, revision: s.revision, count: s.flows.renderer.Len()}
	s.noteLeft(done.attachments)
	if len(ops) == 0 && len(s.flows.left)+len(s.cuts.doomed) == 0 {
		s.enforce(done)
		a.wantReport()
		return
	}
	s.flows.mods += uint64(len(ops))
	job := flowJob{kind: applyJob, ops: ops, then: done, needed: s.flows.needed()}
	job.forget, job.forgotten = s.flows.toForget()
	job.forget, job.doomed = append(job.forget, s.cuts.doomed...), len(s.cuts.doomed)
	a.sendFlowJob(s, job)
}

// applied is what is enforced once a job has succeeded.
type applied struct {
	attachments []pipeline.Attachment
	revision    uint64
	count       int
}

// enforce notes what a barrier has confirmed. A revision of which the switch refused a part is not enforced.
func (s *state) enforce(d applied) {
	s.flows.synced, s.flows.count = true, d.count
	s.drift.Confirm(time.Now())
	if len(s.flows.refused) == 0 && len(s.flows.closed()) == 0 {
		s.flows.revision = d.revision
	}
	s.cuts.attachmentsChanged(s.flows.enforced, d.attachments)
	s.flows.enforced = map[string]pipeline.Attachment{}
	for _, at := range d.attachments {
		s.flows.enforced[at.Interface] = at
	}
}

// isEnforced reports whether the switch has confirmed the flows of an interface as the plan wants them now.
func (s *state) isEnforced(name string) bool {
	have, ok := s.flows.enforced[name]
	if !ok || !s.flows.connected {
		return false
	}
	i, ok := s.ovs.Interface(name)
	if !ok || s.leaving[name] || s.portNumber(i) != have.OFPort || s.flows.refusedPort(have.OFPort) != "" {
		return false
	}
	want, problem := s.resolve(s.attachments[name])
	return problem == "" && want.Identity == have.Identity && want.Network == have.Network && want.MAC == have.MAC && slices.Equal(want.Addresses, have.Addresses)
}

// isRefused reports whether the switch has refused exactly this addition.
func (f *flowState) isRefused(op dataplane.Op) bool {
	r, ok := f.refused[dataplane.KeyOf(op.Flow)]
	return ok && op.Kind == dataplane.Add && dataplane.SameBody(r.flow, op.Flow)
}

// refusedPort returns why the switch refuses a flow of the attachment with that port number, if it does.
func (f *flowState) refusedPort(port uint32) string {
	for _, r := range f.refused {
		if c, ok := pipeline.ParseCookie(r.flow.Cookie); ok && c.Kind == pipeline.KindAttachment && c.Object == port {
			return r.reason
		}
	}
	return ""
}

// refusals returns what the switch doesn't take, in order.
func (f *flowState) refusals() []string {
	var out []string
	for _, r := range f.refused {
		out = append(out, fmt.Sprintf("the switch refuses the flow %s: %s", r.flow, r.reason))
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// sendFlowJob hands a job to the goroutine that holds the connection; it waits for one, since none is busy.
func (a *Agent) sendFlowJob(s *state, j flowJob) {
	s.flows.busy = true
	a.jobs <- j
}

// withoutMeters returns a flow as it works while these meters are missing: what it gives them passes without a limit.
func withoutMeters(f openflow.Flow, missing []uint32) openflow.Flow {
	if len(missing) == 0 {
		return f
	}
	f.Actions = slices.Clone(f.Actions)
	for i, a := range f.Actions {
		if c, ok := a.(openflow.Controller); ok && slices.Contains(missing, c.Meter) {
			c.Meter = 0
			f.Actions[i] = c
		}
	}
	return f
}

// flowsFound takes over what a dump said.
func (s *state) flowsFound(told dumped) {
	f := &s.flows
	f.found, f.unreadable, f.alien, f.foreign = make([]openflow.Flow, 0, len(told.flows)), nil, nil, nil
	counts := make([]pipeline.FlowCount, 0, len(told.flows))
	for _, fl := range told.flows {
		if fl.Unreadable != "" && !dataplane.Ours(fl.Cookie) {
			f.foreign = append(f.foreign, fl)
			continue
		}
		if fl.Unreadable != "" {
			f.unreadable, f.alien = append(f.unreadable, fl.Flow), append(f.alien, fl.Unreadable)
			continue
		}
		f.found = append(f.found, withoutMeters(fl.Flow, told.unmetered))
		counts = append(counts, pipeline.FlowCount{Cookie: fl.Cookie, Packets: fl.Packets})
	}
	s.flows.drops = map[string]uint64{}
	for reason, n := range pipeline.Drops(counts) {
		s.flows.drops[reason.String()] = n
	}
	if n := s.refused.Load(); n > 0 {
		s.flows.drops[pipeline.DropDHCPRefused.String()] = n
	}
	if n := pipeline.TooLarge(told.meters); n > 0 {
		s.flows.drops[pipeline.DropTooLarge.String()] = n
	}
	s.flows.dropped.observe(dropRows(told, s.refused.Load()))
	s.flows.questions = pipeline.Questions(counts, told.meters)
	s.flows.dumped++
}

// flowsRefused takes over that the switch refused some flows; a dump tells what it holds now. What was stopped goes on at
// once, with the networks closed that lack a row.
func (s *state) flowsRefused(o outcome, now time.Time) {
	for _, r := range o.refused {
		s.flows.refused[dataplane.KeyOf(r.flow)] = r
	}
	s.flows.suspects = o.suspects
	s.flows.synced, s.flows.dirty, s.flows.retryAt = false, true, time.Time{}
	if !o.stopped {
		s.flows.retryAt = now.Add(minBackoff/2 + rand.N(minBackoff/2))
	}
}
