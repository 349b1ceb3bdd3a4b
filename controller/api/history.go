package api

import (
	"sync"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/topology"
)

// maxHistory is how many changes of objects can be asked for again.
const maxHistory = 10000

// objectEvent is a change of an object. Object is nil for a removed one.
type objectEvent struct {
	revision uint64
	verb     edit.Verb
	key      topology.Key
	object   *topology.Object
	meta     state.ObjectMeta
}

// History remembers the latest changes of objects, for those who watch.
type History struct {
	mu      sync.Mutex
	view    *state.View
	events  []objectEvent // in order
	since   uint64        // events hold every change after this revision
	changed chan struct{}
}

// NewHistory returns a history that begins at a view.
func NewHistory(v *state.View) *History {
	return &History{view: v, since: v.Revision, changed: make(chan struct{})}
}

// Commit adds a step of the store.
func (h *History) Commit(c store.Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view = c.After
	for _, ch := range c.Changes {
		if e, ok := eventOf(c, ch); ok {
			h.events = append(h.events, e)
		}
	}
	if extra := len(h.events) - maxHistory; extra > 0 {
		h.since = h.events[extra-1].revision
		// Of a revision that is not whole any more, nothing is kept.
		for extra < len(h.events) && h.events[extra].revision == h.since {
			extra++
		}
		h.events = append([]objectEvent(nil), h.events[extra:]...)
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

func eventOf(c store.Commit, ch state.Change) (objectEvent, bool) {
	e := objectEvent{revision: c.After.Revision, meta: ch.Meta}
	switch {
	case ch.ObjectGone != nil:
		e.verb, e.key = edit.Removed, *ch.ObjectGone
		return e, c.Before.Intent.Get(e.key) != nil
	case ch.Object != nil:
		e.verb, e.key, e.object = edit.Added, ch.Object.Key, ch.Object
		if before := c.Before.Intent.Get(e.key); before != nil {
			e.verb = edit.Changed
			return e, !before.Equal(ch.Object) // else only its place in the files changed
		}
		return e, true
	}
	return e, false
}

// after returns the events after a revision up to that of the view, and a channel that is closed when there are
// more. ok is false when some of them are forgotten.
func (h *History) after(revision uint64) (events []objectEvent, view *state.View, changed <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision < h.since {
		return nil, h.view, h.changed, false
	}
	first := len(h.events)
	for first > 0 && h.events[first-1].revision > revision {
		first--
	}
	return h.events[first:len(h.events):len(h.events)], h.view, h.changed, true
}
