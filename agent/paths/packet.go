package paths

import (
	"encoding/binary"
	"net/netip"
)

// A probe is a magic number, its kind, and the sender's sequence number; zeros may follow to make it larger. The
// answer is as long as the question, so that the size is measured in both directions.
const (
	magic      = 0x77656674 // "weft"
	probeBytes = 12

	kindQuestion = 1
	kindAnswer   = 2
)

// headers returns the size of the IP and UDP headers of a probe to an address, in bytes.
func headers(to netip.Addr) int {
	if to.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// question returns a probe that makes an IP packet of size bytes; a small one for 0.
func question(sequence uint32, size int, to netip.Addr) []byte {
	b := make([]byte, max(probeBytes, size-headers(to)))
	binary.BigEndian.PutUint32(b, magic)
	binary.BigEndian.PutUint32(b[4:], kindQuestion)
	binary.BigEndian.PutUint32(b[8:], sequence)
	return b
}

// parse returns the kind and the sequence number of a probe.
func parse(b []byte) (kind, sequence uint32, ok bool) {
	if len(b) < probeBytes || binary.BigEndian.Uint32(b) != magic {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), true
}

// answer turns a question into its answer, in place.
func answer(b []byte) { binary.BigEndian.PutUint32(b[4:], kindAnswer) }
