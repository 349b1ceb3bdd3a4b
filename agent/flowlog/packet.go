package flowlog

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/weftfabric/weft/firewall"
)

// Packet is what a record takes from a packet.
type Packet struct {
	Src, Dst         netip.Addr
	Protocol         firewall.Protocol
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP; 0 in a later fragment
	Type, Code       uint8  // of ICMP
}

// EtherTypes, and the extension headers of IPv6 that may stand before the transport header (IANA).
const (
	etherLen  = 14
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

var errNotIP = errors.New("it is no IP packet, or cut too short")

// ParsePacket reads the start of an Ethernet frame (RFC 791, RFC 8200).
func ParsePacket(frame []byte) (Packet, error) {
	if len(frame) < etherLen {
		return Packet{}, errNotIP
	}
	switch ip := frame[etherLen:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		return parseIPv4(ip)
	case etherIPv6:
		return parseIPv6(ip)
	}
	return Packet{}, errNotIP
}

func parseIPv4(ip []byte) (Packet, error) {
	if len(ip) < 20 || ip[0]>>4 != 4 {
		return Packet{}, errNotIP
	}
	p := Packet{Src: netip.AddrFrom4([4]byte(ip[12:16])), Dst: netip.AddrFrom4([4]byte(ip[16:20])), Protocol: firewall.Protocol(ip[9])}
	if header := int(ip[0]&0x0f) * 4; binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 && header >= 20 && header <= len(ip) {
		p.transport(ip[header:])
	}
	return p, nil
}

func parseIPv6(ip []byte) (Packet, error) {
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return Packet{}, errNotIP
	}
	p := Packet{Src: netip.AddrFrom16([16]byte(ip[8:24])), Dst: netip.AddrFrom16([16]byte(ip[24:40]))}
	next, rest := ip[6], ip[40:]
	for {
		p.Protocol = firewall.Protocol(next)
		switch {
		case next == fragment && len(rest) >= 8:
			if binary.BigEndian.Uint16(rest[2:])&^7 != 0 {
				p.Protocol = firewall.Protocol(rest[0])
				return p, nil
			}
			next, rest = rest[0], rest[8:]
		case (next == hopByHop || next == routing || next == destination) && len(rest) >= 8 && len(rest) >= 8*(1+int(rest[1])):
			next, rest = rest[0], rest[8*(1+int(rest[1])):]
		default:
			p.transport(rest)
			return p, nil
		}
	}
}

// transport reads ports or ICMP's type and code, as far as they are there.
func (p *Packet) transport(b []byte) {
	switch p.Protocol {
	case firewall.TCP, firewall.UDP, firewall.SCTP:
		if len(b) >= 4 {
			p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case firewall.ICMP, firewall.ICMPv6:
		if len(b) >= 2 {
			p.Type, p.Code = b[0], b[1]
		}
	}
}
