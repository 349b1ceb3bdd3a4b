package uplink_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/agent/uplink"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// server is a controller that only counts calls, and answers them with err.
type server struct {
	weftv1connect.UnimplementedNodeServiceHandler
	url   string
	ca    *pki.CA
	calls atomic.Int32
	err   atomic.Pointer[connect.Error]
	end   chan struct{} // ends plan streams
}

func (s *server) answer() error {
	s.calls.Add(1)
	if err := s.err.Load(); err != nil {
		return err
	}
	return nil
}

func (s *server) Join(_ context.Context, req *connect.Request[weftv1.JoinRequest]) (*connect.Response[weftv1.JoinResponse], error) {
	if err := s.answer(); err != nil {
		return nil, err
	}
	public, err := pki.ParseRequest(req.Msg.Csr)
	if err != nil {
		return nil, err
	}
	cert, err := s.ca.Issue(pki.Request{
		Subject: pki.Subject{Role: pki.RoleNode, Name: req.Msg.Node}, Public: public, Now: time.Now(), Validity: pki.NodeValidity}, rand.Reader)
	return connect.NewResponse(&weftv1.JoinResponse{Certificate: cert, Ca: s.ca.Certificate.Raw}), err
}

func (s *server) Register(context.Context, *connect.Request[weftv1.RegisterRequest]) (*connect.Response[weftv1.RegisterResponse], error) {
	return connect.NewResponse(&weftv1.RegisterResponse{}), s.answer()
}

