package observe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// The limits of one node.
const (
	MaxAsked   = 8  // questions that it works on at once
	MaxEndless = 4  // of them, those without a deadline: the others must get through
	MaxWaiting = 64 // questions that wait for their turn
	maxCancels = 64 // that wait to be sent
)

const (
	// Silence is how long a node may say nothing about a question. It says that it is still at it more often.
	Silence = 20 * time.Second
	// Patience is how long a part of an answer waits for one who reads slowly.
	Patience = 10 * time.Second
)

// What ends an answer early.
var (
	ErrNotHere  = errors.New("the node is not connected to this controller")
	ErrReplaced = errors.New("the node has opened another question stream")
	errLost     = errors.New("the connection to the node was lost")
	errSilent   = fmt.Errorf("the node has said nothing for %v", Silence)
	errSlow     = fmt.Errorf("the answer was not read for %v", Patience)
	errBusy     = fmt.Errorf("%d questions wait for the node already: ask again later", MaxWaiting)
	errNobody   = errors.New("nobody listens any more")
)

// Hub holds the question streams of the nodes that are connected here. Its methods may be called from any goroutine.
type Hub struct {
	mu    sync.Mutex
	lines map[fabric.NodeName]*line
}

// NewHub returns a hub without nodes.
func NewHub() *Hub { return &Hub{lines: map[fabric.NodeName]*line{}} }

// line is the question stream of one node, under the hub's lock.
type line struct {
	unsent  []*weftv1.Question
	wake    chan struct{} // of one place: there is something to send
	ended   chan struct{}
	err     error // why it ended
	asked   map[string]*answer
	endless int // of asked
	turns   turns
}

// Nodes returns the nodes that are connected here, in order.
func (h *Hub) Nodes() []fabric.NodeName {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.lines))
}

// Serve hands out a node's questions until ctx ends, send fails, or the node opens another stream.
func (h *Hub) Serve(ctx context.Context, node fabric.NodeName, send func(*weftv1.Question) error) error {
	l := h.open(node)
	defer h.close(node, l, errLost)
	for {
		for _, q := range h.take(l) {
			if err := send(q); err != nil {
				return err
			}
		}
		select {
		case <-l.wake:
		case <-l.ended:
			return l.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open ends the node's older line.
func (h *Hub) open(node fabric.NodeName) *line {
	l := &line{wake: make(chan struct{}, 1), ended: make(chan struct{}), asked: map[string]*answer{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.lines[node]; old != nil {
		h.end(old, ErrReplaced)
	}
	h.lines[node] = l
	return l
}

func (h *Hub) close(node fabric.NodeName, l *line, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lines[node] == l {
		delete(h.lines, node)
	}
	h.end(l, err)
}

// end ends a line, and every answer that was to come over it. The lock is held.
func (h *Hub) end(l *line, err error) {
	if l.err != nil {
		return
	}
	l.err = err
	close(l.ended)
	for _, a := range l.asked {
		h.stop(a, err)
	}
}

// take returns what is to be sent.
func (h *Hub) take(l *line) []*weftv1.Question {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := l.unsent
	l.unsent = nil
	return out
}

// Ask is a question and who asks it.
type Ask struct {
	Caller string
	// Question needs no id. Without a timeout its answer is endless.
	Question *weftv1.Question
}

// ask puts a question to a node, when it is its turn.
func (h *Hub) ask(ctx context.Context, node fabric.NodeName, q Ask) (*answer, error) {
	h.mu.Lock()
	l := h.lines[node]
	if l == nil {
		h.mu.Unlock()
		return nil, ErrNotHere
	}
	w := &turn{caller: q.Caller, endless: q.Question.GetTimeoutMs() == 0, granted: make(chan struct{})}
	if !l.turns.join(w) {
		h.mu.Unlock()
		return nil, errBusy
	}
	h.grant(l)
	h.mu.Unlock()
	var err error
	select {
	case <-w.granted:
	case <-l.ended:
		err = l.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		err = l.err
	}
	if err != nil {
		h.giveUp(l, w)
		return nil, err
	}
	return h.begin(l, node, q.Question), nil
}

// grant gives turns to those who wait while the node can work on more. The lock is held. A turn counts as a question
// from then on.
func (h *Hub) grant(l *line) {
	for len(l.asked)+l.turns.granted < MaxAsked {
		w := l.turns.next(l.endless < MaxEndless)
		if w == nil {
			return
		}
		if w.endless {
			l.endless++
		}
		l.turns.granted++
		close(w.granted)
	}
}

// giveUp takes a turn back that isn't wanted any more. The lock is held.
func (h *Hub) giveUp(l *line, w *turn) {
	select {
	case <-w.granted:
		l.turns.granted--
		if w.endless {
			l.endless--
		}
		h.grant(l)
	default:
		l.turns.leave(w)
	}
}

// begin turns a granted turn into a question. The lock is held.
func (h *Hub) begin(l *line, node fabric.NodeName, question *weftv1.Question) *answer {
	q, _ := proto.Clone(question).(*weftv1.Question) // Clone keeps the type
	q.Id = rand.Text()
	a := &answer{hub: h, line: l, node: node, id: q.Id, endless: q.TimeoutMs == 0, parts: make(chan *weftv1.AnswerRequest, maxParts), ended: make(chan struct{})}
	a.watchdog = time.AfterFunc(Silence, func() { a.end(errSilent) })
	l.turns.granted--
	l.asked[a.id] = a
	h.send(l, q)
	return a
}

// send has a question sent. The lock is held.
func (h *Hub) send(l *line, q *weftv1.Question) {
	l.unsent = append(l.unsent, q)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
