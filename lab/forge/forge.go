// Package forge builds packets that a fabric must drop: frames with somebody else's addresses, and tunnel
// packets that a stranger might send. It is pure; package probe sends what it builds.
package forge

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// Ethernet types (IEEE 802 numbers, IANA) and IP protocols.
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protocolUDP    = 17
	protocolICMPv6 = 58
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = fabric.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Packet is a UDP packet in its Ethernet frame.
type Packet struct {
	SrcMAC, DstMAC fabric.MAC
	Src, Dst       netip.Addr // of one family
	SrcPort        uint16
	DstPort        uint16
	Payload        []byte
}

// Frame returns the Ethernet frame:
//
//	destination MAC (6), source MAC (6), type (2), IPv4 (20, RFC 791) or IPv6 header (40, RFC 8200), UDP (8, RFC 768)
func (p Packet) Frame() []byte {
	udp := make([]byte, 8, 8+len(p.Payload))
	binary.BigEndian.PutUint16(udp[0:], p.SrcPort)
	binary.BigEndian.PutUint16(udp[2:], p.DstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(p.Payload)))
	udp = append(udp, p.Payload...)
	binary.BigEndian.PutUint16(udp[6:], transportChecksum(p.Src, p.Dst, protocolUDP, udp))
	return ipFrame(p.SrcMAC, p.DstMAC, p.Src, p.Dst, protocolUDP, udp)
}

// ARP is an ARP packet (RFC 826) for Ethernet and IPv4.
type ARP struct {
	// SrcMAC is the frame's source; the sender's address inside may be another one.
	SrcMAC, DstMAC       fabric.MAC
	SenderMAC, TargetMAC fabric.MAC
	Sender, Target       netip.Addr
	Reply                bool
}

// Frame returns the Ethernet frame.
func (a ARP) Frame() []byte {
	operation := byte(1)
	if a.Reply {
		operation = 2
	}
	body := []byte{0, 1, 8, 0, 6, 4, 0, operation}
	body = append(body, a.SenderMAC[:]...)
	body = append(body, a.Sender.AsSlice()...)
	body = append(body, a.TargetMAC[:]...)
	body = append(body, a.Target.AsSlice()...)
	return ethernet(a.SrcMAC, a.DstMAC, etherARP, body)
}

// Advertisement is a neighbour advertisement (RFC 4861, section 4.4) that claims Target for TargetMAC.
type Advertisement struct {
	SrcMAC, DstMAC fabric.MAC
	Src, Dst       netip.Addr
	Target         netip.Addr
	TargetMAC      fabric.MAC
}

// Frame returns the Ethernet frame.
func (a Advertisement) Frame() []byte {
	const typeAdvertisement, flagOverride, optionTargetMAC = 136, 0x20, 2
	icmp := []byte{typeAdvertisement, 0, 0, 0, flagOverride, 0, 0, 0}
	icmp = append(icmp, a.Target.AsSlice()...)
	icmp = append(append(icmp, optionTargetMAC, 1), a.TargetMAC[:]...)
	binary.BigEndian.PutUint16(icmp[2:], transportChecksum(a.Src, a.Dst, protocolICMPv6, icmp))
	return ipFrame(a.SrcMAC, a.DstMAC, a.Src, a.Dst, protocolICMPv6, icmp)
}

// RouterAdvertisement is a router advertisement (RFC 4861, section 4.2) that offers Src as a router.
type RouterAdvertisement struct {
	SrcMAC, DstMAC fabric.MAC
	Src, Dst       netip.Addr
}

// Frame returns the Ethernet frame.
func (a RouterAdvertisement) Frame() []byte {
	const typeRouterAdvertisement, hopLimit = 134, 64
	icmp := make([]byte, 16)
	icmp[0], icmp[4] = typeRouterAdvertisement, hopLimit
	binary.BigEndian.PutUint16(icmp[6:], 1800) // lifetime in seconds
	binary.BigEndian.PutUint16(icmp[2:], transportChecksum(a.Src, a.Dst, protocolICMPv6, icmp))
	return ipFrame(a.SrcMAC, a.DstMAC, a.Src, a.Dst, protocolICMPv6, icmp)
}

// VXLAN returns the UDP payload of a tunnel packet: the header of RFC 7348, section 5, and the inner frame.
//
//	flags (1, 0x08: the VNI is valid), reserved (3), VNI (3), reserved (1)
func VXLAN(vni fabric.Identity, inner []byte) []byte {
	return append([]byte{8, 0, 0, 0, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}, inner...)
}

func ethernet(src, dst fabric.MAC, kind uint16, body []byte) []byte {
	frame := append(append(append([]byte{}, dst[:]...), src[:]...), byte(kind>>8), byte(kind))
	return append(frame, body...)
}

func ipFrame(srcMAC, dstMAC fabric.MAC, src, dst netip.Addr, protocol byte, body []byte) []byte {
	if src.Is4() {
		h := make([]byte, 20)
		h[0], h[8], h[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(body)))
		copy(h[12:], src.AsSlice())
		copy(h[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(h[10:], fold(sum(h)))
		return ethernet(srcMAC, dstMAC, etherIPv4, slices.Concat(h, body))
	}
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, protocol, 255 // neighbour discovery demands a hop limit of 255
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return ethernet(srcMAC, dstMAC, etherIPv6, slices.Concat(h, body))
}

// transportChecksum is the checksum of UDP and ICMPv6 with its pseudo header (RFC 768; RFC 8200, section 8.1).
func transportChecksum(src, dst netip.Addr, protocol byte, body []byte) uint16 {
	total := sum(src.AsSlice()) + sum(dst.AsSlice()) + uint32(protocol) + uint32(len(body)) + sum(body)
	if c := fold(total); c != 0 {
		return c
	}
	return 0xffff
}

// sum adds 16-bit words (RFC 1071).
func sum(b []byte) uint32 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
