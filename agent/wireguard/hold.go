package wireguard

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// holdAsk is how often a peer is asked whether it takes packets under the new key yet.
	holdAsk = 2 * time.Millisecond
	// holdTime is for how long packets are held back for a peer that doesn't answer.
	holdTime = time.Second
	// holdQueue bounds the packets held back for all peers; more are lost.
	holdQueue = 4096
	// queueRetry is the pause when the reader is behind.
	queueRetry = time.Millisecond
	// turnTime is how long the reader may take to hand on what it has read.
	turnTime = 50 * time.Millisecond
)

// holder keeps packets back while the node changes its key. A peer takes packets from a source under one key only, and
// learns of the change by the first handshake: what came right behind that handshake would be lost.
type holder struct {
	active atomic.Bool // whether there may be something in waiting

	mu      sync.Mutex
	waiting map[netip.Addr]*held // by destination
	queued  int
}

// held are the packets to a destination, until probe, an address of the peer through which it is reached, has answered.
type held struct {
	probe   netip.Addr
	packets [][]byte
}

// keep takes a packet that has to wait. It reports whether it has, or has dropped it because too many do.
func (h *holder) keep(p packet) bool {
	if !h.active.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.waiting[p.dest()]
	if !ok {
		return false
	}
	if h.queued < holdQueue {
		w.packets = append(w.packets, append([]byte(nil), p...))
		h.queued++
	}
	return true
}

// begin starts to keep packets: waits gives each destination the address whose answer sets them free.
func (h *holder) begin(waits map[netip.Addr]netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = make(map[netip.Addr]*held, len(waits))
	for destination, probe := range waits {
		h.waiting[destination] = &held{probe: probe}
	}
	h.active.Store(len(waits) > 0)
}

// hold begins to keep packets, and returns once those that were read before have been given to their sessions: what is left
// without one would be sent right behind the handshake.
func (d *frames) hold(waits map[netip.Addr]netip.Addr) {
	d.holder.begin(waits)
	turn := d.turns.Load()
	d.wakeReader()
	for start := time.Now(); d.turns.Load() == turn && time.Since(start) < turnTime && !d.closed.Load(); {
		time.Sleep(turnTime / 1000)
	}
}

// awaited returns the addresses whose answer is missing.
func (h *holder) awaited() []netip.Addr {
	if !h.active.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[netip.Addr]bool{}
	var out []netip.Addr
	for _, w := range h.waiting {
		if !seen[w.probe] {
			seen[w.probe] = true
			out = append(out, w.probe)
		}
	}
	return out
}

// release returns what waited for the answer of an address; the invalid address stands for all of them.
func (h *holder) release(probe netip.Addr) (free [][]byte) {
	if !h.active.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for destination, w := range h.waiting {
		if w.probe == probe || !probe.IsValid() {
			free = append(free, w.packets...)
			h.queued -= len(w.packets)
			delete(h.waiting, destination)
		}
	}
	h.active.Store(len(h.waiting) > 0)
	return free
}

// askHeld asks the peers until they answer, or for holdTime, and then lets all packets go.
func (d *frames) askHeld() {
	for start := time.Now(); time.Since(start) < holdTime && !d.closed.Load(); time.Sleep(holdAsk) {
		awaited := d.holder.awaited()
		if len(awaited) == 0 {
			return
		}
		for _, probe := range awaited {
			d.inject(echoRequest(d.link.Probe, probe))
		}
	}
	d.free(netip.Addr{})
}

// free lets the packets go that waited for an address.
func (d *frames) free(probe netip.Addr) {
	for _, p := range d.holder.release(probe) {
		d.inject(p)
	}
}

// inject gives the reader a packet, and waits for room unless the device is closed.
func (d *frames) inject(p []byte) {
	for !d.closed.Load() {
		select {
		case d.relay <- p:
			d.wakeReader()
			return
		default:
			d.wakeReader()
			time.Sleep(queueRetry)
		}
	}
}

const (
	icmpEchoReply   = 0
	icmpEchoRequest = 8
	echoIdentifier  = 0x7766 // "wf"
	echoBytes       = ipv4Header + 8
)

// echoRequest returns a ping between two addresses (RFC 792).
func echoRequest(from, to netip.Addr) []byte {
	b := make([]byte, echoBytes)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], echoBytes)
	b[offsetTTL], b[offsetProto] = 64, protoICMP
	src, dst := from.As4(), to.As4()
	copy(b[offsetSource:], src[:])
	copy(b[offsetDest:], dst[:])
	binary.BigEndian.PutUint16(b[offsetSum:], checksum(b[:ipv4Header]))
	icmp := b[ipv4Header:]
	icmp[0] = icmpEchoRequest
	binary.BigEndian.PutUint16(icmp[4:], echoIdentifier)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return b
}

// isEchoReply reports whether p answers an echoRequest.
func isEchoReply(p packet) bool {
	return len(p) >= echoBytes && p[0] == 0x45 && p[offsetProto] == protoICMP && p[ipv4Header] == icmpEchoReply &&
		binary.BigEndian.Uint16(p[ipv4Header+4:]) == echoIdentifier
}

// checksum is that of the Internet (RFC 1071); b has an even length, and zeros where the checksum goes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
