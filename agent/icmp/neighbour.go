package icmp

import (
	"errors"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// errNoSolicitation says that a frame asks for nobody's link-layer address.
var errNoSolicitation = errors.New("it is no neighbour solicitation")

// Lengths, types and flags (RFC 4861, sections 4.3, 4.4 and 4.6.1).
const (
	ndLen            = 24 // type(1) code(1) checksum(2) flags(4) target(16)
	ndOptionLen      = 8  // type(1) length(1), in units of 8, address(6)
	ndSolicit        = 135
	ndAdvertise      = 136
	ndTargetAddress  = 2
	ndRouter         = 0x80000000
	ndSolicited      = 0x40000000
	ndOverride       = 0x20000000
	ndHops           = 255
	allOnesGroupByte = 0xff
)

// Solicited returns the address whose link-layer address a frame asks for.
func Solicited(frame []byte) (netip.Addr, error) {
	if len(frame) < etherLen+ipv6Len+ndLen || be.Uint16(frame[12:]) != etherIPv6 {
		return netip.Addr{}, errNoSolicitation
	}
	p := frame[etherLen:]
	nd := p[ipv6Len:]
	// Who asks for itself, without an address yet, looks for duplicates, and gets no answer.
	source := netip.AddrFrom16([16]byte(p[8:24]))
	if p[6] != protoICMPv6 || p[7] != ndHops || nd[0] != ndSolicit || nd[1] != 0 || source.IsUnspecified() || nd[8] == allOnesGroupByte {
		return netip.Addr{}, errNoSolicitation
	}
	return netip.AddrFrom16([16]byte(nd[8:24])), nil
}

// Advertise returns the frame that answers a neighbour solicitation with mac; router says that the address asked for is
// a router's. The answer is the one that the pipeline gives where the switch can write it.
func Advertise(frame []byte, mac fabric.MAC, router bool) ([]byte, error) {
	target, err := Solicited(frame)
	if err != nil {
		return nil, err
	}
	source := frame[etherLen+8 : etherLen+24]
	b := append(append(make([]byte, 0, etherLen+ipv6Len+ndLen+ndOptionLen), frame[6:12]...), mac[:]...)
	b = be.AppendUint16(b, etherIPv6)
	b = append(b, 6<<4, 0, 0, 0)
	b = be.AppendUint16(b, ndLen+ndOptionLen)
	b = append(b, protoICMPv6, ndHops)
	b = append(append(b, target.AsSlice()...), source...)
	flags := uint32(ndSolicited | ndOverride)
	if router {
		flags |= ndRouter
	}
	b = append(b, ndAdvertise, 0, 0, 0)
	b = append(be.AppendUint32(b, flags), target.AsSlice()...)
	b = append(append(b, ndTargetAddress, ndOptionLen/8), mac[:]...)
	pseudo := uint32(sum(ndLen+ndOptionLen+protoICMPv6, b[etherLen+8:etherLen+ipv6Len]))
	be.PutUint16(b[etherLen+ipv6Len+2:], ^sum(pseudo, b[etherLen+ipv6Len:]))
	return b, nil
}
