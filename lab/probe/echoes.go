package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// steadyMagic begins the payload of echo requests that are only counted; a number of 8 bytes and a key of 8 follow.
var steadyMagic = []byte("wefs")

// echoBuffer holds the echo replies of many seconds, and every other ICMP message that the socket sees.
const echoBuffer = 1 << 20

// echoSocket sends echo requests to one address and receives their replies.
type echoSocket struct {
	family family
	to     netip.Addr
	conn   *net.IPConn
	key    [8]byte // tells the replies of this socket's requests from others

	mu      sync.Mutex
	waiting map[uint64]time.Time // requests without an answer, by number
}

func listenEchoes(to netip.Addr) (*echoSocket, error) {
	e := &echoSocket{family: familyOf(to), to: to, waiting: map[uint64]time.Time{}}
	copy(e.key[:], NewToken())
	conn, err := net.ListenPacket(e.family.network, e.family.any)
	if err != nil {
		return nil, err
	}
	e.conn = conn.(*net.IPConn)
	if err := e.conn.SetReadBuffer(echoBuffer); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return e, nil
}

// run sends a request at each tick until ctx ends, and then waits for the last replies.
func (e *echoSocket) run(ctx context.Context, t Traffic, c *counter) {
	var receiver sync.WaitGroup
	receiver.Go(func() { e.receive(c) })
	defer receiver.Wait()
	defer func() { _ = e.conn.Close() }()
	tick := time.NewTicker(t.Pings)
	defer tick.Stop()
	for number := uint64(1); ctx.Err() == nil; number++ {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		c.sent()
		e.mu.Lock()
		e.waiting[number] = time.Now()
		e.mu.Unlock()
		if _, err := e.conn.WriteTo(e.request(number), &net.IPAddr{IP: e.to.AsSlice()}); err != nil {
			e.mu.Lock()
			delete(e.waiting, number)
			e.mu.Unlock()
			c.lost(1, reason(err))
		}
		e.expire(t.Patience, c)
	}
	for e.expire(t.Patience, c) > 0 {
		<-tick.C
	}
}

// expire counts the requests as lost that are older than patience, and returns how many still wait.
func (e *echoSocket) expire(patience time.Duration, c *counter) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for number, at := range e.waiting {
		if time.Since(at) > patience {
			delete(e.waiting, number)
			c.lost(1, "timeout")
		}
	}
	return len(e.waiting)
}

// receive takes replies until the socket is closed.
func (e *echoSocket) receive(c *counter) {
	buf := make([]byte, 1500)
	for {
		n, _, err := e.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		number, ok := e.number(buf[:n])
		if !ok {
			continue
		}
		e.mu.Lock()
		_, waited := e.waiting[number]
		delete(e.waiting, number)
		e.mu.Unlock()
		if waited {
			c.answered()
		}
	}
}

// request returns the echo request of a number.
func (e *echoSocket) request(number uint64) []byte {
	msg := make([]byte, echoHeader, echoHeader+len(steadyMagic)+16)
	msg[0] = e.family.request
	copy(msg[4:6], e.key[:])
	binary.BigEndian.PutUint16(msg[6:], uint16(number))
	msg = append(msg, steadyMagic...)
	msg = append(binary.BigEndian.AppendUint64(msg, number), e.key[:]...)
	if e.family.checksum {
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	}
	return msg
}

// number returns the number of a reply to one of the socket's requests.
func (e *echoSocket) number(msg []byte) (uint64, bool) {
	if len(msg) != echoHeader+len(steadyMagic)+16 || msg[0] != e.family.reply || !bytes.Equal(msg[echoHeader:][:len(steadyMagic)], steadyMagic) {
		return 0, false
	}
	body := msg[echoHeader+len(steadyMagic):]
	return binary.BigEndian.Uint64(body), bytes.Equal(body[8:], e.key[:])
}
