package agent

import (
	"context"
	"maps"
	"slices"

	"github.com/weftfabric/weft/agent/hits"
	"github.com/weftfabric/weft/firewall"
)

// FreshHits reads the counts of the switch.
func (a *Agent) FreshHits(ctx context.Context) error { return a.freshHits(ctx) }

// HitsOf returns the counts of rules.
func (a *Agent) HitsOf(ctx context.Context) map[firewall.RuleID]hits.Count {
	counts, _ := ask(ctx, a, func(s *state) (map[firewall.RuleID]hits.Count, error) { return s.hits.Counts(), nil })
	return counts
}

// HitsSeen returns how often the counts were read in this run.
func (a *Agent) HitsSeen(ctx context.Context) uint64 {
	n, _ := ask(ctx, a, func(s *state) (uint64, error) { return s.hitsSeen, nil })
	return n
}

// Cuts returns how many connections were cut in this run.
func (a *Agent) Cuts(ctx context.Context) (n uint64) {
	_ = a.do(ctx, func(s *state) {
		for _, c := range s.cuts.byRevision {
			n += c
		}
	})
	return n
}

// CutsFinished reports whether all live connections follow the policy.
func (a *Agent) CutsFinished(ctx context.Context) bool {
	done, _ := ask(ctx, a, func(s *state) (bool, error) {
		return s.settled() && s.cuts.finished == s.flows.revision && s.flows.revision == s.revision, nil
	})
	return done
}

// Needs returns what requests wait for.
func (a *Agent) Needs(ctx context.Context) []string {
	needs, _ := ask(ctx, a, func(s *state) ([]string, error) { return slices.Sorted(maps.Keys(s.flights)), nil })
	return needs
}
