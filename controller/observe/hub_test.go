package observe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node's agent as the hub sees it.
type node struct {
	t    *testing.T
	hub  *observe.Hub
	name fabric.NodeName
	got  chan *weftv1.Question
	stop context.CancelFunc
	err  chan error // of the stream
}

// dial opens a node's question stream.
func dial(t *testing.T, hub *observe.Hub, name fabric.NodeName) *node {
	ctx, cancel := context.WithCancel(t.Context())
	n := &node{t: t, hub: hub, name: name, got: make(chan *weftv1.Question, 1000), stop: cancel, err: make(chan error, 1)}
	go func() {
		n.err <- hub.Serve(ctx, name, func(q *weftv1.Question) error { n.got <- q; return nil })
	}()
	synctest.Wait()
	return n
}

// answer gives a part, and returns whether another one is wanted.
func (n *node) answer(q *weftv1.Question, seq uint32, text string, last bool) (stop bool) {
	n.t.Helper()
	p := &weftv1.AnswerRequest{Id: q.Id, Seq: seq, Last: last}
	if text != "" {
		p.Part = &weftv1.AnswerRequest_Inspect{Inspect: &weftv1.InspectPart{Flows: []byte(text)}}
	}
	stop, err := n.hub.Answer(n.t.Context(), n.name, p)
	if err != nil {
		n.t.Error(err)
	}
	return stop
}

func question(timeout time.Duration) *weftv1.Question {
	return &weftv1.Question{TimeoutMs: uint32(timeout.Milliseconds()), Ask: &weftv1.Question_Inspect{Inspect: &weftv1.InspectQuestion{}}}
}

// heard is what one who asks has heard: the parts' texts, and at the end "." or the error.
type heard struct {
	text chan string
	done chan error
}

// ask asks a node in the background.
func ask(ctx context.Context, hub *observe.Hub, name fabric.NodeName, q observe.Ask, read func() error) *heard {
	h := &heard{make(chan string, 1000), make(chan error, 1)}
	go func() {
		h.done <- hub.Relay(ctx, name, q, func(p *weftv1.AnswerRequest) error {
			if text := string(p.GetInspect().GetFlows()); text != "" {
				h.text <- text
			}
			if p.Last {
				h.text <- "." + p.Error
			}
			return read()
		})
	}()
	synctest.Wait()
	return h
}

func atOnce() error { return nil }

// all returns what was heard so far.
func (h *heard) all() string {
	synctest.Wait()
	var out []string
	for len(h.text) > 0 {
		out = append(out, <-h.text)
	}
	return strings.Join(out, " ")
}

func (h *heard) expect(t *testing.T, want string) {
	t.Helper()
	if got := h.all(); got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := observe.NewHub()
		n := dial(t, hub, "n1")
		h := ask(t.Context(), hub, "n1", observe.Ask{Question: question(time.Minute)}, atOnce)
		q := <-n.got
		n.answer(q, 0, "a", false)
		n.answer(q, 0, "a", false) // twice
		n.answer(q, 1, "", false)
		if _, err := hub.Answer(t.Context(), "n1", &weftv1.AnswerRequest{Id: q.Id, Seq: 7}); err == nil {
			t.Error("a part out of order was taken")
		}
		if stop, err := hub.Answer(t.Context(), "n2", &weftv1.AnswerRequest{Id: q.Id, Seq: 2}); !stop || err != nil {
			t.Error("another node's answer was taken", stop, err)
		}
		n.answer(q, 2, "b", true)
		h.expect(t, "a b .")
		if err := <-h.done; err != nil {
			t.Error(err)
		}
		if !n.answer(q, 3, "c", false) {
			t.Error("an answer goes on after its end")
		}
		synctest.Wait()
		if len(n.got) != 0 {
			t.Errorf("the node was told %v", <-n.got)
		}
		n.stop()
		<-n.err
	})
}

