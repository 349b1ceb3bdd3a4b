package openflow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Ethernet types and IP protocols that have a shorthand.
const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethRARP = 0x8035
	ethIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// protocol is a word that stands for an eth_type and perhaps an ip_proto. The first word that fits is the
// one that is written; the others are read only.
type protocol struct {
	word    string
	ethType uint64
	proto   uint64 // 0 for any
}

var protocols = []protocol{
	{"icmp", ethIPv4, protoICMP}, {"tcp", ethIPv4, protoTCP}, {"udp", ethIPv4, protoUDP}, {"sctp", ethIPv4, protoSCTP}, {"ip", ethIPv4, 0},
	{"icmp6", ethIPv6, protoICMPv6}, {"tcp6", ethIPv6, protoTCP}, {"udp6", ethIPv6, protoUDP}, {"sctp6", ethIPv6, protoSCTP}, {"ipv6", ethIPv6, 0},
	{"arp", ethARP, 0}, {"rarp", ethRARP, 0}, {"mpls", 0x8847, 0}, {"mplsm", 0x8848, 0},
	{"ipv4", ethIPv4, 0}, {"ip4", ethIPv4, 0}, {"ip6", ethIPv6, 0},
}

// shorthand returns the word for the match's protocol, and whether the word says ip_proto too.
func (m Match) shorthand() (word string, withProto bool) {
	et, ok := m.exact(EthType)
	if !ok {
		return "", false
	}
	proto, hasProto := m.exact(IPProto)
	for _, p := range protocols {
		if p.ethType == et && (p.proto == 0 || hasProto && p.proto == proto) {
			return p.word, p.proto != 0
		}
	}
	return "", false
}

// exact returns the value of a field of up to 64 bits that is matched whole.
func (m Match) exact(f Field) (uint64, bool) {
	for _, fm := range m {
		if fm.Field == f {
			return fm.Value.Lo, fm.Mask == ones(f.Bits())
		}
	}
	return 0, false
}

// textOrder is the order in which ovs-ofctl writes a match; textRank is its inverse. The shorthand of the
// protocol stands before the first register.
var (
	textOrder = []Field{
		PktMark, ConjID, CTState, CTZone, CTMark, CTLabel, CTNwSrc, CTIPv6Src, CTNwDst, CTIPv6Dst, CTNwProto, CTTpSrc, CTTpDst,
		XXReg0, XXReg1, XXReg2, XXReg3, Reg0, Reg1, Reg2, Reg3, Reg4, Reg5, Reg6, Reg7, Reg8, Reg9, Reg10, Reg11, Reg12, Reg13, Reg14, Reg15,
		TunID, TunSrc, TunDst, TunIPv6Src, TunIPv6Dst, TunFlags, Metadata, InPort, VLANTCI, EthSrc, EthDst, EthType,
		IPv6Src, IPv6Dst, IPv6Label, ARPSPA, ARPTPA, IPv4Src, IPv4Dst, ARPOp, IPProto, ARPSHA, ARPTHA, IPDSCP, IPECN, IPTTL, IPFrag,
		ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code, NDTarget, NDSLL, NDTLL, NDReserved, NDOptionsType,
		TCPSrc, TCPDst, UDPSrc, UDPDst, SCTPSrc, SCTPDst, TCPFlags,
	}
	textRank = indexOrder()
)

func indexOrder() (rank [lastField]int) {
	for i, f := range textOrder {
		rank[f] = i
	}
	return rank
}

// String returns the match in the syntax and the order of ovs-ofctl dump-flows, without priority; the
// match of every packet is the empty string.
func (m Match) String() string {
	word, withProto := m.shorthand()
	ethType, _ := m.exact(EthType)
	proto, _ := m.exact(IPProto)
	sorted := slices.Clone(m)
	slices.SortStableFunc(sorted, func(a, b FieldMatch) int {
		return cmp.Compare(textRank[min(a.Field, lastField-1)], textRank[min(b.Field, lastField-1)])
	})
	parts := make([]string, 0, len(m))
	written := word == ""
	for _, fm := range sorted {
		if !written && textRank[min(fm.Field, lastField-1)] >= textRank[XXReg0] {
			parts, written = append(parts, word), true
		}
		if word != "" && (fm.Field == EthType || withProto && fm.Field == IPProto) {
			continue
		}
		parts = append(parts, fm.text(matchName(fm.Field, ethType, proto)))
	}
	return strings.Join(parts, ",")
}

