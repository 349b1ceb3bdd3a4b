package scrape_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/weftfabric/weft/scrape"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = scrape.Table[float64]{
	{Name: "test_value", Help: "A value.", Kind: scrape.Gauge, Labels: []string{"of"}, Values: func(v float64, put scrape.Put) { put(v, "it") }},
}

// endpoint is a server under test.
type endpoint struct {
	t    *testing.T
	addr string
	stop func() // ends it, and waits
}

func serve(t *testing.T, cfg scrape.Config[float64]) *endpoint {
	t.Helper()
	l, err := scrape.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Table, cfg.Log = table, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- scrape.Serve(ctx, l, cfg) }()
	e := &endpoint{t: t, addr: l.Addr().String()}
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the endpoint doesn't end")
		}
	}
	t.Cleanup(e.stop)
	return e
}

func (e *endpoint) get(method, path string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, "http://"+e.addr+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func constant(v float64) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) { return v, nil }
}

func TestServe(t *testing.T) {
	lib := prometheus.NewGauge(prometheus.GaugeOpts{Name: "library_bytes", Help: "A library's."})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "library_other", Help: "Another."})
	prometheus.MustRegister(lib, other)
	defer prometheus.Unregister(lib)
	defer prometheus.Unregister(other)
	e := serve(t, scrape.Config[float64]{Read: constant(42), Also: []string{"library_bytes"}})
	code, body := e.get("GET", scrape.Path)
	for _, want := range []string{"# TYPE test_value gauge\ntest_value{of=\"it\"} 42\n", "go_goroutines ", "process_open_fds ", "library_bytes 0"} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, no %q in:\n%s", code, want, body)
		}
	}
	if strings.Contains(body, "library_other") {
		t.Error("metrics that nobody asked for")
	}
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"HEAD", scrape.Path, http.StatusOK},
		{"POST", scrape.Path, http.StatusMethodNotAllowed},
		{"GET", "/", http.StatusNotFound},
		{"GET", "/debug/pprof/", http.StatusNotFound},
		{"GET", scrape.Path + "/x", http.StatusNotFound},
	} {
		if code, _ := e.get(tt.method, tt.path); code != tt.code {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, code, tt.code)
		}
	}
}

// TestUnread: a state that can't be read is an error of the scrape and no number, and the next scrape tries again.
func TestUnread(t *testing.T) {
	var fail atomic.Bool
	fail.Store(true)
	e := serve(t, scrape.Config[float64]{Read: func(context.Context) (float64, error) {
		if fail.Load() {
			return 0, errors.New("the loop is busy")
		}
		return 1, nil
	}})
	if code, body := e.get("GET", scrape.Path); code != http.StatusServiceUnavailable || body != "the loop is busy\n" {
		t.Errorf("%d %q", code, body)
	}
	fail.Store(false)
	if code, _ := e.get("GET", scrape.Path); code != http.StatusOK {
		t.Errorf("%d", code)
	}
}

// TestReadOnce: scrapes that come together cost the state one question.
func TestReadOnce(t *testing.T) {
	var reads atomic.Int32
	e := serve(t, scrape.Config[float64]{Read: func(context.Context) (float64, error) { return float64(reads.Add(1)), nil }})
	start := time.Now()
	for range 20 {
		if code, _ := e.get("GET", scrape.Path); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	if n, most := reads.Load(), int32(time.Since(start)/time.Second)+1; n > most {
		t.Errorf("%d reads, at most %d expected", n, most)
	}
}

// TestEnd: an end comes soon, whatever clients do: one that says nothing, one that keeps its connection, one whose scrape is
// under way.
func TestEnd(t *testing.T) {
	reading := make(chan struct{}, 1)
	e := serve(t, scrape.Config[float64]{Read: func(ctx context.Context) (float64, error) {
		reading <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	}})
	var conns []net.Conn
	for _, say := range []string{"", "GET /", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, say); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if line, err := bufio.NewReader(conns[2]).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	<-reading
	start := time.Now()
	e.stop()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if c, err := net.Dial("tcp", e.addr); err == nil {
		c.Close()
		t.Error("it listens still")
	}
}

func TestListen(t *testing.T) {
	l, err := scrape.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := netip.MustParseAddrPort(l.Addr().String())
	if l, err := scrape.Listen(taken); err == nil || !strings.Contains(err.Error(), taken.String()+": bind: address already in use") {
		t.Errorf("a port that is taken: %v, %v", l, err)
	}
	if l, err := scrape.Listen(netip.MustParseAddrPort("192.0.2.1:7602")); err == nil || !strings.Contains(err.Error(), "cannot assign requested address") {
		t.Errorf("somebody else's address: %v, %v", l, err)
	}
}

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{"", "invalid AddrPort", ""},
		{"127.0.0.1:7602", "127.0.0.1:7602", ""},
		{"[::1]:7602", "[::1]:7602", ""},
		{"0.0.0.0:7602", "0.0.0.0:7602", ""},
		{"[fe80::1%eth0]:7602", "[fe80::1%eth0]:7602", ""},
		{":7602", "", "not an IP address with a port"},
		{"7602", "", "not an IP address with a port"},
		{"127.0.0.1", "", "not an IP address with a port"},
		{"localhost:7602", "", "not an IP address with a port"},
		{"http://127.0.0.1:7602/metrics", "", "not an IP address with a port"},
		{"127.0.0.1:0", "", "port 0"},
		{"127.0.0.1:65536", "", "not an IP address with a port"},
		{"127.0.0.1:-1", "", "not an IP address with a port"},
		{"224.0.0.1:7602", "", "multicast"},
		{"127.0.0.1:7602 ", "", "not an IP address with a port"},
		{strings.Repeat("1", 10000), "", "not an IP address with a port"},
	} {
		a, err := scrape.ParseAddress(tt.text)
		if tt.err == "" && (err != nil || a.String() != tt.want) {
			t.Errorf("%q: %v, %v", tt.text, a, err)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || len(err.Error()) > 250) {
			t.Errorf("%q: %v, %v", tt.text, a, err)
		}
	}
}
