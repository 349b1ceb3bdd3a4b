package socket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/agent/socket"
	"github.com/weftfabric/weft/wire/cniwire"
)

func echo(_ context.Context, r cniwire.Request) cniwire.Response {
	if r.Del != nil {
		return cniwire.Response{Error: &cniwire.Error{Code: cniwire.CodeNotFound, Message: r.Del.ContainerID}}
	}
	return cniwire.Response{Status: &cniwire.AgentStatus{Node: "n1"}}
}

// serve runs a server on a socket until the test ends.
func serve(t *testing.T, handle socket.Handler) string {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	dir, err := os.MkdirTemp("", "weft-sock-") // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "run", "agent.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- socket.Serve(ctx, l, handle, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, leaks)
		_ = os.RemoveAll(dir)
	})
	return path
}

// exchange sends bytes and reads the response.
func exchange(t *testing.T, path, request string) cniwire.Response {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = io.WriteString(c, request); _ = c.(*net.UnixConn).CloseWrite() }()
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	var resp cniwire.Response
	if err := json.Unmarshal(line, &resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestServe(t *testing.T) {
	path := serve(t, echo)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v (%v)", info.Mode(), err)
	}
	tests := []struct{ name, request, says string }{
		{"status", `{"status":{}}` + "\n", ""},
		{"the handler's error", `{"del":{"containerID":"c1","ifName":"eth0"}}` + "\n", "c1"},
		{"not JSON", "hello\n", "malformed"},
		{"wrong type", `{"add":7}` + "\n", "malformed"},
		{"cut off", `{"status":{}`, "cut off"},
		{"nothing", "", "cut off"},
		{"too large", strings.Repeat("x", cniwire.MaxMessage+100) + "\n", "more than"},
		{"bad address", `{"add":{"addresses":["10.0.0.300"]}}` + "\n", "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := exchange(t, path, tt.request)
			switch {
			case tt.says == "" && (resp.Error != nil || resp.Status.Node != "n1"):
				t.Errorf("response: %+v", resp)
			case tt.says != "" && (resp.Error == nil || !strings.Contains(resp.Error.Message, tt.says)):
				t.Errorf("response: %+v, want an error with %q", resp, tt.says)
			}
		})
	}
}

func TestListenTakesALeftoverButNoLiveSocket(t *testing.T) {
	path := serve(t, echo)
	if _, err := socket.Listen(path); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second agent: %v", err)
	}
	dead := filepath.Join(filepath.Dir(path), "dead.sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	l, err = socket.Listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// TestSlowClient holds that a client that says nothing gets an answer and is let go, in the bubble's time.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- socket.Serve(ctx, l, echo, slog.New(slog.DiscardHandler)) }()
		client, server := net.Pipe()
		l.conns <- server
		start := time.Now()
		line, err := bufio.NewReader(client).ReadString('\n')
		if err != nil || !strings.Contains(line, "invalid") {
			t.Errorf("response %q, %v", line, err)
		}
		if waited := time.Since(start); waited > 10*time.Second {
			t.Errorf("a slow client was kept for %v", waited)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pipeListener accepts what the test gives it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }
