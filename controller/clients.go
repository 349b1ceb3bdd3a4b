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
	// started is when the controller began: for as long as a node may be silent it counts as there, since it may be on its
	// way back after the controllers were away.
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

func (p clientPlacer) there(name fabric.NodeName) bool {
	st, now := p.store.Status(name), p.now()
	return st.Connected(now) || now.Sub(p.started) < store.Silence && !st.LastSeen.IsZero()
}
