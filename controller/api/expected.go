package api

import (
	"context"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// expectations tell what nodes should work on: by the plans that are handed out, and by a compile from scratch, which shares no
// state with what keeps them.
type expectations struct {
	Config
	revision uint64 // of the store, that plans were compiled from
	plans    map[fabric.NodeName]plan.Node
}

// expectations compiles all plans of the store's present revision.
func (c Config) expectations(ctx context.Context) (expectations, error) {
	v := c.Store.View()
	if err := c.Planner.Wait(ctx, v.Revision); err != nil {
		return expectations{}, err
	}
	return expectations{c, v.Revision, compile.Plans(v.State)}, nil
}

// of returns what a node should work on; nil when it has no plan.
func (e expectations) of(node fabric.NodeName) *weftv1.InspectExpected {
	planned, ok := e.Planner.Planned(node)
	if !ok {
		return nil
	}
	out := &weftv1.InspectExpected{PlanRevision: planned.Revision, PlanHash: planned.Hash[:]}
	if n, ok := e.plans[node]; ok && planned.Revision <= e.revision {
		hash := plan.Hash(n)
		out.CompiledRevision, out.CompiledHash = e.revision, hash[:]
	}
	return out
}
