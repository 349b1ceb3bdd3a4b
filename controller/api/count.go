package api

import (
	"sync/atomic"
)

// Changes counts the applies and deletions that users asked for. The zero value is ready for use, by any number of goroutines.
type Changes struct{ made, refused, failed atomic.Uint64 }

// ChangeCounts are changes that were made, that were refused because of problems in them, and that failed for another reason.
type ChangeCounts struct{ Made, Refused, Failed uint64 }

// Counts returns what was counted.
func (c *Changes) Counts() ChangeCounts {
	return ChangeCounts{Made: c.made.Load(), Refused: c.refused.Load(), Failed: c.failed.Load()}
}

func (c *Changes) count(made bool, err error) {
	switch {
	case err != nil:
		c.failed.Add(1)
	case made:
		c.made.Add(1)
	default:
		c.refused.Add(1)
	}
}

// NodeCounts are how many nodes are how.
type NodeCounts struct {
	Connected, Disconnected int
	Drained                 int // of all
	Behind                  int // of the connected ones: their switch hasn't confirmed the newest plan
	// Relayed are the pairs of nodes that reach each other over others.
	Relayed int
}

// CountNodes counts the registered nodes. It looks at plans and statuses as they are, without waiting for anything.
func (c Config) CountNodes() NodeCounts {
	var out NodeCounts
	now, plans := c.Now(), c.Planner.All()
	statuses, _ := c.Store.Statuses()
	for name, n := range c.Store.View().Nodes {
		st := statuses[name]
		p, planned := plans[name]
		if n.Drained {
			out.Drained++
		}
		for _, h := range p.Plan.Hops {
			if name < h.Node {
				out.Relayed++
			}
		}
		if !st.Connected(now) {
			out.Disconnected++
			continue
		}
		out.Connected++
		if planned && enforcedRevision(p, st) < p.Revision {
			out.Behind++
		}
	}
	return out
}