func (s *server) WatchPlan(ctx context.Context, _ *connect.Request[weftv1.WatchPlanRequest], stream *connect.ServerStream[weftv1.PlanUpdate]) error {
	if err := s.answer(); err != nil {
		return err
	}
	if err := stream.Send(&weftv1.PlanUpdate{Revision: 1}); err != nil {
		return err
	}
	select {
	case <-s.end:
		return connect.NewError(connect.CodeUnavailable, errors.New("it is going down"))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rig is a fabric's CA, a node's credentials, and servers.
type rig struct {
	ca  *pki.CA
	dir string
}

func newRig(t *testing.T) rig {
	t.Helper()
	ca, err := pki.NewCA(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := rig{ca: ca, dir: t.TempDir()}
	key, err := apiclient.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{
		Subject: pki.Subject{Role: pki.RoleNode, Name: "n1"}, Public: key.Public(), Now: time.Now(), Validity: pki.NodeValidity}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := apiclient.NewCredentials(ca.Certificate.Raw, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(r.dir); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rig) server(t *testing.T) *server {
	t.Helper()
	s := &server{ca: r.ca, end: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(weftv1connect.NewJoinServiceHandler(s))
	mux.Handle(weftv1connect.NewNodeServiceHandler(s))
	h := httptest.NewUnstartedServer(mux)
	h.EnableHTTP2 = true
	h.TLS = pki.NewServerCertificates(r.ca, nil, time.Now, rand.Reader).TLSConfig()
	h.TLS.NextProtos = []string{"h2"}
	h.StartTLS()
	s.url = h.URL
	t.Cleanup(h.CloseClientConnections)
	return s
}

// uplink returns an uplink to servers, which the first call begins to use.
func (r rig) uplink(t *testing.T, servers ...string) *uplink.Uplink {
	t.Helper()
	m := uplink.Member{Servers: servers, Node: "n1", Dir: r.dir, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	u := uplink.New()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, u) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		u.Close()
	})
	return u
}

func TestMovesOn(t *testing.T) {
	r := newRig(t)
	a, b := r.server(t), r.server(t)
	u := r.uplink(t, "https://127.0.0.1:1", a.url, b.url) // nobody listens on the first
	if err := u.Register(t.Context(), &weftv1.RegisterRequest{}); err != nil {
		t.Fatal(err)
	}
	if a.calls.Load()+b.calls.Load() != 1 {
		t.Errorf("%d and %d calls, want one", a.calls.Load(), b.calls.Load())
	}
	used, other := a, b
	if b.calls.Load() > 0 {
		used, other = b, a
	}
	used.err.Store(connect.NewError(connect.CodeUnavailable, errors.New("no store")))
	if err := u.Register(t.Context(), &weftv1.RegisterRequest{}); err != nil || other.calls.Load() != 1 {
		t.Errorf("the other controller got %d calls: %v", other.calls.Load(), err)
	}
	if err := u.Register(t.Context(), &weftv1.RegisterRequest{}); err != nil || used.calls.Load() != 2 || other.calls.Load() != 2 {
		t.Errorf("it doesn't stay where it got an answer: %d and %d calls, %v", used.calls.Load(), other.calls.Load(), err)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	r := newRig(t)
	a, b := r.server(t), r.server(t)
	for _, s := range []*server{a, b} {
		s.err.Store(connect.NewError(connect.CodePermissionDenied, errors.New("not a member")))
	}
	err := r.uplink(t, a.url, b.url).Register(t.Context(), &weftv1.RegisterRequest{})
	if connect.CodeOf(err) != connect.CodePermissionDenied || a.calls.Load()+b.calls.Load() != 1 {
		t.Errorf("%d and %d calls, %v", a.calls.Load(), b.calls.Load(), err)
	}
}

func TestStreamMovesOn(t *testing.T) {
	r := newRig(t)
	a, b := r.server(t), r.server(t)
	u := r.uplink(t, a.url, b.url)
	for range 3 {
		opened := false
		err := u.Watch(t.Context(), &weftv1.WatchPlanRequest{}, func(*weftv1.PlanUpdate) error {
			if !opened {
				opened = true
				select { // whichever has the stream
				case a.end <- struct{}{}:
				case b.end <- struct{}{}:
				}
			}
			return nil
		})
		if !opened || connect.CodeOf(err) != connect.CodeUnavailable {
			t.Fatalf("opened %v, %v", opened, err)
		}
	}
	if a.calls.Load() == 0 || b.calls.Load() == 0 {
		t.Errorf("%d and %d streams: it always opens the same one", a.calls.Load(), b.calls.Load())
	}
}

// A call that another controller had to answer doesn't draw the node away from the controller of its plan stream.
func TestCallsStayWithTheStream(t *testing.T) {
	r := newRig(t)
	a, b := r.server(t), r.server(t)
	u := r.uplink(t, a.url, b.url)
	err := u.Watch(t.Context(), &weftv1.WatchPlanRequest{}, func(*weftv1.PlanUpdate) error {
		has, other := a, b
		if b.calls.Load() > 0 {
			has, other = b, a
		}
		has.err.Store(connect.NewError(connect.CodeUnavailable, errors.New("etcd was slow")))
		for range 2 {
			if err := u.Register(t.Context(), &weftv1.RegisterRequest{}); err != nil {
				t.Error(err)
			}
		}
		if has.calls.Load() != 3 || other.calls.Load() != 2 {
			t.Errorf("%d calls of the stream's controller, %d of the other", has.calls.Load(), other.calls.Load())
		}
		return errDone
	})
	if !errors.Is(err, errDone) {
		t.Error(err)
	}
}

var errDone = errors.New("done")

func TestUpdateErrorIsReturned(t *testing.T) {
	r := newRig(t)
	wrong := errors.New("the plan doesn't fit")
	err := r.uplink(t, r.server(t).url).Watch(t.Context(), &weftv1.WatchPlanRequest{}, func(*weftv1.PlanUpdate) error { return wrong })
	if !errors.Is(err, wrong) {
		t.Error(err)
	}
}

func TestCallsBeforeJoining(t *testing.T) {
	token := "weft1.00c0ffee01." + strings.Repeat("A", 24) + "." + strings.Repeat("00", 32)
	m := uplink.Member{
		Servers: []string{"https://127.0.0.1:1"}, Node: "n1", Token: token, Dir: t.TempDir(),
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	u := uplink.New()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, u) }()
	for {
		err := u.Register(t.Context(), &weftv1.RegisterRequest{})
		if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "not joined yet") {
			t.Fatalf("got %v", err)
		}
		if strings.Contains(err.Error(), "connection refused") {
			break // it has tried
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestJoinsWhereItCan(t *testing.T) {
	r := newRig(t)
	without, s := r.server(t), r.server(t)
	without.err.Store(connect.NewError(connect.CodeUnavailable, errors.New("no etcd")))
	token, err := r.ca.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := uplink.Member{
		Servers: []string{"https://127.0.0.1:1", without.url, s.url}, Node: "n1", Token: token.String(), Dir: t.TempDir(),
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	u := uplink.New()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	if !u.Expires().IsZero() {
		t.Errorf("a certificate before joining, until %v", u.Expires())
	}
	go func() { ended <- m.Run(ctx, u) }()
	if err := u.Register(t.Context(), &weftv1.RegisterRequest{}); err != nil {
		t.Error(err)
	}
	if left := time.Until(u.Expires()); left < time.Hour || left > 365*24*time.Hour {
		t.Errorf("the certificate expires in %v", left)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRefusedTokenEnds(t *testing.T) {
	r := newRig(t)
	s := r.server(t)
	s.err.Store(connect.NewError(connect.CodeUnauthenticated, errors.New("the token expired")))
	token, err := r.ca.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := uplink.Member{Servers: []string{s.url, s.url}, Node: "n1", Token: token.String(), Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	if err := m.Run(t.Context(), uplink.New()); connect.CodeOf(err) != connect.CodeUnauthenticated || s.calls.Load() != 1 {
		t.Errorf("%d calls, %v", s.calls.Load(), err)
	}
}

func TestWithoutTokenItEnds(t *testing.T) {
	m := uplink.Member{Servers: []string{"https://127.0.0.1:1"}, Node: "n1", Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	if err := m.Run(t.Context(), uplink.New()); err == nil || !strings.Contains(err.Error(), "start once with --token") {
		t.Errorf("got %v", err)
	}
}
