package uplink_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/pki"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// asker is a controller that asks.
type asker struct {
	weftv1connect.UnimplementedNodeServiceHandler
	ask    chan *weftv1.Question
	end    chan struct{} // a stream takes one to end
	stop   string        // the question that nobody listens to
	opened chan struct{}

	tooMany sync.Map // chan struct{} by id: closed when the node refuses it

	mu    sync.Mutex
	parts map[string][]*weftv1.AnswerRequest
	news  chan struct{}
}

func (a *asker) WatchQuestions(ctx context.Context, _ *connect.Request[weftv1.WatchQuestionsRequest], stream *connect.ServerStream[weftv1.Question]) error {
	a.opened <- struct{}{}
	for {
		select {
		case q := <-a.ask:
			if err := stream.Send(q); err != nil {
				return err
			}
		case <-a.end:
			return connect.NewError(connect.CodeUnavailable, errors.New("it is going down"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *asker) Answer(_ context.Context, req *connect.Request[weftv1.AnswerRequest]) (*connect.Response[weftv1.AnswerResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parts[req.Msg.Id] = append(a.parts[req.Msg.Id], req.Msg)
	if strings.Contains(req.Msg.Error, "works on 16 questions already") {
		close(a.refused(req.Msg.Id))
	}
	select {
	case a.news <- struct{}{}:
	default:
	}
	return connect.NewResponse(&weftv1.AnswerResponse{Stop: req.Msg.Id == a.stop}), nil
}

// refused returns what is closed when the node refuses a question because it has too many.
func (a *asker) refused(id string) chan struct{} {
	c, _ := a.tooMany.LoadOrStore(id, make(chan struct{}))
	return c.(chan struct{})
}

// last waits for the end of an answer, and returns its parts.
func (a *asker) last(t *testing.T, id string) []*weftv1.AnswerRequest {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		parts := a.parts[id]
		a.mu.Unlock()
		if n := len(parts); n > 0 && parts[n-1].Last {
			return parts
		}
		select {
		case <-a.news:
		case <-timeout:
			t.Fatalf("no end of the answer to %s: %v", id, parts)
		}
	}
}

// TestTakeQuestions: what is asked is answered, in order and side by side, and what ends it ends the work.
func TestTakeQuestions(t *testing.T) {
	r := newRig(t)
	a := &asker{ask: make(chan *weftv1.Question), end: make(chan struct{}), stop: "deaf", opened: make(chan struct{}, 10), parts: map[string][]*weftv1.AnswerRequest{}, news: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.Handle(weftv1connect.NewNodeServiceHandler(a))
	h := httptest.NewUnstartedServer(mux)
	h.EnableHTTP2 = true
	h.TLS = pki.NewServerCertificates(r.ca, nil, time.Now, rand.Reader).TLSConfig()
	h.TLS.NextProtos = []string{"h2"}
	h.StartTLS()
	defer h.Close()
	u := r.uplink(t, h.URL)
	begun, ended := make(chan string, 100), make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.TakeQuestions(ctx, func(ctx context.Context, q *weftv1.Question, send func(*weftv1.AnswerRequest) error) error {
			part := func(text string) error {
				return send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Inspect{Inspect: &weftv1.InspectPart{Flows: []byte(text)}}})
			}
			switch q.Id {
			case "two parts":
				return errors.Join(part("a"), part("b"))
			case "fails":
				return errors.New("the switch is away")
			case "too large":
				return part(strings.Repeat("x", 1<<20+1))
			case "deaf":
				err := part("a")
				ended <- err
				return err
			}
			begun <- q.Id
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		}, slog.New(slog.DiscardHandler))
	}()
	put := func(id string, timeout time.Duration) {
		a.ask <- &weftv1.Question{Id: id, TimeoutMs: uint32(timeout.Milliseconds()), Ask: &weftv1.Question_Inspect{}}
	}
	<-a.opened
	put("waits", 0) // answers don't wait for each other
	<-begun
	for id, want := range map[string]string{
		"two parts": "", "fails": "the switch is away", "too large": "a part of the answer has 10485", "short": "the node was not done within 100ms",
	} {
		put(id, 100*time.Millisecond)
		parts := a.last(t, id)
		if got := parts[len(parts)-1].Error; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s ends with %q, want %q", id, got, want)
		}
		for i, p := range parts {
			if p.Seq != uint32(i) {
				t.Errorf("%s: part %d has the number %d", id, i, p.Seq)
			}
		}
		if id == "two parts" && len(parts) != 3 {
			t.Errorf("%d parts", len(parts))
		}
	}
	<-begun // short
	<-ended
	a.ask <- &weftv1.Question{Id: "of the future"}
	if got := a.last(t, "of the future")[0].Error; !strings.HasPrefix(got, "unknown question") {
		t.Errorf("a question of the future: %q", got)
	}
	put("deaf", 0)
	if err := <-ended; err == nil {
		t.Error("nobody listens, and the node doesn't notice")
	}
	a.ask <- &weftv1.Question{Id: "waits", Ask: &weftv1.Question_Cancel{Cancel: &weftv1.Cancel{}}}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("a cancelled question ends with %v", err)
	}
	working, refused := 0, 0
	for i := range 20 { // the node works on 16 at once; those before may still be on their way out
		id := string(rune('A' + i))
		put(id, 0)
		select {
		case <-begun:
			working++
		case <-a.refused(id):
			refused++
		}
	}
	if working > 16 || refused < 4 {
		t.Errorf("works on %d questions at once, and refused %d", working, refused)
	}
	a.end <- struct{}{} // with its stream, each question ends
	for range working {
		<-ended
	}
	<-a.opened
	put("again", 0)
	<-begun
	cancel()
	<-ended
	<-done
}
