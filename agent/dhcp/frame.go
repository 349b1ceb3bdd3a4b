package dhcp

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// Lengths of headers without options, and the numbers that a request and its reply carry (RFC 791, RFC 768).
const (
	etherLen = 14
	ipLen    = 20
	udpLen   = 8

	etherIPv4 = 0x0800
	protoUDP  = 17

	serverPort = 67
	clientPort = 68
)

// errNotRequest says that a frame is something else.
var errNotRequest = errors.New("it is no whole UDP packet to a DHCP server")

// be is the order of octets on the wire.
var be = binary.BigEndian

// datagram is a UDP packet over IPv4 in an Ethernet frame.
type datagram struct {
	srcMAC, dstMAC fabric.MAC
	src, dst       netip.Addr
	payload        []byte
}

// parseRequest reads the frame of a request:
//
//	dst(6) src(6) type(2) | version+ihl(1) tos(1) length(2) id(2) frag(2) ttl(1) proto(1) sum(2) src(4) dst(4) options |
//	src(2) dst(2) length(2) sum(2) payload
//
// Checksums aren't looked at: a virtual machine may leave them to hardware that isn't there.
func parseRequest(frame []byte) (datagram, error) {
	if len(frame) < etherLen+ipLen || be.Uint16(frame[12:]) != etherIPv4 {
		return datagram{}, errNotRequest
	}
	d := datagram{dstMAC: fabric.MAC(frame[0:6]), srcMAC: fabric.MAC(frame[6:12])}
	ip := frame[etherLen:]
	header, total := int(ip[0]&0x0f)*4, int(be.Uint16(ip[2:]))
	const moreFragmentsOrOffset = 0x3fff
	if ip[0]>>4 != 4 || header < ipLen || total > len(ip) || total < header+udpLen || ip[9] != protoUDP || be.Uint16(ip[6:])&moreFragmentsOrOffset != 0 {
		return datagram{}, errNotRequest
	}
	d.src, d.dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	udp := ip[header:total]
	length := int(be.Uint16(udp[4:]))
	if be.Uint16(udp[2:]) != serverPort || length < udpLen || length > len(udp) {
		return datagram{}, errNotRequest
	}
	d.payload = udp[udpLen:length]
	return d, nil
}

// reply returns the frame of a datagram from a server to a client.
func (d datagram) reply() []byte {
	udp := udpLen + len(d.payload)
	b := make([]byte, 0, etherLen+ipLen+udp)
	b = append(append(b, d.dstMAC[:]...), d.srcMAC[:]...)
	b = be.AppendUint16(b, etherIPv4)
	src, dst := d.src.As4(), d.dst.As4()
	b = append(b, 4<<4|ipLen/4, 0)
	b = be.AppendUint16(b, uint16(ipLen+udp))
	b = append(b, 0, 0, 0, 0, 64, protoUDP, 0, 0) // id, fragment, TTL, protocol, checksum
	b = append(append(b, src[:]...), dst[:]...)
	ip := b[etherLen:]
	be.PutUint16(ip[10:], ^sum(0, ip))

	b = be.AppendUint16(be.AppendUint16(b, serverPort), clientPort)
	b = append(be.AppendUint16(b, uint16(udp)), 0, 0)
	b = append(b, d.payload...)
	// The pseudo header: both addresses, the protocol and the length (RFC 768).
	pseudo := sum(uint32(sum(protoUDP+uint32(udp), src[:])), dst[:])
	check := ^sum(uint32(pseudo), b[etherLen+ipLen:])
	if check == 0 {
		check = 0xffff // 0 stands for no checksum
	}
	be.PutUint16(b[etherLen+ipLen+6:], check)
	return b
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
