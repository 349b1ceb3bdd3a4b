package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftfabric/weft/agent/conntrack"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Policy applies to live connections: when it changes, the tracker's connections of the networks concerned are asked about
// anew, and those that are forbidden now are forgotten. Their next packet is a new connection's, and denied.

// Tracker tells of live connections; ovs.Dialer is one.
type Tracker interface {
	// Settle returns once no packet is handled any more by what the tables said before the call.
	Settle(context.Context) error
	// Connections returns the connections of a zone.
	Connections(ctx context.Context, zone uint16) ([]conntrack.Connection, error)
}

const (
	// cutAtOnce bounds the connections of one request to the switch.
	cutAtOnce = 1000
	// keptCuts is of how many revisions the agent remembers what they cut.
	keptCuts = 100
	cutPause = time.Second // after a failure
)

// cutState is what the loop knows of live connections that policy may forbid.
type cutState struct {
	// concerned are the networks whose connections have to be asked about, and whether once more after that, when no packet
	// is handled by the policy of before any more; unsettled wait for that time. A job is at each while its flag is set.
	concerned          map[fabric.NetworkID]bool
	unsettled          map[fabric.NetworkID]bool
	sweeping, settling bool
	problem            string // of the last try
	// doomed are connections that the switch is to forget.
	doomed []openflow.Connections
	// finished is the latest revision whose policy all connections follow; byRevision is how many the latest ones cut.
	finished   uint64
	byRevision map[uint64]uint64
}

func newCutState() cutState {
	return cutState{concerned: map[fabric.NetworkID]bool{}, unsettled: map[fabric.NetworkID]bool{}, byRevision: map[uint64]uint64{}}
}

// count adds to what a revision has cut, and forgets old revisions.
func (c *cutState) count(revision, cut uint64) {
	if cut == 0 {
		return
	}
	c.byRevision[revision] += cut
	if len(c.byRevision) > keptCuts {
		delete(c.byRevision, slices.Min(slices.Collect(maps.Keys(c.byRevision))))
	}
}

// policyChanged notes the networks whose connections a new plan may forbid.
func (c *cutState) policyChanged(before, after plan.Node) {
	for _, n := range concernedBy(before, after) {
		c.concerned[n] = true
	}
}

// attachmentsChanged notes the networks of workloads that have other labels now.
func (c *cutState) attachmentsChanged(before map[string]pipeline.Attachment, after []pipeline.Attachment) {
	for _, at := range after {
		if was, ok := before[at.Interface]; ok && was.Network == at.Network && was.Identity != at.Identity {
			c.concerned[at.Network] = true
		}
	}
}

