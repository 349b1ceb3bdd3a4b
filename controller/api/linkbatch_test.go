package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology/overlay"
)

// When a node dies, what all its peers report becomes one change, and each report's caller hears what became of it.
func TestLinksAreStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		view := state.NewView()
		for i := range 51 {
			view.Nodes[fabric.NodeName(fmt.Sprintf("n%d", i))] = compile.NodeState{}
		}
		var updates atomic.Int32
		var fail error
		b := linkBatch{update: func(_ context.Context, edit func(*state.View) (state.Batch, error)) (*state.View, error) {
			updates.Add(1)
			batch, err := edit(view)
			view = view.With(view.Revision+1, batch.Changes)
			return view, errors.Join(err, fail)
		}}
		report := func() (failed int32) {
			var wg sync.WaitGroup
			var errs atomic.Int32
			for i := range 50 {
				wg.Go(func() {
					l := overlay.LinkOf("n50", fabric.NodeName(fmt.Sprintf("n%d", i)))
					if b.put(t.Context(), map[overlay.Link]bool{l: true}) != nil {
						errs.Add(1)
					}
				})
			}
			wg.Wait()
			return errs.Load()
		}
		if failed := report(); failed != 0 || len(view.Failed) != 50 || updates.Load() != 1 {
			t.Errorf("%d of 50 reports failed; %d links are stored by %d changes", failed, len(view.Failed), updates.Load())
		}
		fail = errors.New("no store")
		if failed := report(); failed != 50 {
			t.Errorf("%d of 50 reports heard that the store is away", failed)
		}
		if err := b.put(t.Context(), nil); err != nil || updates.Load() != 2 {
			t.Errorf("nothing to store: %v, %d changes", err, updates.Load())
		}
	})
}
