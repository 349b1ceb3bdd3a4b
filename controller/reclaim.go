package controller

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
)

// reclaimEvery is how often the controller looks for nodes that are gone, unless it is told otherwise.
const reclaimEvery = time.Minute

// reclaimer frees what nodes hold that are gone for longer than the Fabric allows.
type reclaimer struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time
	// started is when the controller began: a node that was seen last before that has had no chance to come back
	// while there was no controller.
	started time.Time
}

func (r reclaimer) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.reclaim(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("can't free what nodes hold that are gone; trying again", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// reclaim frees what the nodes hold that are gone by now. Which these are is asked again within the transaction, since
// one may come back, or be freed by another controller.
func (r reclaimer) reclaim(ctx context.Context) error {
	for _, name := range r.gone(r.store.View()) {
		r.log.Info("what a node holds is freed: it is gone for too long", "node", name, "last seen", r.store.Status(name).LastSeen)
		if _, err := r.store.Update(ctx, func(v *state.View) (state.Batch, error) {
			if !slices.Contains(r.gone(v), name) {
				return state.Batch{}, nil
			}
			return edit.Reclaim(v, name), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// gone returns the nodes that hold something and have been gone for too long, in order.
func (r reclaimer) gone(v *state.View) []fabric.NodeName {
	limit, now := time.Duration(v.Intent.Settings().ReclaimHours)*time.Hour, r.now()
	statuses, _ := r.store.Statuses()
	holds := map[fabric.NodeName]bool{}
	for _, l := range v.Leases {
		holds[l.Node] = true
	}
	for _, node := range v.Bindings {
		holds[node] = true
	}
	for p := range v.Placed {
		holds[p.Node] = true
	}
	var out []fabric.NodeName
	for _, name := range slices.Sorted(maps.Keys(holds)) {
		seen := statuses[name].LastSeen
		if seen.Before(r.started) {
			seen = r.started
		}
		if !statuses[name].Connected(now) && now.Sub(seen) > limit {
			out = append(out, name)
		}
	}
	return out
}