// concernedBy returns the networks whose connections a change of plan can forbid, in order: those whose rules, label sets
// or peerings differ, and the networks peered with them before or after. New label sets don't count: nobody has had them.
func concernedBy(before, after plan.Node) []fabric.NetworkID {
	label := make(map[string]fabric.NetworkID, len(before.Identities))
	for _, i := range before.Identities {
		label["identity/"+i.ID.String()] = i.Network
	}
	found := map[fabric.NetworkID]bool{}
	d := plan.Diff(before, after)
	for _, e := range d.Upsert {
		switch {
		case e.Rule != nil:
			found[e.Rule.Network] = true
		case e.Network != nil:
			found[e.Network.ID] = true
		case e.Identity != nil && label[e.Key] != 0:
			found[label[e.Key]], found[e.Identity.Network] = true, true
		}
	}
	for _, key := range d.Remove {
		parts := strings.Split(key, "/")
		switch parts[0] {
		case "identity":
			found[label[key]] = true
		case "rule", "network":
			if n, err := strconv.ParseUint(parts[1], 10, 16); err == nil {
				found[fabric.NetworkID(n)] = true
			}
		}
	}
	out := slices.Collect(maps.Keys(found))
	for _, n := range slices.Concat(before.Networks, after.Networks) {
		if found[n.ID] {
			out = append(out, n.Peers...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sweep is a task: to ask about the connections of zones.
type sweep struct {
	zones    []fabric.NetworkID
	judge    *conntrack.Judge
	revision uint64
}

// sweepOf returns the sweep of networks under a plan. Only networks with workloads here have connections.
func (s *state) sweepOf(networks []fabric.NetworkID, n plan.Node) sweep {
	local, hosted := map[conntrack.Place]fabric.Identity{}, map[fabric.NetworkID]bool{}
	for _, at := range s.flows.enforced {
		hosted[at.Network] = true
		for _, addr := range at.Addresses {
			local[conntrack.Place{Network: at.Network, Addr: addr}] = at.Identity
		}
	}
	out := sweep{judge: conntrack.NewJudge(n, local), revision: s.flows.revision}
	for _, id := range networks {
		if hosted[id] {
			out.zones = append(out.zones, id)
		}
	}
	return out
}

// convergeCuts has live connections asked about once the switch decides by the policy that has changed: at once, and again
// when no packet is handled by the policy of before any more, which can have let connections in meanwhile.
func (a *Agent) convergeCuts(s *state) {
	c := &s.cuts
	if a.cfg.Tracker == nil || !s.settled() {
		return
	}
	if len(c.concerned) > 0 && !c.sweeping {
		again := c.concerned
		t := s.sweepOf(slices.Sorted(maps.Keys(again)), s.plan)
		c.concerned, c.sweeping = map[fabric.NetworkID]bool{}, true
		a.work.Go(func() { a.swept(again, a.inTime(func(ctx context.Context) error { return a.runSweep(ctx, t) })) })
	}
	if len(c.unsettled) > 0 && !c.settling {
		zones := c.unsettled
		c.unsettled, c.settling = map[fabric.NetworkID]bool{}, true
		a.work.Go(func() { a.haveSettled(zones, a.inTime(a.cfg.Tracker.Settle)) })
	}
	if len(c.concerned)+len(c.unsettled) == 0 && !c.sweeping && !c.settling {
		c.finished = s.flows.revision
	}
}

// inTime runs a part of the work. After a failure it waits a moment, so that the next try doesn't follow at once.
func (a *Agent) inTime(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(a.life, jobTimeout)
	defer cancel()
	err := f(ctx)
	if err != nil {
		select {
		case <-a.life.Done():
		case <-time.After(cutPause):
		}
	}
	return err
}

// swept takes over the end of a sweep. It asks again about all when it failed.
func (a *Agent) swept(again map[fabric.NetworkID]bool, err error) {
	_ = a.do(a.life, func(s *state) { // fails only when the agent ends
		c := &s.cuts
		c.sweeping, c.doomed, c.problem = false, nil, ""
		if err != nil {
			c.problem = "live connections are not held against the policy: " + err.Error()
		}
		for n, once := range again {
			switch {
			case err != nil:
				c.concerned[n] = c.concerned[n] || once
			case once:
				c.unsettled[n] = true
			}
		}
	})
}

// haveSettled has networks asked about for the second time.
func (a *Agent) haveSettled(zones map[fabric.NetworkID]bool, err error) {
	_ = a.do(a.life, func(s *state) {
		s.cuts.settling = false
		for n := range zones {
			if err != nil {
				s.cuts.unsettled[n] = true
			} else {
				s.cuts.concerned[n] = s.cuts.concerned[n] || false
			}
		}
	})
}

// runSweep has the connections of a sweep forgotten that policy forbids.
func (a *Agent) runSweep(ctx context.Context, t sweep) error {
	f, err := a.forbidden(ctx, t)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(f.connections, cutAtOnce) {
		if err := a.forget(ctx, chunk); err != nil {
			return err
		}
	}
	return a.do(ctx, func(s *state) { s.cuts.count(t.revision, f.here) })
}

// forbidden is what policy forbids of live connections.
type forbidden struct {
	connections []openflow.Connections
	// here is how many of them have their destination on this node.
	here uint64
	// kept is how many more the switch can't be told to forget, unsure of how many nobody knows between whom they are.
	kept, unsure uint64
}

// forbidden asks about the connections of a sweep's zones.
func (a *Agent) forbidden(ctx context.Context, t sweep) (out forbidden, err error) {
	for _, zone := range t.zones {
		all, err := a.cfg.Tracker.Connections(ctx, uint16(zone))
		if err != nil {
			return out, err
		}
		for _, c := range all {
			switch t.judge.Decide(c) {
			case conntrack.Unsure:
				out.unsure++
			case conntrack.Forbid:
				if which, ok := c.Flush(); ok {
					out.connections = append(out.connections, which)
					if t.judge.Here(c) {
						out.here++
					}
				} else if t.judge.Here(c) {
					out.kept++
				}
			}
		}
	}
	return out, nil
}

// forget has the switch forget connections, and returns when it has.
func (a *Agent) forget(ctx context.Context, which []openflow.Connections) error {
	err := a.do(ctx, func(s *state) {
		s.cuts.doomed, s.flows.dirty = which, true
	})
	if err != nil {
		return err
	}
	return a.waitFor(ctx, wait{For: "the switch to forget connections", Timeout: jobTimeout, Condition: func(s *state) (bool, error) {
		if !s.flows.connected {
			return false, errors.New("the connection to the switch is lost")
		}
		return len(s.cuts.doomed) == 0, nil
	}})
}
