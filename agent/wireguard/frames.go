package wireguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weftfabric/weft/fabric"
)

const (
	batch        = 64   // packets of one read or write: as many as the kernel sends as one (UDP_MAX_SEGMENTS, udp(7))
	relayQueue   = 512  // packets on their way from one peer to another
	largestFrame = 9216 // of a tap, header included
)

// Link is what an embedded device must know of its node.
type Link struct {
	// VTEP is the node's tunnel address, Probe another one of its own, from which it measures its tunnels; invalid when it
	// has none. VTEPs is the range of all such addresses.
	VTEP, Probe netip.Addr
	VTEPs       netip.Prefix
	MTU         int
	// MAC is that of the bridge behind the tap.
	MAC fabric.MAC
	// Relay says that packets may pass from one peer to another; SetRelay changes it.
	Relay bool
}

// own reports whether an address is the node's.
func (l Link) own(a netip.Addr) bool { return a == l.VTEP || a == l.Probe }

// Counters count what an embedded device did besides delivering.
type Counters struct {
	Relayed uint64 // packets forwarded from one peer to another
	Expired uint64 // not forwarded: their TTL was used up
	Full    uint64 // not forwarded: the queue was full
	Foreign uint64 // neither from nor to a VTEP, not for this node where it doesn't relay, or of a protocol that isn't carried
}

// frames is the packet side of an embedded device: a tun.Device whose packets travel as Ethernet frames on a tap.
// It answers ARP for the other nodes' VTEPs, and hands packets for other nodes back to WireGuard: that is all a relay does.
type frames struct {
	name       string
	tap        *os.File
	raw        syscall.RawConn // of tap
	fd         int
	moderation *moderation
	link       Link
	mac        [2]fabric.MAC // the bridge's and the peers'
	relay      chan []byte
	events     chan tun.Event

	relays  atomic.Bool
	turns   atomic.Uint64 // of Read: at the begin of each, what was read before has its session
	holder  holder
	holding sync.WaitGroup

	closing sync.Once
	closed  atomic.Bool
	reading sync.RWMutex // held for reading by Read
	life    sync.Mutex   // guards the start of goroutines against the end

	relayed, expired, full, foreign atomic.Uint64
}

var _ tun.Device = (*frames)(nil)

// newFrames takes over the tap, which must be one for Go's poller: non-blocking when it became an os.File.
func newFrames(name string, tap *os.File, link Link) (*frames, error) {
	if !link.VTEP.Is4() || !link.VTEPs.Contains(link.VTEP) {
		return nil, fmt.Errorf("tunnel address %s isn't one of %s", link.VTEP, link.VTEPs)
	}
	d := &frames{name: name, tap: tap, link: link, relay: make(chan []byte, relayQueue), events: make(chan tun.Event, 1)}
	d.mac = [2]fabric.MAC{link.MAC, GatewayMAC()}
	d.relays.Store(link.Relay)
	// A deadline wakes the reader, and a file without the poller takes none.
	err := tap.SetReadDeadline(time.Time{})
	if err == nil {
		d.raw, err = tap.SyscallConn()
	}
	if err == nil {
		err = d.raw.Control(func(fd uintptr) { d.fd = int(fd) }) // valid until the tap is closed
	}
	if err == nil {
		d.moderation, err = newModeration()
	}
	if err != nil {
		return nil, fmt.Errorf("tap %s: %w", name, err)
	}
	d.events <- tun.EventUp
	return d, nil
}

// Read waits for packets to encrypt. It waits in Go's poller, as its moderation does, so that the agent's other goroutines have
// the processor meanwhile.
func (d *frames) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	d.reading.RLock()
	defer d.reading.RUnlock()
	for {
		d.turns.Add(1)
		// The deadline is taken back before relay is looked at, so that who fills relay afterwards wakes what waits below.
		if err := d.tap.SetReadDeadline(time.Time{}); err != nil {
			return 0, fmt.Errorf("tap %s: %w", d.name, err)
		}
		if d.closed.Load() {
			return 0, os.ErrClosed
		}
		n = d.readRelayed(bufs, sizes, offset)
		waited := d.raw.Read(func(uintptr) (done bool) {
			var more int
			more, err = d.readTap(bufs[n:], sizes[n:], offset)
			n += more
			return n > 0 || err != nil
		})
		switch {
		case err != nil:
			return n, err
		case n > 0:
			return d.gather(n, bufs, sizes, offset)
		case !errors.Is(waited, os.ErrDeadlineExceeded):
			return 0, fmt.Errorf("wait for tap %s: %w", d.name, waited)
		}
	}
}

// gather reads more behind the n packets that there are, after a moment, while packets come fast.
func (d *frames) gather(n int, bufs [][]byte, sizes []int, offset int) (int, error) {
	d.moderation.pace.note(n, time.Now())
	if n >= len(bufs)/2 || !d.moderation.pace.fast() {
		return n, nil
	}
	d.moderation.wait()
	more := d.readRelayed(bufs[n:], sizes[n:], offset)
	n += more
	tapped, err := d.readTap(bufs[n:], sizes[n:], offset)
	d.moderation.pace.note(more+tapped, time.Now())
	return n + tapped, err
}

