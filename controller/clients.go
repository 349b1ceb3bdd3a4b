package controller

import (
	"context"
	"log/slog"
	"time"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
)

// placeClientsEvery is how often the controller looks whether remote clients have a gateway that is there.
const placeClientsEvery = time.Second

// clientPlacer keeps every remote client at a gateway.
type clientPlacer struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time
	// started is when the controller began: a node that was seen last before that has had no chance to come back.
	started time.Time
}

func (p clientPlacer) run(ctx context.Context) {
	tick := time.NewTicker(placeClientsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.place(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("can't give remote clients a gateway; trying again", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// place moves the clients whose gateway is gone. What is to be moved is asked again within the transaction.
func (p clientPlacer) place(ctx context.Context) error {
	if len(edit.PlaceClients(p.store.View(), p.there).Changes) == 0 {
		return nil
	}
	_, err := p.store.Update(ctx, func(v *state.View) (state.Batch, error) { return edit.PlaceClients(v, p.there), nil })
	return err
}

// there reports whether a node may serve clients. One whose agent has just ended may: it is upgraded, mostly, and to move
// clients means that they need another configuration.
func (p clientPlacer) there(name fabric.NodeName) bool {
	seen := p.store.Status(name).LastSeen
	if !seen.IsZero() && seen.Before(p.started) {
		seen = p.started
	}
	return p.now().Sub(seen) < store.Silence
}
