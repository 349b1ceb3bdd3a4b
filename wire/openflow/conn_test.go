package openflow_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/weftfabric/weft/wire/openflow"
)

// fakeSwitch is the other end of a connection, under the control of a test.
type fakeSwitch struct {
	t  *testing.T
	nc net.Conn
}

// octets makes a message of OpenFlow 1.5.
func octets(kind byte, xid uint32, body ...byte) []byte {
	b := []byte{6, kind, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, xid), body...)
}

// read returns the next message's type, xid and body.
func (s *fakeSwitch) read() (kind byte, xid uint32, body []byte) {
	h := make([]byte, 8)
	if _, err := io.ReadFull(s.nc, h); err != nil {
		s.t.Errorf("the switch reads: %v", err)
		return 0, 0, nil
	}
	body = make([]byte, binary.BigEndian.Uint16(h[2:])-8)
	io.ReadFull(s.nc, body)
	return h[1], binary.BigEndian.Uint32(h[4:]), body
}

func (s *fakeSwitch) write(b []byte) {
	if _, err := s.nc.Write(b); err != nil {
		s.t.Errorf("the switch writes: %v", err)
	}
}

// connect joins a Conn to a fake switch that has said hello and answered the first barrier.
func connect(t *testing.T) (*Conn, *fakeSwitch) {
	a, b := net.Pipe()
	s := &fakeSwitch{t, b}
	go func() {
		s.read()
		s.write(octets(0, 1))
		for {
			switch kind, xid, _ := s.read(); kind {
			case 7: // what it does with fragments
				s.write(octets(8, xid, 0, 0, 0, 128))
			case 20, 0:
				s.write(octets(21, xid))
				return
			}
		}
	}()
	c, err := Start(context.Background(), a, "br-test.mgmt")
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestHello(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"another version", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x12}, "openflow: br-test.mgmt: the bridge doesn't speak OpenFlow 1.5: add OpenFlow15 to its protocols"},
		{"refused", octets(1, 0, 0, 0, 0, 0), "openflow: br-test.mgmt: the bridge doesn't speak OpenFlow 1.5: add OpenFlow15 to its protocols: OFPHFC_INCOMPATIBLE (OpenFlow error 0, 0)"},
		{"no hello", octets(2, 0), "openflow: br-test.mgmt: the bridge began with message type 2 instead of hello"},
		{"not OpenFlow", []byte("HTTP/1.1 400 Bad Request"), "openflow: br-test.mgmt: hello: unexpected EOF"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			s := &fakeSwitch{t, b}
			go func() {
				s.read()
				s.write(tt.answer)
				b.Close()
			}()
			_, err := Start(context.Background(), a, "br-test.mgmt")
			if err == nil {
				t.Fatalf("%s: no error", tt.name)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
		})
	}
}

func TestSilentSwitchIsProbedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connect(t)
		defer c.Close()
		start := time.Now()
		if kind, xid, _ := s.read(); kind != 2 {
			t.Errorf("message %d instead of an echo request", kind)
		} else {
			s.write(octets(3, xid))
		}
		if kind, _, _ := s.read(); kind != 2 {
			t.Errorf("message %d instead of a second echo request", kind)
		}
		<-c.Done()
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("given up after %v", d)
		}
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), "br-test.mgmt") {
			t.Error(err)
		}
	})
}

func TestEchoIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connect(t)
		defer c.Close()
		s.write(octets(2, 77, 'h', 'i'))
		kind, xid, body := s.read()
		if kind != 3 || xid != 77 || string(body) != "hi" {
			t.Errorf("got message %d, xid %d, %q", kind, xid, body)
		}
	})
}

// Replies reach the requests that they answer, in whatever order they come; a request that was given up
// doesn't disturb the others.
func TestRepliesAreMatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connect(t)
		defer c.Close()
		ctx, cancel := context.WithCancel(context.Background())
		errs := [3]chan error{}
		var xids [3]uint32
		for i := range errs {
			errs[i] = make(chan error, 1)
			cctx := context.Background()
			if i == 1 {
				cctx = ctx
			}
			go func() { errs[i] <- c.Barrier(cctx) }()
			_, xids[i], _ = s.read()
		}
		cancel()
		if err := <-errs[1]; !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		s.write(octets(21, xids[2]))
		if err := <-errs[2]; err != nil {
			t.Error(err)
		}
		s.write(octets(21, xids[1]))
		s.write(octets(1, xids[0], 0, 1, 0, 1))
		var refused *Error
		if err := <-errs[0]; !errors.As(err, &refused) || refused.Type != 1 || refused.Code != 1 {
			t.Errorf("refused: %v", err)
		}
	})
}

func TestCloseEndsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connect(t)
		result := make(chan error, 1)
		go func() { result <- c.Barrier(context.Background()) }()
		s.read()
		c.Close()
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := c.Bundle(context.Background(), []Mod{FlowMod{Command: Add}}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := c.Close(); err != nil || !errors.Is(c.Err(), ErrClosed) {
			t.Error(err, c.Err())
		}
	})
}

// A switch that doesn't read ends the connection when the deadline of the write has passed.
func TestStuckSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t)
		defer c.Close()
		if err := c.Barrier(context.Background()); err == nil || !strings.Contains(err.Error(), "write") {
			t.Error(err)
		}
	})
}

// Packet-ins that nobody takes are dropped and counted; what isn't taken doesn't stop replies.
func TestPacketInsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connect(t)
		defer c.Close()
		body := append([]byte{0, 0, 0x23, 0x20, 0, 0, 0, 30}, 0, 0, 0, 6, 'h', 'i', 0, 0)
		for range 300 {
			s.write(octets(4, 0, body...))
		}
		synctest.Wait()
		if n := c.PacketInsDropped(); n != 300-256 {
			t.Errorf("%d dropped", n)
		}
		if p := <-c.PacketIns(); string(p.Packet) != "hi" || p.FullLen != 2 {
			t.Errorf("%+v", p)
		}
		result := make(chan error, 1)
		go func() { result <- c.Barrier(context.Background()) }()
		_, xid, _ := s.read()
		s.write(octets(21, xid))
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

func TestGarbageEndsTheConnection(t *testing.T) {
	for _, garbage := range [][]byte{{6, 0, 0, 7, 0, 0, 0, 0}, {1, 5, 0, 8, 0, 0, 0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			c, s := connect(t)
			s.write(garbage)
			<-c.Done()
			if err := c.Err(); err == nil || errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			c.Close()
		})
	}
}
