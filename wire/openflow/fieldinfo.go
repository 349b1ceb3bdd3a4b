package openflow

// Classes of OXM headers (ovs-fields(7), "Evolution of OpenFlow Fields"). Open vSwitch takes any of them
// in any message; when it writes OpenFlow 1.5 it uses those that fieldInfos gives.
const (
	classNXM0     = 0x0000
	classNXM1     = 0x0001
	classEricsson = 0x1000
	classOXM      = 0x8000
)

// form says how the text form writes a field's values.
type form uint8

const (
	formDecimal form = iota + 1
	formHex
	formMAC
	formIPv4
	formIPv6
	formPort
	formFrag
	formCTState
	formTCPFlags
	formTunFlags
)

// fieldInfo describes a field on the wire and in text.
type fieldInfo struct {
	name  string // in set_field, and in a match where matchNames has no other
	alias string // a second name that the parser takes
	nxm   string // in a subfield, such as NXM_NX_REG0[0..15]
	class uint16
	num   uint8
	size  uint8 // octets of the value
	bits  uint8 // significant bits of it
	form  form
}

// info returns the description of f; a Field that is none of the constants has the zero description.
func (f Field) info() fieldInfo {
	if f >= lastField {
		return fieldInfo{}
	}
	return fieldInfos[f]
}

// Valid reports whether f is one of the fields of this package.
func (f Field) Valid() bool { return f > 0 && f < lastField }

// Bits returns the width of the field.
func (f Field) Bits() int { return int(f.info().bits) }

// String returns the name that ovs-ofctl gives to the field in set_field.
func (f Field) String() string {
	if !f.Valid() {
		return "unknown-field"
	}
	return fieldInfos[f].name
}

