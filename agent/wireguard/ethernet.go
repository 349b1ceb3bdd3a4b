package wireguard

import (
	"encoding/binary"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

const (
	etherHeader = 14
	etherIPv4   = 0x0800
	etherARP    = 0x0806
	arpLength   = 28
	arpRequest  = 1
	arpReply    = 2
)

// GatewayMAC is the address that stands for every peer on the bridge of the tunnel address.
func GatewayMAC() fabric.MAC { return fabric.MAC{0x02, 0x77, 0, 0, 0, 1} }

// putEther writes the Ethernet header of an IPv4 packet.
func putEther(b []byte, to, from fabric.MAC) {
	copy(b, to[:])
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
}

// answerARP returns the answer to an ARP request for another node's VTEP (RFC 826); nil for all other frames.
func answerARP(frame []byte, link Link) []byte {
	if len(frame) < etherHeader+arpLength || binary.BigEndian.Uint16(frame[12:]) != etherARP {
		return nil
	}
	arp := frame[etherHeader:]
	// Ethernet and IPv4, with addresses of 6 and 4 bytes.
	if binary.BigEndian.Uint32(arp) != 0x0001_0800 || binary.BigEndian.Uint16(arp[4:]) != 0x0604 || binary.BigEndian.Uint16(arp[6:]) != arpRequest {
		return nil
	}
	sender, target := netip.AddrFrom4([4]byte(arp[14:])), netip.AddrFrom4([4]byte(arp[24:]))
	if !link.own(sender) || link.own(target) || !link.VTEPs.Contains(target) {
		return nil
	}
	gateway := GatewayMAC()
	out := make([]byte, etherHeader+arpLength)
	copy(out, frame[6:12])
	copy(out[6:], gateway[:])
	copy(out[12:], frame[12:20]) // the type, and ARP's first fields
	reply := out[etherHeader:]
	copy(reply, arp[:6])
	binary.BigEndian.PutUint16(reply[6:], arpReply)
	copy(reply[8:], gateway[:])
	copy(reply[14:], arp[24:28])
	copy(reply[18:], arp[8:18])
	return out
}