// matchName returns the name that ovs-ofctl gives to a field in a match of the given protocol. Where the
// protocol doesn't give the generic names tp_src and icmp_type their meaning, the field's own name stands.
func matchName(f Field, ethType, proto uint64) string {
	ip := ethType == ethIPv4 || ethType == ethIPv6
	switch f {
	case EthSrc:
		return "dl_src"
	case EthDst:
		return "dl_dst"
	case EthType:
		return "dl_type"
	case IPv4Src:
		return "nw_src"
	case IPv4Dst:
		return "nw_dst"
	case IPFrag:
		return "nw_frag"
	case TCPSrc, UDPSrc, SCTPSrc:
		if ip && proto == map[Field]uint64{TCPSrc: protoTCP, UDPSrc: protoUDP, SCTPSrc: protoSCTP}[f] {
			return "tp_src"
		}
	case TCPDst, UDPDst, SCTPDst:
		if ip && proto == map[Field]uint64{TCPDst: protoTCP, UDPDst: protoUDP, SCTPDst: protoSCTP}[f] {
			return "tp_dst"
		}
	case ICMPv6Type:
		if ethType == ethIPv6 && proto == protoICMPv6 {
			return "icmp_type"
		}
	case ICMPv6Code:
		if ethType == ethIPv6 && proto == protoICMPv6 {
			return "icmp_code"
		}
	}
	return f.String()
}

// String returns the field match as a part of a match.
func (fm FieldMatch) String() string { return fm.text(matchName(fm.Field, 0, 0)) }

// text returns the field match under the given name.
func (fm FieldMatch) text(name string) string {
	f, v, mask := fm.Field, fm.Value, fm.Mask
	i := f.info()
	full := mask == ones(int(i.bits))
	switch {
	case f == IPDSCP && full:
		return "nw_tos=" + strconv.FormatUint(v.Lo<<2, 10)
	case f == VLANTCI:
		return vlanText(v.Lo, mask.Lo)
	case f == EthType && full:
		return fmt.Sprintf("%s=0x%04x", name, v.Lo)
	case f == IPv6Label && full:
		return fmt.Sprintf("%s=0x%05x", name, v.Lo)
	case f == IPv6Label:
		return fmt.Sprintf("%s=0x%05x/0x%05x", name, v.Lo, mask.Lo)
	case f == CTLabel && full:
		return name + "=" + hexText(v)
	case f == CTLabel:
		return name + "=" + hexText(v) + "/" + hexText(mask)
	case f == CTZone && full:
		return name + "=" + strconv.FormatUint(v.Lo, 10)
	case i.form == formHex && full:
		return name + "=" + printfHex(v)
	case i.form == formHex:
		return name + "=" + printfHex(v) + "/" + printfHex(mask)
	case i.form == formDecimal && !full:
		return name + "=" + hexText(v) + "/" + hexText(mask)
	case i.form == formTunFlags:
		return name + "=" + map[bool]string{true: "-oam", false: "+oam"}[v.IsZero()]
	case i.form == formCTState:
		return name + "=" + flagsText(flagNames(formCTState), v, mask.And(ones(8)))
	}
	return name + "=" + valueText(f, v, mask)
}

// valueText writes a value as set_field does.
func valueText(f Field, v, mask Value) string {
	i := f.info()
	full := mask == ones(int(i.bits))
	var s string
	switch i.form {
	case formMAC:
		if full {
			return macText(v)
		}
		return macText(v) + "/" + macText(mask)
	case formIPv4, formIPv6:
		return addrText(v, mask, int(i.bits))
	case formPort:
		if s = hexText(v); full {
			s = portText(uint32(v.Lo))
		}
	case formCTState, formTCPFlags, formTunFlags:
		return flagsText(flagNames(i.form), v, mask)
	case formFrag:
		for _, k := range fragKinds {
			if k.value == v.Lo && k.mask == mask.Lo {
				return k.name
			}
		}
		s = hexText(v)
	case formHex:
		s = hexText(v)
	default:
		s = strconv.FormatUint(v.Lo, 10)
	}
	if full {
		return s
	}
	return s + "/" + hexText(mask)
}

// Parts of a VLAN TCI.
const (
	vlanVID     = 0x0fff
	vlanPresent = 0x1000
	vlanPCP     = 0xe000
)

// vlanText writes a TCI as dl_vlan and dl_vlan_pcp where these say all of it.
func vlanText(v, mask uint64) string {
	vid, pcp := mask&vlanVID, mask&vlanPCP
	whole := (vid == 0 || vid == vlanVID) && (pcp == 0 || pcp == vlanPCP) && vid|pcp != 0
	if mask&v&vlanPresent == 0 || !whole {
		if mask == 0xffff {
			return fmt.Sprintf("vlan_tci=0x%04x", v)
		}
		return fmt.Sprintf("vlan_tci=0x%04x/0x%04x", v, mask)
	}
	var parts []string
	if vid != 0 {
		parts = append(parts, fmt.Sprintf("dl_vlan=%d", v&vlanVID))
	}
	if pcp != 0 {
		parts = append(parts, fmt.Sprintf("dl_vlan_pcp=%d", v>>13))
	}
	return strings.Join(parts, ",")
}
