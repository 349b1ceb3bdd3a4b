package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/drift"
	"github.com/weftfabric/weft/wire/openflow"
)

// The switch is compared with what the agent left there as soon as it tells that somebody else has changed flows, and from
// time to time in any case: a switch may not be able to tell, and a change may get lost.
const (
	// DefaultResync is the time between two comparisons that nothing gave rise to.
	DefaultResync = 30 * time.Second
	// One who changes flows all the time must not keep switch and agent busy: after lookBurst comparisons in a row there is
	// one each lookPause.
	lookPause, lookBurst = 2 * time.Second, 5
	// maxDriftLogged is how many flows of one comparison are logged.
	maxDriftLogged = 5
)

// flowChanges has the switch tell what others change. A nil channel never does.
func (a *Agent) flowChanges(ctx context.Context, conn Flows) <-chan struct{} {
	changes, err := conn.Changes(ctx)
	if err != nil {
		a.cfg.Logger.Info("the switch doesn't tell when others change flows: they are compared from time to time only", "every", a.resync(), "error", err)
		return nil
	}
	return changes
}

// resync is the configured time between comparisons.
func (a *Agent) resync() time.Duration {
	if a.cfg.Resync > 0 {
		return a.cfg.Resync
	}
	return DefaultResync
}

// watchFlows has the flows compared when that is due, until the connection ends, and looks after the ports.
func (a *Agent) watchFlows(ctx context.Context, conn Flows, changes <-chan struct{}) {
	a.restorePorts(ctx, conn)
	periodic := time.NewTimer(jitter(a.resync()))
	defer periodic.Stop()
	look := time.NewTimer(0)
	look.Stop()
	defer look.Stop()
	var due time.Time // when the comparisons so far would be over at one each lookPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			look.Reset(max(time.Until(due.Add(-(lookBurst-1)*lookPause)), 0))
			continue
		case <-look.C:
			if now := time.Now(); due.Before(now) {
				due = now
			}
			due = due.Add(lookPause)
		case <-periodic.C:
			a.restorePorts(ctx, conn)
		}
		periodic.Reset(jitter(a.resync()))
		if a.send(ctx, func(s *state) { s.flows.dumpDue = true }) != nil {
			return
		}
	}
}

// restorePorts clears what somebody has set over OpenFlow about ports of the fabric and fragments. A failure ends the connection, or is
// tried again with the next comparison.
func (a *Agent) restorePorts(ctx context.Context, conn Flows) {
	ours, err := ask(ctx, a, func(s *state) (map[string]bool, error) {
		out := map[string]bool{tunnelPort: true}
		for name := range s.attachments {
			out[name] = true
		}
		return out, nil
	})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	cleared, err := conn.RestorePorts(ctx, func(name string) bool { return ours[name] })
	if err == nil {
		var fragments string
		if fragments, err = conn.RestoreFragments(ctx); fragments != "" {
			cleared = append(cleared, fragments)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("what somebody has set about the switch can't be cleared", "error", err)
	}
	if len(cleared) == 0 {
		return
	}
	for _, c := range cleared {
		a.cfg.Logger.Warn("somebody else has set something about the switch: cleared", "what", c)
	}
	if a.send(ctx, func(s *state) { s.drift.NoteSettings(time.Now(), cleared) }) == nil {
		a.wantReport()
	}
}

// jitter returns about d, so that the nodes of a fabric don't do the same at the same time.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// compareFlows returns what brings the switch from what was found to what is wanted now. What was found different from what
// the agent had left there is drift.
func (a *Agent) compareFlows(s *state, now time.Time) []dataplane.Op {
	f := &s.flows
	left := canonical(f.renderer.Flows())
	ops := dataplane.Resync(f.found, f.unreadable, left)
	if f.synced {
		a.noteDrift(s, drift.Compare(f.found, slices.DeleteFunc(slices.Clone(ops), f.isRefused)), now)
	}
	if delta := f.renderer.Sync(s.input()).Ops(); len(delta) > 0 {
		left = canonical(f.renderer.Flows())
		ops = dataplane.Resync(f.found, f.unreadable, left)
	}
	a.noteForeign(s, left, now)
	s.compared = now
	return ops
}

// noteDrift takes up what somebody else has done to the flows, and is about to be undone.
func (a *Agent) noteDrift(s *state, all []drift.Difference, now time.Time) {
	if len(all) == 0 {
		return
	}
	s.drift.Note(now, all)
	for _, d := range all[:min(len(all), maxDriftLogged)] {
		a.cfg.Logger.Warn("somebody else has changed a flow: repairing it", "what", d.Kind.String(), "flow", d.Flow, "found", d.Has, "not before", s.compared)
	}
	if more := len(all) - maxDriftLogged; more > 0 {
		a.cfg.Logger.Warn("somebody else has changed more flows: repairing them", "flows", more)
	}
}

// noteForeign takes up which flows of others stand in the fabric's tables. The switch may hold some that can't be read.
func (a *Agent) noteForeign(s *state, ours []openflow.Flow, now time.Time) {
	all := drift.ForeignIn(s.flows.found, ours)
	for _, fl := range s.flows.foreign {
		if slices.ContainsFunc(ours, func(f openflow.Flow) bool { return f.Table == fl.Table }) {
			all = append(all, drift.Difference{Kind: drift.Foreign, Flow: fl.Unreadable})
		}
	}
	for _, d := range s.drift.SetForeign(now, all) {
		a.cfg.Logger.Warn("a flow of somebody else stands in a table of the fabric: packets may meet it", "flow", d.Flow)
	}
}

// driftProblems says what others have done to the flows.
func (s *state) driftProblems(now time.Time) []string { return s.drift.Tell(now) }
