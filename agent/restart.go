package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/cniwire"
	"github.com/weftfabric/weft/wire/openflow"
)

// confirmInterval is how exact the age of a plan on disk is.
const confirmInterval = time.Minute

// planGrace is how long a restarted agent that found flows of its own waits for the controller's first answer.
const planGrace = 3 * time.Second

// mayGetNewerPlan reports whether the switch should be left as it is for a moment: it forwards by flows of an earlier
// run, the plan from disk may be older than those, and the controller hasn't answered yet.
func (s *state) mayGetNewerPlan(now time.Time) bool {
	return !s.fresh && s.controller == notConnected && now.Before(s.waitUntil) &&
		slices.ContainsFunc(s.flows.found, func(f openflow.Flow) bool { return dataplane.Ours(f.Cookie) })
}

// planProblems says what is wrong with the plan on disk, until the controller's replaces it.
func (s *state) planProblems() []string {
	if s.planProblem == "" || s.fresh {
		return nil
	}
	return []string{s.planProblem}
}

// planStatus says which plan the agent works by.
func (s *state) planStatus(now time.Time) *cniwire.PlanStatus {
	if !s.havePlan {
		return nil
	}
	confirmed := s.planTime
	if s.controller == connected {
		confirmed = now
	}
	return &cniwire.PlanStatus{Revision: s.revision, FromDisk: !s.fresh, Confirmed: confirmed}
}

// controllerGone takes over that there is no plan stream, and why.
func (s *state) controllerGone(err error, now time.Time) {
	if s.controller == connected {
		s.planTime = now
	}
	s.controller = err.Error()
}

// confirmPlan keeps on the saved plan's file when the controller confirmed it last: a restarted agent tells its age.
func (a *Agent) confirmPlan(ctx context.Context) {
	now := time.Now()
	current, err := ask(ctx, a, func(s *state) (bool, error) { return s.controller == connected, nil })
	if err != nil || !current {
		return
	}
	if err := os.Chtimes(a.cfg.PlanFile, now, now); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.cfg.Logger.Warn("can't note that the saved plan is current", "error", err)
	}
}
