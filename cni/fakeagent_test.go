package cni_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// fakeAgent listens where an agent would, records the requests, and answers as told.
type fakeAgent struct {
	socket string
	answer func(cniwire.Request) *cniwire.Response // nil: hang up without an answer

	mu   sync.Mutex
	seen []cniwire.Request
}

func startAgent(t *testing.T, answer func(cniwire.Request) *cniwire.Response) *fakeAgent {
	t.Helper()
	a := &fakeAgent{socket: filepath.Join(t.TempDir(), "agent.sock"), answer: answer}
	l, err := net.Listen("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { a.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return a
}

func (a *fakeAgent) serve(conn net.Conn) {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	var req cniwire.Request
	if err != nil || json.Unmarshal(line, &req) != nil {
		return
	}
	a.mu.Lock()
	a.seen = append(a.seen, req)
	a.mu.Unlock()
	if resp := a.answer(req); resp != nil {
		out, _ := json.Marshal(resp)
		conn.Write(append(out, '\n'))
	}
}

func (a *fakeAgent) requests() []cniwire.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]cniwire.Request(nil), a.seen...)
}

// goodAnswer is what an agent answers that has no trouble.
func goodAnswer(req cniwire.Request) *cniwire.Response {
	switch {
	case req.Add != nil:
		return &cniwire.Response{Interface: &cniwire.Interface{
			MAC: mustMAC("02:00:00:00:00:05"), MTU: 1450, HostName: "weft0005",
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24"), netip.MustParsePrefix("fd00::5/64")},
			Gateways:  []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
			Network:   "acme/prod", Identity: "0x000101",
		}}
	case req.Status != nil:
		return &cniwire.Response{Status: &cniwire.AgentStatus{Ready: true}}
	}
	return &cniwire.Response{}
}

func mustMAC(s string) fabric.MAC {
	m, err := fabric.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}
