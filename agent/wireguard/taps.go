package wireguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weftfabric/weft/fabric"
)

const (
	etherIPv6  = 0x86dd
	ipv6Header = 40
)

// taps is the packet side of a Gateway: a tun.Device that has a tap for each client. A packet from a client leaves the tap of its
// source address; WireGuard has made sure that the address is the client's. A frame of a tap goes to that tap's client alone, and
// only to an address of its own.
type taps struct {
	name   string
	router fabric.MAC
	mtu    int
	wake   int // an eventfd: the set of taps has changed, or the device is closed
	events chan tun.Event

	mu sync.RWMutex // held for writing while taps are closed
	// byName are the taps that are open, and bySource those of the clients' addresses.
	byName   map[string]*tap
	bySource map[netip.Addr]*tap
	// retired are to be closed by the reader, which may be waiting for them.
	retired []*tap

	closing sync.Once
	closed  atomic.Bool
	readers sync.WaitGroup
}

type tap struct {
	name string
	file *os.File
	fd   int
	// client is written with the lock held.
	client RemoteClient
}

var _ tun.Device = (*taps)(nil)

func newTaps(name string, router fabric.MAC, mtu int) (*taps, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &taps{
		name: name, router: router, mtu: mtu, wake: wake, events: make(chan tun.Event, 1),
		byName: map[string]*tap{}, bySource: map[netip.Addr]*tap{},
	}, nil
}

func (t *taps) has(name string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name] != nil
}

// add takes over an open tap.
func (t *taps) add(name string, file *os.File) error {
	fd := int(file.Fd()) // from here on the descriptor blocks, unless it is told again
	if err := unix.SetNonblock(fd, true); err != nil {
		return errors.Join(fmt.Errorf("tap %s: %w", name, err), file.Close())
	}
	t.mu.Lock()
	t.byName[name] = &tap{name: name, file: file, fd: fd}
	t.mu.Unlock()
	return nil
}

// assign gives the taps their clients; taps of no client are closed.
func (t *taps) assign(clients []RemoteClient) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wanted := make(map[string]RemoteClient, len(clients))
	for _, c := range clients {
		wanted[c.Tap] = c
	}
	t.bySource = map[netip.Addr]*tap{}
	for name, p := range t.byName {
		c, ok := wanted[name]
		if !ok {
			t.retire(p)
			continue
		}
		p.client = c
		for _, a := range c.Addresses {
			t.bySource[a] = p
		}
	}
	t.wakeReader()
}

// retire takes a tap out of use; the caller holds the lock.
func (t *taps) retire(p *tap) {
	delete(t.byName, p.name)
	for a, q := range t.bySource {
		if q == p {
			delete(t.bySource, a)
		}
	}
	t.retired = append(t.retired, p)
}

// source is a tap and whose it was when the reader looked.
type source struct {
	*tap
	client RemoteClient
}

// open returns the taps to read from, after it has closed the retired ones.
func (t *taps) open() []source {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.retired {
		_ = p.file.Close() // nobody reads or writes it any more
	}
	t.retired = nil
	out := make([]source, 0, len(t.byName))
	for _, p := range t.byName {
		out = append(out, source{p, p.client})
	}
	return out
}

// Read waits for packets to clients.
func (t *taps) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	t.readers.Add(1)
	defer t.readers.Done()
	for !t.closed.Load() {
		open := t.open()
		fds := []unix.PollFd{{Fd: int32(t.wake), Events: unix.POLLIN}}
		for _, p := range open {
			fds = append(fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("wait for the taps of %s: %w", t.name, err)
		}
		if fds[0].Revents != 0 {
			var b [8]byte
			_, _ = unix.Read(t.wake, b[:])
		}
		n := 0
		for i, p := range open {
			if fds[i+1].Revents == 0 {
				continue
			}
			more, alive := p.read(bufs[n:], sizes[n:], offset)
			n += more
			if !alive {
				t.lose(p.tap)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, os.ErrClosed
}

// lose takes a tap out of use whose link is gone.
func (t *taps) lose(p *tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[p.name] == p {
		t.retire(p)
	}
}

// read reads what a tap has, without waiting; alive is false when its link is gone.
func (p source) read(bufs [][]byte, sizes []int, offset int) (n int, alive bool) {
	var frame [largestFrame]byte
	for n < len(bufs) {
		size, err := unix.Read(p.fd, frame[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return n, true
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return n, false
		}
		if b := p.client.packetOf(frame[:size]); b != nil && len(b) <= len(bufs[n])-offset {
			sizes[n] = copy(bufs[n][offset:], b)
			n++
		}
	}
	return n, true
}

// packetOf returns the packet of a frame that is for the client; nil when it isn't.
func (c RemoteClient) packetOf(frame []byte) []byte {
	if len(frame) < etherHeader {
		return nil
	}
	b := frame[etherHeader:]
	_, to, ok := endsOf(b)
	if kind := binary.BigEndian.Uint16(frame[12:]); !ok || (kind == etherIPv6) != to.Is6() || kind != etherIPv4 && kind != etherIPv6 {
		return nil
	}
	for _, a := range c.Addresses {
		if a == to {
			return b[:lengthOf(b)] // Ethernet pads short frames
		}
	}
	return nil
}

// endsOf returns the addresses of an IP packet (RFC 791, section 3.1; RFC 8200, section 3).
func endsOf(b []byte) (from, to netip.Addr, ok bool) {
	switch {
	case valid(b) && lengthOf(b) >= ipv4Header:
		return packet(b).source(), packet(b).dest(), true
	case len(b) >= ipv6Header && b[0]>>4 == 6 && lengthOf(b) <= len(b):
		return netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), true
	}
	return netip.Addr{}, netip.Addr{}, false
}

// lengthOf returns the length of an IP packet with a whole header, as the header has it.
func lengthOf(b []byte) int {
	if b[0]>>4 == 6 {
		return ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
	}
	return int(binary.BigEndian.Uint16(b[2:]))
}

// Write takes decrypted packets to the taps of their senders.
func (t *taps) Write(bufs [][]byte, offset int) (int, error) {
	if offset < etherHeader {
		return 0, fmt.Errorf("taps of %s: no room for the Ethernet header", t.name)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, b := range bufs {
		from, to, ok := endsOf(b[offset:])
		p := t.bySource[from]
		if !ok || p == nil {
			continue
		}
		frame := b[offset-etherHeader:]
		putEther(frame, t.router, p.client.MAC)
		if to.Is6() {
			binary.BigEndian.PutUint16(frame[12:], etherIPv6)
		}
		_, _ = unix.Write(p.fd, frame) // the switch is slower, or the tap is down: a packet is lost, as on a wire
	}
	return len(bufs), nil
}

func (t *taps) wakeReader() {
	_, _ = unix.Write(t.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it fails only when the count is as large as it gets
}

func (t *taps) File() *os.File           { return nil }
func (t *taps) MTU() (int, error)        { return t.mtu, nil }
func (t *taps) Name() (string, error)    { return t.name, nil }
func (t *taps) Events() <-chan tun.Event { return t.events }
func (t *taps) BatchSize() int           { return batch }

// Close ends the reader and gives the taps back.
func (t *taps) Close() (err error) {
	t.closing.Do(func() {
		t.closed.Store(true)
		t.wakeReader()
		t.readers.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, p := range t.byName {
			t.retired = append(t.retired, p)
		}
		for _, p := range t.retired {
			err = errors.Join(err, p.file.Close())
		}
		t.byName, t.bySource, t.retired = nil, nil, nil
		close(t.events)
		err = errors.Join(err, unix.Close(t.wake))
	})
	return err
}
