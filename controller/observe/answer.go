package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// maxParts is how many parts of an answer wait for the reader before the node has to.
const maxParts = 4

// answer is what a node answers to one question: parts, until the last one or an error.
type answer struct {
	hub     *Hub
	line    *line
	node    fabric.NodeName
	id      string
	endless bool
	parts   chan *weftv1.AnswerRequest

	// under the hub's lock
	seq      uint32 // of the next part
	busy     bool   // a part waits for the reader
	complete bool   // the last part has come
	err      error  // why it ended early
	stopped  bool
	ended    chan struct{} // closed when it ended early
	watchdog *time.Timer
}

// Answer takes a part of an answer from a node. It returns when there is room for the next one; stop says that none is
// wanted. The error is the node's mistake.
func (h *Hub) Answer(ctx context.Context, node fabric.NodeName, part *weftv1.AnswerRequest) (stop bool, err error) {
	a, known, err := h.admit(node, part)
	if a == nil {
		return !known, err
	}
	if part.Part != nil || part.Last {
		ctx, cancel := context.WithTimeoutCause(ctx, Patience, errSlow)
		defer cancel()
		select {
		case a.parts <- part:
		case <-a.ended:
			return true, nil
		case <-ctx.Done():
			a.end(cause(ctx))
			return true, nil
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a.busy = false
	switch {
	case part.Last:
		h.stop(a, nil)
	case a.stopped:
		return true, nil
	default:
		a.watchdog.Reset(Silence)
	}
	return false, nil
}

// cause is why a part that waited for its reader doesn't any more.
func cause(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	return errLost
}

// admit finds the answer that a part is of; nil when the part needs nothing done.
func (h *Hub) admit(node fabric.NodeName, part *weftv1.AnswerRequest) (a *answer, known bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lines[node]
	if l == nil || l.asked[part.Id] == nil {
		return nil, false, nil
	}
	a = l.asked[part.Id]
	switch {
	case part.Seq < a.seq:
		return nil, true, nil // it was sent twice
	case part.Seq > a.seq || a.busy:
		return nil, true, fmt.Errorf("part %d of the answer came before part %d was taken: parts come one after the other", part.Seq, a.seq)
	}
	a.seq++
	a.busy, a.complete = true, part.Last
	a.watchdog.Stop()
	return a, true, nil
}

// next returns the next part. Parts that came before an error are returned before it.
func (a *answer) next(ctx context.Context) (*weftv1.AnswerRequest, error) {
	select {
	case p := <-a.parts:
		return p, nil
	default:
	}
	select {
	case p := <-a.parts:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.ended:
	}
	select {
	case p := <-a.parts:
		return p, nil
	default:
		return nil, a.err
	}
}

// end ends an answer that is not complete; the node is told.
func (a *answer) end(why error) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.hub.stop(a, why)
}

// stop ends an answer: complete, or for a reason. The lock is held.
func (h *Hub) stop(a *answer, why error) {
	if a.stopped {
		return
	}
	a.stopped, a.err = true, why
	a.watchdog.Stop()
	l := a.line
	delete(l.asked, a.id)
	if a.endless {
		l.endless--
	}
	if why != nil {
		close(a.ended)
	}
	if !a.complete {
		h.cancel(l, a.id)
	}
	h.grant(l)
}

// cancel tells a node that a question needs no further answer. The lock is held.
func (h *Hub) cancel(l *line, id string) {
	before := len(l.unsent)
	l.unsent = slices.DeleteFunc(l.unsent, func(q *weftv1.Question) bool { return q.Id == id })
	if l.err != nil || len(l.unsent) < before || len(l.unsent) >= MaxAsked+maxCancels {
		return // the node doesn't know it, or learns it with its next part
	}
	h.send(l, &weftv1.Question{Id: id, Ask: &weftv1.Question_Cancel{Cancel: &weftv1.Cancel{}}})
}

// Relay puts a question to a node that is connected here, and gives send the parts of the answer. The last one always
// comes: with an error if the node's didn't. The error returned is send's.
func (h *Hub) Relay(ctx context.Context, node fabric.NodeName, q Ask, send func(*weftv1.AnswerRequest) error) error {
	fail := func(err error) error { return send(&weftv1.AnswerRequest{Last: true, Error: err.Error()}) }
	ctx, cancel := withDeadline(ctx, q.Question)
	defer cancel()
	a, err := h.ask(ctx, node, q)
	if err != nil {
		return fail(inTime(ctx, err))
	}
	defer a.end(errNobody)
	for {
		p, err := a.next(ctx)
		if err != nil {
			return fail(inTime(ctx, err))
		}
		if err := send(p); err != nil || p.Last {
			return err
		}
	}
}

// slack is how much later than the node's deadline the answer may come.
const slack = 3 * time.Second

// withDeadline bounds the answer to a question that has a timeout.
func withDeadline(ctx context.Context, q *weftv1.Question) (context.Context, context.CancelFunc) {
	if q.TimeoutMs == 0 {
		return context.WithCancel(ctx)
	}
	timeout := time.Duration(q.TimeoutMs) * time.Millisecond
	return context.WithTimeoutCause(ctx, timeout+slack, fmt.Errorf("the node has not answered within %v", timeout))
}

// inTime says which deadline has passed.
func inTime(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}
