package api

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/topology/overlay"
)

// linksWait is how long a link that failed waits for others: when a node dies, all its peers report within moments, and
// shall cause one change of the plans and not one each.
const linksWait = 50 * time.Millisecond

// linkBatch gathers what reports say of links, and stores it together.
type linkBatch struct {
	update func(context.Context, func(*state.View) (state.Batch, error)) (*state.View, error)

	mu      sync.Mutex
	pending map[overlay.Link]bool
	flight  *linkFlight
}

// linkFlight is a batch that gathers; err is set once done is closed.
type linkFlight struct {
	done chan struct{}
	err  error
}

// put stores what links count as from now on, and returns when that is done. Whoever is first waits for the others.
func (b *linkBatch) put(ctx context.Context, links map[overlay.Link]bool) error {
	if len(links) == 0 {
		return nil
	}
	b.mu.Lock()
	if b.pending == nil {
		b.pending = map[overlay.Link]bool{}
	}
	maps.Copy(b.pending, links)
	f := b.flight
	if f != nil {
		b.mu.Unlock()
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f = &linkFlight{done: make(chan struct{})}
	b.flight = f
	b.mu.Unlock()

	time.Sleep(linksWait)
	b.mu.Lock()
	all := b.pending
	b.pending, b.flight = nil, nil
	b.mu.Unlock()
	// The others' reports depend on it too, so it goes on when the first caller gives up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, f.err = b.update(ctx, func(v *state.View) (state.Batch, error) { return edit.SetLinks(v, all), nil })
	close(f.done)
	return f.err
}
