package icmp

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// Router is who an error comes from, and to whom it goes.
type Router struct {
	MAC     fabric.MAC
	Address netip.Addr // of the packet's family
	To      fabric.MAC
}

// Why a packet has no error as its answer.
var (
	// ErrMayFragment says that the sender of an IPv4 packet doesn't ask to be told (RFC 791, "don't fragment").
	ErrMayFragment = errors.New("the packet doesn't forbid to be fragmented")
	// ErrNoErrors says that errors must not be sent for such a packet: for another error, a later fragment, or a
	// packet from or to a group (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
	ErrNoErrors = errors.New("no ICMP error may be sent for the packet")

	errNotIP = errors.New("it is no IP packet")
)

// Lengths and numbers (RFC 791, RFC 792, RFC 8200, RFC 4443).
const (
	etherLen = 14
	ipv4Len  = 20
	ipv6Len  = 40
	icmpLen  = 8

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMP   = 1
	protoICMPv6 = 58

	unreachable = 3
	needsFrag   = 4 // the code of unreachable
	tooBig      = 2

	hops = 64
)

// The largest errors, as IP packets: what every host takes (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4).
const (
	maxIPv4 = 576
	maxIPv6 = 1280
)

// be is the order of octets on the wire.
var be = binary.BigEndian

// TooLarge returns the frame that tells the sender of a packet how large its packets may be: mtu octets with the IP
// header. frame is the start of the packet's frame, without a VLAN tag. The error says why there is no answer.
//
//	IPv4 (RFC 1191, section 4):     type(1)=3 code(1)=4 checksum(2) unused(2) mtu(2) the packet's start
//	IPv6 (RFC 4443, section 3.2):   type(1)=2 code(1)=0 checksum(2) mtu(4) the packet's start
func TooLarge(frame []byte, from Router, mtu int) ([]byte, error) {
	if len(frame) < etherLen {
		return nil, errNotIP
	}
	packet := frame[etherLen:]
	switch be.Uint16(frame[12:]) {
	case etherIPv4:
		return tooLarge4(packet, from, mtu)
	case etherIPv6:
		return tooLarge6(packet, from, mtu)
	}
	return nil, errNotIP
}

func tooLarge4(packet []byte, from Router, mtu int) ([]byte, error) {
	if len(packet) < ipv4Len || packet[0]>>4 != 4 || !from.Address.Is4() {
		return nil, errNotIP
	}
	header := int(packet[0]&0x0f) * 4
	if header < ipv4Len || len(packet) < header+icmpLen {
		return nil, errNotIP
	}
	src, dst := netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	const dontFragment, offset = 0x4000, 0x1fff
	switch fragment := be.Uint16(packet[6:]); {
	case fragment&offset != 0, !isHost(src), !isHost(dst), packet[9] == protoICMP && isError4(packet[header]):
		return nil, ErrNoErrors
	case fragment&dontFragment == 0:
		return nil, ErrMayFragment
	}
	quote := packet[:min(len(packet), maxIPv4-ipv4Len-icmpLen)]
	b := ether(from, etherIPv4)
	b = append(b, 4<<4|ipv4Len/4, 0)
	b = be.AppendUint16(b, uint16(ipv4Len+icmpLen+len(quote)))
	b = append(b, 0, 0, 0, 0, hops, protoICMP, 0, 0) // id, fragment, TTL, protocol, checksum
	b = append(append(b, from.Address.AsSlice()...), src.AsSlice()...)
	be.PutUint16(b[etherLen+10:], ^sum(0, b[etherLen:]))
	b = append(b, unreachable, needsFrag, 0, 0, 0, 0)
	b = append(be.AppendUint16(b, uint16(mtu)), quote...)
	be.PutUint16(b[etherLen+ipv4Len+2:], ^sum(0, b[etherLen+ipv4Len:]))
	return b, nil
}

func tooLarge6(packet []byte, from Router, mtu int) ([]byte, error) {
	if len(packet) < ipv6Len || packet[0]>>4 != 6 || !from.Address.Is6() {
		return nil, errNotIP
	}
	src := netip.AddrFrom16([16]byte(packet[8:24]))
	if !isHost(src) || isError6(packet) {
		return nil, ErrNoErrors
	}
	quote := packet[:min(len(packet), maxIPv6-ipv6Len-icmpLen)]
	b := ether(from, etherIPv6)
	b = append(b, 6<<4, 0, 0, 0)
	b = be.AppendUint16(b, uint16(icmpLen+len(quote)))
	b = append(b, protoICMPv6, hops)
	b = append(append(b, from.Address.AsSlice()...), src.AsSlice()...)
	b = append(b, tooBig, 0, 0, 0)
	b = append(be.AppendUint32(b, uint32(mtu)), quote...)
	// The pseudo header: both addresses, the length and the protocol (RFC 8200, section 8.1).
	pseudo := uint32(sum(uint32(icmpLen+len(quote)+protoICMPv6), b[etherLen+8:etherLen+ipv6Len]))
	be.PutUint16(b[etherLen+ipv6Len+2:], ^sum(pseudo, b[etherLen+ipv6Len:]))
	return b, nil
}

func ether(from Router, kind uint16) []byte {
	b := append(append(make([]byte, 0, etherLen+maxIPv6), from.To[:]...), from.MAC[:]...)
	return be.AppendUint16(b, kind)
}

// isHost reports whether an address is a single host's.
func isHost(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isError4 reports whether a type of ICMP is an error (RFC 792; RFC 1122, section 3.2.2).
func isError4(kind byte) bool {
	switch kind {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// isError6 reports whether an IPv6 packet holds an ICMPv6 error or a redirect, or may do so behind what isn't there of its
// extension headers.
func isError6(packet []byte) bool {
	next, rest := packet[6], packet[ipv6Len:]
	for {
		switch next {
		case 0, 43, 60: // hop-by-hop, routing and destination options: next(1) length(1), in units of 8 without the first
			if len(rest) < 8 || len(rest) < 8+int(rest[1])*8 {
				return true
			}
			next, rest = rest[0], rest[8+int(rest[1])*8:]
		case 44: // fragment: next(1) reserved(1) offset+flags(2) id(4)
			if len(rest) < 8 || be.Uint16(rest[2:])&0xfff8 != 0 {
				return true
			}
			next, rest = rest[0], rest[8:]
		case protoICMPv6:
			const redirect = 137
			return len(rest) == 0 || rest[0] < 128 || rest[0] == redirect
		default:
			return false
		}
	}
}

// sum adds octets to a sum in ones' complement (RFC 1071).
func sum(start uint32, b []byte) uint16 {
	total := start
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(be.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		total += uint32(b[len(b)-1]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