func (d *frames) readRelayed(bufs [][]byte, sizes []int, offset int) (n int) {
	for n < len(bufs) {
		select {
		case p := <-d.relay:
			if d.holder.keep(p) {
				continue // it was queued before
			}
			sizes[n] = copy(bufs[n][offset:], p)
			n++
		default:
			return n
		}
	}
	return n
}

// readTap reads what the tap has, without waiting. Frames are read so that their packets come to lie where WireGuard wants
// them, the Ethernet header before that.
func (d *frames) readTap(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	if offset < etherHeader {
		return 0, fmt.Errorf("tap %s: no room for the Ethernet header", d.name)
	}
	for n < len(bufs) {
		frame := bufs[n][offset-etherHeader:]
		size, err := unix.Read(d.fd, frame)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return n, fmt.Errorf("read tap %s: %w", d.name, err)
		}
		if p := d.outgoing(frame[:size]); p != nil {
			sizes[n] = len(p)
			n++
		}
	}
	return n, nil
}

// outgoing returns the packet of a frame that goes to a peer; nil when none does.
func (d *frames) outgoing(frame []byte) packet {
	if reply := answerARP(frame, d.link); reply != nil {
		_, _ = unix.Write(d.fd, reply) // it will be asked again
		return nil
	}
	if len(frame) < etherHeader || binary.BigEndian.Uint16(frame[12:]) != etherIPv4 || !valid(frame[etherHeader:]) {
		return nil
	}
	p := packet(frame[etherHeader:])
	if !d.link.own(p.source()) || !d.link.VTEPs.Contains(p.dest()) || !p.carried() {
		d.foreign.Add(1)
		return nil
	}
	if d.holder.keep(p) {
		return nil
	}
	return p
}

// Write takes decrypted packets.
func (d *frames) Write(bufs [][]byte, offset int) (int, error) {
	queued := false
	for _, b := range bufs {
		switch p := b[offset:]; {
		case !valid(p) || !packet(p).carried():
			d.foreign.Add(1)
		case d.holder.active.Load() && isEchoReply(p):
			from := packet(p).source()
			d.spawn(func() { d.free(from) })
		case d.link.own(packet(p).dest()):
			if err := d.deliver(b, offset); err != nil {
				return 0, err
			}
		default:
			queued = d.forward(p) || queued
		}
	}
	if queued {
		d.wakeReader()
	}
	return len(bufs), nil
}

// deliver hands a packet to the node. WireGuard leaves room for the header in front of it.
func (d *frames) deliver(b []byte, offset int) error {
	if offset < etherHeader {
		return fmt.Errorf("tap %s: no room for the Ethernet header", d.name)
	}
	frame := b[offset-etherHeader:]
	putEther(frame, d.mac[0], d.mac[1])
	_, err := unix.Write(d.fd, frame)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EIO) {
		return nil // the switch is slower than the peer, or the tap is down: a packet is lost, as on a wire
	}
	if err != nil {
		return fmt.Errorf("write tap %s: %w", d.name, err)
	}
	return nil
}

// forward queues a packet for another peer. WireGuard has made sure that its source belongs to the peer that sent it, and
// chooses the next one by the destination.
func (d *frames) forward(p packet) bool {
	switch {
	case !d.relays.Load() || !d.link.VTEPs.Contains(p.dest()) || !d.link.VTEPs.Contains(p.source()) || d.link.own(p.source()):
		d.foreign.Add(1)
	case !p.hop():
		d.expired.Add(1)
	case d.holder.keep(p):
	default:
		select {
		case d.relay <- append([]byte(nil), p...):
			d.relayed.Add(1)
			return true
		default:
			d.full.Add(1)
		}
	}
	return false
}

// wakeReader makes the reader look at relay and at closed.
func (d *frames) wakeReader() {
	_ = d.tap.SetReadDeadline(time.Unix(1, 0)) // it fails only once the tap is closed, and then nobody reads
}

func (d *frames) counters() Counters {
	return Counters{Relayed: d.relayed.Load(), Expired: d.expired.Load(), Full: d.full.Load(), Foreign: d.foreign.Load()}
}

func (d *frames) File() *os.File           { return d.tap }
func (d *frames) MTU() (int, error)        { return d.link.MTU, nil }
func (d *frames) Name() (string, error)    { return d.name, nil }
func (d *frames) Events() <-chan tun.Event { return d.events }
func (d *frames) BatchSize() int           { return batch }

// spawn runs f in the background, unless the device is closed.
func (d *frames) spawn(f func()) (spawned bool) {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed.Load() {
		return false
	}
	d.holding.Go(f)
	return true
}

// Close ends the reader and gives the tap back.
func (d *frames) Close() (err error) {
	d.closing.Do(func() {
		d.life.Lock()
		d.closed.Store(true)
		d.life.Unlock()
		d.wakeReader()
		d.reading.Lock() // until the reader has gone
		defer d.reading.Unlock()
		d.holding.Wait()
		close(d.events)
		err = errors.Join(d.tap.Close(), d.moderation.close())
	})
	return err
}