// ParseField returns the field of a name: that of String, an alias of it (nw_src, dl_dst, tunnel_id) or
// that of a subfield (NXM_NX_REG0, OXM_OF_ETH_SRC).
func ParseField(name string) (Field, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

// headerKey identifies a field on the wire: class and number.
func headerKey(class uint16, num uint8) uint32 { return uint32(class)<<8 | uint32(num) }

// oxmNames are second names of subfields, for fields that have an NXM and an OXM header.
var oxmNames = map[string]Field{
	"NXM_OF_IN_PORT": InPort, "OXM_OF_TUNNEL_ID": TunID,
	"OXM_OF_ETH_DST": EthDst, "OXM_OF_ETH_SRC": EthSrc, "OXM_OF_ETH_TYPE": EthType,
	"OXM_OF_IP_PROTO": IPProto, "OXM_OF_IP_ECN": IPECN,
	"OXM_OF_IPV4_SRC": IPv4Src, "OXM_OF_IPV4_DST": IPv4Dst,
	"OXM_OF_IPV6_SRC": IPv6Src, "OXM_OF_IPV6_DST": IPv6Dst, "OXM_OF_IPV6_FLABEL": IPv6Label,
	"OXM_OF_TCP_SRC": TCPSrc, "OXM_OF_TCP_DST": TCPDst, "OXM_OF_TCP_FLAGS": TCPFlags,
	"OXM_OF_UDP_SRC": UDPSrc, "OXM_OF_UDP_DST": UDPDst,
	"OXM_OF_ICMPV4_TYPE": ICMPType, "OXM_OF_ICMPV4_CODE": ICMPCode,
	"OXM_OF_ICMPV6_TYPE": ICMPv6Type, "OXM_OF_ICMPV6_CODE": ICMPv6Code,
	"OXM_OF_IPV6_ND_TARGET": NDTarget, "OXM_OF_IPV6_ND_SLL": NDSLL, "OXM_OF_IPV6_ND_TLL": NDTLL,
	"OXM_OF_ARP_OP": ARPOp, "OXM_OF_ARP_SPA": ARPSPA, "OXM_OF_ARP_TPA": ARPTPA,
	"OXM_OF_ARP_SHA": ARPSHA, "OXM_OF_ARP_THA": ARPTHA,
}

// nxmHeaders are the older headers of fields, which a switch may still send.
var nxmHeaders = map[uint32]Field{
	headerKey(classNXM0, 0): InPort, headerKey(classNXM1, 16): TunID, headerKey(classNXM0, 1): EthDst, headerKey(classNXM0, 2): EthSrc,
	headerKey(classNXM0, 3): EthType, headerKey(classNXM0, 6): IPProto, headerKey(classNXM1, 28): IPECN,
	headerKey(classNXM0, 7): IPv4Src, headerKey(classNXM0, 8): IPv4Dst,
	headerKey(classNXM1, 19): IPv6Src, headerKey(classNXM1, 20): IPv6Dst, headerKey(classNXM1, 27): IPv6Label,
	headerKey(classNXM0, 9): TCPSrc, headerKey(classNXM0, 10): TCPDst, headerKey(classNXM1, 34): TCPFlags,
	headerKey(classNXM0, 11): UDPSrc, headerKey(classNXM0, 12): UDPDst,
	headerKey(classNXM0, 13): ICMPType, headerKey(classNXM0, 14): ICMPCode,
	headerKey(classNXM1, 21): ICMPv6Type, headerKey(classNXM1, 22): ICMPv6Code,
	headerKey(classNXM1, 23): NDTarget, headerKey(classNXM1, 24): NDSLL, headerKey(classNXM1, 25): NDTLL,
	headerKey(classNXM0, 15): ARPOp, headerKey(classNXM0, 16): ARPSPA, headerKey(classNXM0, 17): ARPTPA,
	headerKey(classNXM1, 17): ARPSHA, headerKey(classNXM1, 18): ARPTHA,
}

// fieldsByName and fieldsByHeader are indexes of the tables of this file; nothing writes to them.
var (
	fieldsByName   = indexNames()
	fieldsByHeader = indexHeaders()
)

func indexNames() map[string]Field {
	m := make(map[string]Field, 3*int(lastField))
	for f := Field(1); f < lastField; f++ {
		i := fieldInfos[f]
		m[i.name], m[i.nxm] = f, f
		if i.alias != "" {
			m[i.alias] = f
		}
	}
	for name, f := range oxmNames {
		m[name] = f
	}
	return m
}

func indexHeaders() map[uint32]Field {
	m := make(map[uint32]Field, 2*int(lastField))
	for f := Field(1); f < lastField; f++ {
		m[headerKey(fieldInfos[f].class, fieldInfos[f].num)] = f
	}
	for h, f := range nxmHeaders {
		m[h] = f
	}
	return m
}

// fieldInfos follows lib/meta-flow.xml and include/openvswitch/meta-flow.h of Open vSwitch 3.1.
var fieldInfos = [lastField]fieldInfo{
	InPort:        {"in_port", "in_port_oxm", "OXM_OF_IN_PORT", classOXM, 0, 4, 32, formPort},
	Metadata:      {"metadata", "", "OXM_OF_METADATA", classOXM, 2, 8, 64, formHex},
	TunID:         {"tun_id", "tunnel_id", "NXM_NX_TUN_ID", classOXM, 38, 8, 64, formHex},
	TunSrc:        {"tun_src", "", "NXM_NX_TUN_IPV4_SRC", classNXM1, 31, 4, 32, formIPv4},
	TunDst:        {"tun_dst", "", "NXM_NX_TUN_IPV4_DST", classNXM1, 32, 4, 32, formIPv4},
	TunIPv6Src:    {"tun_ipv6_src", "", "NXM_NX_TUN_IPV6_SRC", classNXM1, 109, 16, 128, formIPv6},
	TunIPv6Dst:    {"tun_ipv6_dst", "", "NXM_NX_TUN_IPV6_DST", classNXM1, 110, 16, 128, formIPv6},
	TunFlags:      {"tun_flags", "", "NXM_NX_TUN_FLAGS", classNXM1, 104, 2, 1, formTunFlags},
	ConjID:        {"conj_id", "", "NXM_NX_CONJ_ID", classNXM1, 37, 4, 32, formDecimal},
	PktMark:       {"pkt_mark", "", "NXM_NX_PKT_MARK", classNXM1, 33, 4, 32, formHex},
	CTState:       {"ct_state", "", "NXM_NX_CT_STATE", classNXM1, 105, 4, 32, formCTState},
	CTZone:        {"ct_zone", "", "NXM_NX_CT_ZONE", classNXM1, 106, 2, 16, formHex},
	CTMark:        {"ct_mark", "", "NXM_NX_CT_MARK", classNXM1, 107, 4, 32, formHex},
	CTLabel:       {"ct_label", "", "NXM_NX_CT_LABEL", classNXM1, 108, 16, 128, formHex},
	Reg0:          {"reg0", "", "NXM_NX_REG0", classNXM1, 0, 4, 32, formHex},
	Reg1:          {"reg1", "", "NXM_NX_REG1", classNXM1, 1, 4, 32, formHex},
	Reg2:          {"reg2", "", "NXM_NX_REG2", classNXM1, 2, 4, 32, formHex},
	Reg3:          {"reg3", "", "NXM_NX_REG3", classNXM1, 3, 4, 32, formHex},
	Reg4:          {"reg4", "", "NXM_NX_REG4", classNXM1, 4, 4, 32, formHex},
	Reg5:          {"reg5", "", "NXM_NX_REG5", classNXM1, 5, 4, 32, formHex},
	Reg6:          {"reg6", "", "NXM_NX_REG6", classNXM1, 6, 4, 32, formHex},
	Reg7:          {"reg7", "", "NXM_NX_REG7", classNXM1, 7, 4, 32, formHex},
	Reg8:          {"reg8", "", "NXM_NX_REG8", classNXM1, 8, 4, 32, formHex},
	Reg9:          {"reg9", "", "NXM_NX_REG9", classNXM1, 9, 4, 32, formHex},
	Reg10:         {"reg10", "", "NXM_NX_REG10", classNXM1, 10, 4, 32, formHex},
	Reg11:         {"reg11", "", "NXM_NX_REG11", classNXM1, 11, 4, 32, formHex},
	Reg12:         {"reg12", "", "NXM_NX_REG12", classNXM1, 12, 4, 32, formHex},
	Reg13:         {"reg13", "", "NXM_NX_REG13", classNXM1, 13, 4, 32, formHex},
	Reg14:         {"reg14", "", "NXM_NX_REG14", classNXM1, 14, 4, 32, formHex},
	Reg15:         {"reg15", "", "NXM_NX_REG15", classNXM1, 15, 4, 32, formHex},
	XXReg0:        {"xxreg0", "", "NXM_NX_XXREG0", classNXM1, 111, 16, 128, formHex},
	XXReg1:        {"xxreg1", "", "NXM_NX_XXREG1", classNXM1, 112, 16, 128, formHex},
	XXReg2:        {"xxreg2", "", "NXM_NX_XXREG2", classNXM1, 113, 16, 128, formHex},
	XXReg3:        {"xxreg3", "", "NXM_NX_XXREG3", classNXM1, 114, 16, 128, formHex},
	EthDst:        {"eth_dst", "dl_dst", "NXM_OF_ETH_DST", classOXM, 3, 6, 48, formMAC},
	EthSrc:        {"eth_src", "dl_src", "NXM_OF_ETH_SRC", classOXM, 4, 6, 48, formMAC},
	EthType:       {"eth_type", "dl_type", "NXM_OF_ETH_TYPE", classOXM, 5, 2, 16, formHex},
	VLANTCI:       {"vlan_tci", "", "NXM_OF_VLAN_TCI", classNXM0, 4, 2, 16, formHex},
	IPProto:       {"nw_proto", "ip_proto", "NXM_OF_IP_PROTO", classOXM, 10, 1, 8, formDecimal},
	IPFrag:        {"ip_frag", "nw_frag", "NXM_NX_IP_FRAG", classNXM1, 26, 1, 2, formFrag},
	IPDSCP:        {"ip_dscp", "nw_tos_shifted", "OXM_OF_IP_DSCP", classOXM, 8, 1, 6, formDecimal},
	IPECN:         {"nw_ecn", "ip_ecn", "NXM_NX_IP_ECN", classOXM, 9, 1, 2, formDecimal},
	IPTTL:         {"nw_ttl", "", "NXM_NX_IP_TTL", classNXM1, 29, 1, 8, formDecimal},
	IPv4Src:       {"ip_src", "nw_src", "NXM_OF_IP_SRC", classOXM, 11, 4, 32, formIPv4},
	IPv4Dst:       {"ip_dst", "nw_dst", "NXM_OF_IP_DST", classOXM, 12, 4, 32, formIPv4},
	IPv6Src:       {"ipv6_src", "", "NXM_NX_IPV6_SRC", classOXM, 26, 16, 128, formIPv6},
	IPv6Dst:       {"ipv6_dst", "", "NXM_NX_IPV6_DST", classOXM, 27, 16, 128, formIPv6},
	IPv6Label:     {"ipv6_label", "", "NXM_NX_IPV6_LABEL", classOXM, 28, 4, 20, formHex},
	CTNwProto:     {"ct_nw_proto", "", "NXM_NX_CT_NW_PROTO", classNXM1, 119, 1, 8, formDecimal},
	CTNwSrc:       {"ct_nw_src", "", "NXM_NX_CT_NW_SRC", classNXM1, 120, 4, 32, formIPv4},
	CTNwDst:       {"ct_nw_dst", "", "NXM_NX_CT_NW_DST", classNXM1, 121, 4, 32, formIPv4},
	CTIPv6Src:     {"ct_ipv6_src", "", "NXM_NX_CT_IPV6_SRC", classNXM1, 122, 16, 128, formIPv6},
	CTIPv6Dst:     {"ct_ipv6_dst", "", "NXM_NX_CT_IPV6_DST", classNXM1, 123, 16, 128, formIPv6},
	CTTpSrc:       {"ct_tp_src", "", "NXM_NX_CT_TP_SRC", classNXM1, 124, 2, 16, formDecimal},
	CTTpDst:       {"ct_tp_dst", "", "NXM_NX_CT_TP_DST", classNXM1, 125, 2, 16, formDecimal},
	TCPSrc:        {"tcp_src", "", "NXM_OF_TCP_SRC", classOXM, 13, 2, 16, formDecimal},
	TCPDst:        {"tcp_dst", "", "NXM_OF_TCP_DST", classOXM, 14, 2, 16, formDecimal},
	TCPFlags:      {"tcp_flags", "", "NXM_NX_TCP_FLAGS", classOXM, 42, 2, 12, formTCPFlags},
	UDPSrc:        {"udp_src", "", "NXM_OF_UDP_SRC", classOXM, 15, 2, 16, formDecimal},
	UDPDst:        {"udp_dst", "", "NXM_OF_UDP_DST", classOXM, 16, 2, 16, formDecimal},
	SCTPSrc:       {"sctp_src", "", "OXM_OF_SCTP_SRC", classOXM, 17, 2, 16, formDecimal},
	SCTPDst:       {"sctp_dst", "", "OXM_OF_SCTP_DST", classOXM, 18, 2, 16, formDecimal},
	ICMPType:      {"icmp_type", "", "NXM_OF_ICMP_TYPE", classOXM, 19, 1, 8, formDecimal},
	ICMPCode:      {"icmp_code", "", "NXM_OF_ICMP_CODE", classOXM, 20, 1, 8, formDecimal},
	ICMPv6Type:    {"icmpv6_type", "", "NXM_NX_ICMPV6_TYPE", classOXM, 29, 1, 8, formDecimal},
	ICMPv6Code:    {"icmpv6_code", "", "NXM_NX_ICMPV6_CODE", classOXM, 30, 1, 8, formDecimal},
	NDTarget:      {"nd_target", "", "NXM_NX_ND_TARGET", classOXM, 31, 16, 128, formIPv6},
	NDSLL:         {"nd_sll", "", "NXM_NX_ND_SLL", classOXM, 32, 6, 48, formMAC},
	NDTLL:         {"nd_tll", "", "NXM_NX_ND_TLL", classOXM, 33, 6, 48, formMAC},
	NDReserved:    {"nd_reserved", "", "ERICOXM_OF_ICMPV6_ND_RESERVED", classEricsson, 1, 4, 32, formDecimal},
	NDOptionsType: {"nd_options_type", "", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", classEricsson, 2, 1, 8, formDecimal},
	ARPOp:         {"arp_op", "", "NXM_OF_ARP_OP", classOXM, 21, 2, 16, formDecimal},
	ARPSPA:        {"arp_spa", "", "NXM_OF_ARP_SPA", classOXM, 22, 4, 32, formIPv4},
	ARPTPA:        {"arp_tpa", "", "NXM_OF_ARP_TPA", classOXM, 23, 4, 32, formIPv4},
	ARPSHA:        {"arp_sha", "", "NXM_NX_ARP_SHA", classOXM, 24, 6, 48, formMAC},
	ARPTHA:        {"arp_tha", "", "NXM_NX_ARP_THA", classOXM, 25, 6, 48, formMAC},
}
