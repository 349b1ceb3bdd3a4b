package pipeline

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// The registers. Each holds one thing from where it is set until Deliver.
const (
	regFlags       = openflow.Reg0
	regSrcIdentity = openflow.Reg1
	regDstIdentity = openflow.Reg2
	regSrcNetwork  = openflow.Reg3
	regDstNetwork  = openflow.Reg4
	regOutPort     = openflow.Reg5
	regEgressRule  = openflow.Reg6
	regIngressRule = openflow.Reg7
	regScratch     = openflow.Reg8 // within one list of actions only
)

// The flags of regFlags.
const (
	flagFromTunnel  uint64 = 1 << 0 // the packet came from a peer
	flagToTunnel    uint64 = 1 << 1 // it leaves to a peer
	flagSecondZone  uint64 = 1 << 2 // a local port sends into another network: two zones
	flagEstablished uint64 = 1 << 3 // established or related in the first zone
	flagTurned      uint64 = 1 << 4 // policy looks at the packet with its ends swapped
	flagKnown       uint64 = 1 << 5 // the identity that was looked up last is known
	flagSourceKnown uint64 = 1 << 6 // that of the source is
	flagHasIPv4     uint64 = 1 << 7 // the local sender has an IPv4 address, which DHCP may tell it
	flagTooLarge    uint64 = 1 << 8 // the packet is larger than what takes it
)

// The bits of ct_state (ovs-fields(7)).
const (
	ctNew         uint64 = 0x01
	ctEstablished uint64 = 0x02
	ctRelated     uint64 = 0x04
	ctReply       uint64 = 0x08
	ctInvalid     uint64 = 0x10
	ctTracked     uint64 = 0x20
)

// The connection's label: bits 0-31 the egress rule, 32-63 the ingress rule, 64-87 the identity of whoever sent the
// packet that policy decided about, 88-111 that of the local workload which it was for, 127 "pending": sent to a peer, and
// not yet confirmed by policy there.
const ctLabelPending uint64 = 1 << 63 // within the upper half

// The protocol numbers that the tables name (IANA).
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

// family is an IP family as matches and actions see it.
type family struct {
	ether      uint64
	proto      uint64         // that of the family's ICMP
	src, dst   openflow.Field // of the packet
	typ, code  openflow.Field // of ICMP
	echo       query
	queries    []query        // all pairs of types, echo among them, that conntrack takes for request and reply
	tunnelPeer openflow.Field // the outer source
	tunnelDst  openflow.Field
}

// query is a pair of ICMP types.
type query struct{ request, reply uint64 }

func ipv4() family {
	return family{
		ether: etherIPv4, proto: protoICMP, src: openflow.IPv4Src, dst: openflow.IPv4Dst,
		typ: openflow.ICMPType, code: openflow.ICMPCode, echo: query{8, 0}, queries: []query{{8, 0}, {13, 14}}, // echo, timestamp (RFC 792)
		tunnelPeer: openflow.TunSrc, tunnelDst: openflow.TunDst,
	}
}

func ipv6() family {
	return family{
		ether: etherIPv6, proto: protoICMPv6, src: openflow.IPv6Src, dst: openflow.IPv6Dst,
		typ: openflow.ICMPv6Type, code: openflow.ICMPv6Code, echo: query{128, 129}, queries: []query{{128, 129}}, // echo (RFC 4443)
		tunnelPeer: openflow.TunIPv6Src, tunnelDst: openflow.TunIPv6Dst,
	}
}

func families() [2]family { return [2]family{ipv4(), ipv6()} }

// familyOf returns the family of an address.
func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4()
	}
	return ipv6()
}

func (f family) any() openflow.FieldMatch { return openflow.Exact(openflow.EthType, f.ether) }

// icmp returns the matches of one type of the family's ICMP.
func (f family) icmp(typ uint64) []openflow.FieldMatch {
	return []openflow.FieldMatch{f.any(), openflow.Exact(openflow.IPProto, f.proto), openflow.Exact(f.typ, typ)}
}

func arp() openflow.FieldMatch { return openflow.Exact(openflow.EthType, etherARP) }

func inPort(p uint32) openflow.FieldMatch { return openflow.Exact(openflow.InPort, uint64(p)) }

// flags matches the flags of which: those in set are set, the others clear.
func flags(set, which uint64) openflow.FieldMatch { return openflow.Masked(regFlags, set, which) }

func setFlag(f uint64) openflow.Action { return openflow.SetMasked(regFlags, f, f) }

func ctState(set, which uint64) openflow.FieldMatch {
	return openflow.Masked(openflow.CTState, set, which)
}

func srcNetwork(id fabric.NetworkID) openflow.FieldMatch {
	return openflow.Exact(regSrcNetwork, uint64(id))
}

func dstNetwork(id fabric.NetworkID) openflow.FieldMatch {
	return openflow.Exact(regDstNetwork, uint64(id))
}

func to(t Table) openflow.Action { return openflow.Resubmit{Table: uint8(t)} }

func move(src, dst openflow.Field) openflow.Action {
	return openflow.Move{Src: openflow.Whole(src), Dst: openflow.Whole(dst)}
}

// swap exchanges two fields of one width by the stack.
func swap(a, b openflow.Field) []openflow.Action {
	return []openflow.Action{
		openflow.Push{Src: openflow.Whole(a)}, openflow.Push{Src: openflow.Whole(b)},
		openflow.Pop{Dst: openflow.Whole(a)}, openflow.Pop{Dst: openflow.Whole(b)},
	}
}
