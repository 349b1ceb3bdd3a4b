package wireguard

import (
	"encoding/binary"
	"net/netip"
)

// What travels between VTEPs is told from what must not by the header of its IPv4 packet (RFC 791, section 3.1).
const (
	ipv4Header   = 20
	offsetTTL    = 8
	offsetProto  = 9
	offsetSum    = 10
	offsetSource = 12
	offsetDest   = 16
	protoICMP    = 1
	protoUDP     = 17
)

// packet is an IPv4 packet, checked by valid.
type packet []byte

// valid reports whether b is a whole IPv4 packet.
func valid(b []byte) bool {
	if len(b) < ipv4Header || b[0]>>4 != 4 {
		return false
	}
	header := int(b[0]&0x0f) * 4
	return header >= ipv4Header && header <= len(b) && int(binary.BigEndian.Uint16(b[2:])) <= len(b)
}

func (p packet) source() netip.Addr { return netip.AddrFrom4([4]byte(p[offsetSource:])) }
func (p packet) dest() netip.Addr   { return netip.AddrFrom4([4]byte(p[offsetDest:])) }

// carried reports whether p is of a protocol that travels between VTEPs: the fabric's UDP, and ICMP for its
// errors and for an operator's ping. A peer can't reach anything else of the node through its tunnel.
func (p packet) carried() bool { return p[offsetProto] == protoUDP || p[offsetProto] == protoICMP }

// hop counts a hop: it lowers the TTL and repairs the header's checksum (RFC 1624, section 3). It reports whether the packet may
// go on.
func (p packet) hop() bool {
	if p[offsetTTL] <= 1 {
		return false
	}
	was := binary.BigEndian.Uint16(p[offsetTTL:])
	p[offsetTTL]--
	now := binary.BigEndian.Uint16(p[offsetTTL:])
	sum := uint32(^binary.BigEndian.Uint16(p[offsetSum:])) + uint32(^was) + uint32(now)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[offsetSum:], ^uint16(sum))
	return true
}
