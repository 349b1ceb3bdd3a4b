package verify

import (
	"net/netip"

	"github.com/weftfabric/weft/wire/openflow"
)

// What docs/pipeline.md promises about tables, registers and flags: layout 1.
const (
	tableClassify uint8 = 0
	tableRoute    uint8 = 50
	tableTrackIn  uint8 = 55
	tableEgress   uint8 = 60 // the first of the policy tables: egress up to 63, ingress up to 67
	tableIngress  uint8 = 64
	tableTally    uint8 = 68
	tableCommit   uint8 = 70

	regFlags  = openflow.Reg0
	regSrcID  = openflow.Reg1
	regDstID  = openflow.Reg2
	regSrcNet = openflow.Reg3
	regDstNet = openflow.Reg4
	regPort   = openflow.Reg5

	flagFromTunnel  uint64 = 1 << 0
	flagToTunnel    uint64 = 1 << 1
	flagSecondZone  uint64 = 1 << 2
	flagEstablished uint64 = 1 << 3
	flagHasIPv4     uint64 = 1 << 7
	flagTooLarge    uint64 = 1 << 8

	ctNew         uint64 = 0x01
	ctEstablished uint64 = 0x02
	ctRelated     uint64 = 0x04
	ctReply       uint64 = 0x08
	ctInvalid     uint64 = 0x10
	ctTracked     uint64 = 0x20
)

// pendingBit is the bit of a connection's label that says that policy hasn't confirmed it.
var pendingBit = word{Hi: 1 << 63}

// Protocol numbers (IANA).
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// family is an IP family as the tables see it.
type family struct {
	v6              bool
	ether, icmp     uint64
	src, dst        openflow.Field
	typ, code       openflow.Field
	echo, reply     uint64
	tunSrc, tunDest openflow.Field
}

func families() [2]family {
	return [2]family{
		{false, etherIPv4, protoICMP, openflow.IPv4Src, openflow.IPv4Dst, openflow.ICMPType, openflow.ICMPCode, 8, 0, openflow.TunSrc, openflow.TunDst},
		{true, etherIPv6, protoICMPv6, openflow.IPv6Src, openflow.IPv6Dst, openflow.ICMPv6Type, openflow.ICMPv6Code, 128, 129, openflow.TunIPv6Src, openflow.TunIPv6Dst},
	}
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return families()[0]
	}
	return families()[1]
}

// has reports whether a is an address of the family.
func (f family) has(a netip.Addr) bool { return a.IsValid() && a.Is6() == f.v6 }
