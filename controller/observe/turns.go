package observe

import "slices"

// turns are those who wait to ask a node. Callers take turns: one who asks a hundred times doesn't keep out another.
type turns struct {
	waiting []*turn // in the order in which they came
	served  map[string]uint64
	count   uint64
	granted int // turns that are no question yet
}

// turn is one who waits.
type turn struct {
	caller  string
	endless bool
	granted chan struct{} // closed when it is its turn
}

// join adds one who waits, unless there are too many.
func (t *turns) join(w *turn) bool {
	if len(t.waiting) >= MaxWaiting {
		return false
	}
	t.waiting = append(t.waiting, w)
	return true
}

// next removes and returns the one whose caller has waited longest for a turn; nil when there is none. Those whose answer
// is endless may be passed over.
func (t *turns) next(endless bool) *turn {
	best := -1
	for i, w := range t.waiting {
		if w.endless && !endless {
			continue
		}
		if best < 0 || t.served[w.caller] < t.served[t.waiting[best].caller] {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	w := t.waiting[best]
	t.waiting = slices.Delete(t.waiting, best, best+1)
	if len(t.waiting) == 0 || t.served == nil {
		t.served = map[string]uint64{}
	}
	t.count++
	t.served[w.caller] = t.count
	return w
}

// leave removes one who doesn't want to wait any more.
func (t *turns) leave(w *turn) {
	t.waiting = slices.DeleteFunc(t.waiting, func(o *turn) bool { return o == w })
}
