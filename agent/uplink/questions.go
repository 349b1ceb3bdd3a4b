package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

const (
	maxQuestions = 16      // that the node works on at once; a controller asks fewer
	maxPart      = 1 << 20 // bytes of a part of an answer
	// partTimeout is how long a controller may take for a part: its reader may be slow.
	partTimeout = 20 * time.Second
	// stillAtIt is after how long without a part the controller is told that the answer goes on.
	stillAtIt = 5 * time.Second

	minQuestionPause = 200 * time.Millisecond
	maxQuestionPause = 15 * time.Second
)

// What ends the work on a question early.
var (
	errNobodyListens = errors.New("nobody listens to the answer any more")
	errTooMany       = fmt.Errorf("the node works on %d questions already", maxQuestions)
)

// Answerer answers a question. It gives send one part after the other, each with one content and at most a megabyte; send returns
// when there is room for the next, and an error when nobody listens any more: then ctx has ended too. The error returned
// becomes the end of the answer. ErrUnknownQuestion is for what it doesn't know.
type Answerer func(ctx context.Context, q *weftv1.Question, send func(*weftv1.AnswerRequest) error) error

// ErrUnknownQuestion answers a question that the agent doesn't know.
var ErrUnknownQuestion = errors.New("unknown question: this node's agent is older than the one who asks")

// TakeQuestions has the questions answered that users ask of the node, by way of the controller that has the plan
// stream, until ctx ends. It waits for all answers that it has begun.
func (u *Uplink) TakeQuestions(ctx context.Context, answer Answerer, log *slog.Logger) {
	pause, said := minQuestionPause, ""
	for ctx.Err() == nil {
		err := u.takeQuestions(ctx, answer, func() { pause, said = minQuestionPause, "" })
		if err == nil || ctx.Err() != nil {
			continue
		}
		if connect.CodeOf(err) == connect.CodeUnimplemented {
			pause = maxQuestionPause
		}
		if err.Error() != said {
			said = err.Error()
			log.Debug("no questions from the controller", "error", err, "retry", pause)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxQuestionPause)
	}
}

// takeQuestions is one question stream. What was asked on it ends with it.
func (u *Uplink) takeQuestions(ctx context.Context, answer Answerer, alive func()) (err error) {
	servers, err := u.turn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &workers{node: servers[0].node, answer: answer, asked: map[string]context.CancelCauseFunc{}}
	defer w.wait.Wait()
	defer cancel()
	stream, err := servers[0].node.WatchQuestions(ctx, connect.NewRequest(&weftv1.WatchQuestionsRequest{}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	for stream.Receive() {
		alive()
		w.take(ctx, stream.Msg())
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("the controller ended the question stream"))
}

// workers answer the questions of one stream.
type workers struct {
	node   weftv1connect.NodeServiceClient
	answer Answerer
	wait   sync.WaitGroup

	mu    sync.Mutex
	asked map[string]context.CancelCauseFunc // by the question's id
}

// take begins or ends the work on a question.
func (w *workers) take(ctx context.Context, q *weftv1.Question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := q.Ask.(*weftv1.Question_Cancel); ok {
		if cancel := w.asked[q.Id]; cancel != nil {
			cancel(errNobodyListens)
		}
		return
	}
	answer := w.answer
	if len(w.asked) >= maxQuestions {
		answer = func(context.Context, *weftv1.Question, func(*weftv1.AnswerRequest) error) error { return errTooMany }
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w.asked[q.Id] = cancel
	w.wait.Go(func() {
		w.work(ctx, cancel, q, answer)
		cancel(nil)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.asked, q.Id)
	})
}

// work answers one question.
func (w *workers) work(ctx context.Context, cancel context.CancelCauseFunc, q *weftv1.Question, answer Answerer) {
	s := &sender{node: w.node, id: q.Id, cancel: cancel}
	var told sync.WaitGroup
	working, done := context.WithCancel(ctx)
	told.Go(func() { s.keepTelling(ctx, working.Done()) })
	answerCtx := working
	if q.TimeoutMs != 0 {
		var stop context.CancelFunc
		answerCtx, stop = context.WithTimeout(working, time.Duration(q.TimeoutMs)*time.Millisecond)
		defer stop()
	}
	err := ErrUnknownQuestion
	if q.Ask != nil {
		err = answer(answerCtx, q, func(p *weftv1.AnswerRequest) error { return s.send(answerCtx, p) })
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("the node was not done within %v: %w", time.Duration(q.TimeoutMs)*time.Millisecond, err)
	}
	done()
	told.Wait()
	if ctx.Err() != nil {
		return // nobody listens
	}
	last := &weftv1.AnswerRequest{Last: true}
	if err != nil {
		last.Error = err.Error()
	}
	_ = s.send(ctx, last) // one who doesn't hear it notices the silence
}

// sender gives the parts of one answer to the controller, one after the other.
type sender struct {
	node   weftv1connect.NodeServiceClient
	id     string
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	seq  uint32
	told time.Time
}

// send gives the controller a part. An error means that the answer is of no use any more.
func (s *sender) send(ctx context.Context, p *weftv1.AnswerRequest) error {
	if n := proto.Size(p); n > maxPart {
		return fmt.Errorf("a part of the answer has %d bytes, at most %d are allowed", n, maxPart)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tell(ctx, p)
}

// tell sends a part. The lock is held.
func (s *sender) tell(ctx context.Context, p *weftv1.AnswerRequest) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, stop := context.WithTimeout(ctx, partTimeout)
	defer stop()
	p.Id, p.Seq = s.id, s.seq
	s.seq++
	resp, err := s.node.Answer(ctx, connect.NewRequest(p))
	if err == nil && resp.Msg.Stop && !p.Last {
		err = errNobodyListens
	}
	if err != nil {
		s.cancel(err)
		return err
	}
	s.told = time.Now()
	return nil
}

// keepTelling says from time to time that the answer goes on, until it is done: this is also how the node learns that nobody
// listens any more.
func (s *sender) keepTelling(ctx context.Context, done <-chan struct{}) {
	ticker := time.NewTicker(stillAtIt)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		if !s.mu.TryLock() {
			continue // a part is on its way
		}
		if time.Since(s.told) >= stillAtIt {
			_ = s.tell(ctx, &weftv1.AnswerRequest{}) // it ends the work itself
		}
		s.mu.Unlock()
	}
}