// TestEnds is how answers end early.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		cancelled  bool // the node is told
		end        func(t *testing.T, n *node, q *weftv1.Question, cancel context.CancelFunc)
	}{
		{"the node's connection", "a .the connection to the node was lost", false, func(_ *testing.T, n *node, _ *weftv1.Question, _ context.CancelFunc) { n.stop() }},
		{"a new stream", "a .the node has opened another question stream", false, func(t *testing.T, n *node, _ *weftv1.Question, _ context.CancelFunc) {
			again := dial(t, n.hub, "n1")
			if err := <-n.err; !errors.Is(err, observe.ErrReplaced) {
				t.Error(err)
			}
			n.err <- nil
			again.stop()
			<-again.err
		}},
		{"silence", "a .the node has said nothing for 20s", true, func(_ *testing.T, _ *node, _ *weftv1.Question, _ context.CancelFunc) { time.Sleep(observe.Silence) }},
		{"the deadline", "a .the node has not answered within 1m0s", true, func(_ *testing.T, n *node, q *weftv1.Question, _ context.CancelFunc) {
			for i := range uint32(12) {
				time.Sleep(observe.Silence / 4)
				n.answer(q, 1+i, "", false)
			}
			time.Sleep(5 * time.Second)
		}},
		{"the caller", "a .context canceled", true, func(_ *testing.T, _ *node, _ *weftv1.Question, cancel context.CancelFunc) { cancel() }},
		{"the node's error", "a .no such thing", false, func(_ *testing.T, n *node, q *weftv1.Question, _ context.CancelFunc) {
			_, _ = n.hub.Answer(n.t.Context(), "n1", &weftv1.AnswerRequest{Id: q.Id, Seq: 1, Last: true, Error: "no such thing"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := observe.NewHub()
				n := dial(t, hub, "n1")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				h := ask(ctx, hub, "n1", observe.Ask{Question: question(time.Minute)}, atOnce)
				q := <-n.got
				n.answer(q, 0, "a", false)
				tt.end(t, n, q, cancel)
				h.expect(t, tt.want)
				<-h.done
				if told := len(n.got) == 1 && (<-n.got).GetCancel() != nil; told != tt.cancelled {
					t.Errorf("the node was told: %v, want %v", told, tt.cancelled)
				}
				if !n.answer(q, 99, "z", false) {
					t.Error("the node may go on")
				}
				n.stop()
				<-n.err
			})
		})
	}
}

// TestSlowReader: the node waits for one who reads slowly, until that takes too long.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := observe.NewHub()
		n := dial(t, hub, "n1")
		read := make(chan struct{})
		h := ask(t.Context(), hub, "n1", observe.Ask{Question: question(0)}, func() error { <-read; return nil })
		q := <-n.got
		start, seq := time.Now(), uint32(0)
		for ; time.Since(start) == 0; seq++ {
			if n.answer(q, seq, "x", false) {
				break
			}
		}
		if waited := time.Since(start); waited != observe.Patience || seq > 8 {
			t.Errorf("after %d parts the node waited for %v", seq, waited)
		}
		close(read)
		h.expect(t, strings.Repeat("x ", int(seq))+".the answer was not read for 10s")
		n.stop()
		<-n.err
	})
}

// TestTurns: a node gets so many questions at once and no more, endless ones leave room for others, and callers take turns.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := observe.NewHub()
		n := dial(t, hub, "n1")
		ctx, cancel := context.WithCancel(t.Context())
		all := map[string]*heard{}
		put := func(caller string, i int, timeout time.Duration) {
			q := question(timeout)
			all[fmt.Sprint(caller, i)] = ask(ctx, hub, "n1", observe.Ask{Caller: caller, Question: q}, atOnce)
		}
		for i := range observe.MaxEndless + 2 {
			put("logs", i, 0)
		}
		if len(n.got) != observe.MaxEndless {
			t.Fatalf("%d endless questions at once", len(n.got))
		}
		for range observe.MaxEndless {
			<-n.got
		}
		for i := range 40 {
			put("greedy", i, time.Hour)
		}
		put("modest", 0, time.Hour)
		if len(n.got) != observe.MaxAsked-observe.MaxEndless {
			t.Fatalf("%d questions at once", len(n.got))
		}
		n.answer(<-n.got, 0, "", true)
		all["modest0"].expect(t, "")
		synctest.Wait()
		for range observe.MaxAsked - observe.MaxEndless {
			n.answer(<-n.got, 0, "", true)
		}
		all["modest0"].expect(t, ".")
		for i := len(all); i <= observe.MaxWaiting+observe.MaxAsked+10; i++ {
			put("greedy", i, time.Hour)
		}
		last := all[fmt.Sprint("greedy", observe.MaxWaiting+observe.MaxAsked+10)]
		last.expect(t, ".64 questions wait for the node already: ask again later")
		cancel()
		synctest.Wait()
		for name, h := range all {
			if err := <-h.done; err != nil {
				t.Error(name, err)
			}
		}
		h := ask(t.Context(), hub, "n1", observe.Ask{Question: question(time.Hour)}, atOnce)
		synctest.Wait()
		var q *weftv1.Question
		for len(n.got) > 0 {
			q = <-n.got
		}
		n.answer(q, 0, "free again", true)
		h.expect(t, "free again .")
		n.stop()
		<-n.err
	})
}
