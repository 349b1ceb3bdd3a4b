package agent

import (
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

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
