package openflow

// Bits returns the width of the field.
func (f Field) Bits() int { return fieldBits[f] }

var fieldBits = [lastField]int{
	InPort: 32, Metadata: 64, TunID: 64, TunSrc: 32, TunDst: 32, TunIPv6Src: 128, TunIPv6Dst: 128, TunFlags: 16,
	ConjID: 32, PktMark: 32, CTState: 32, CTZone: 16, CTMark: 32, CTLabel: 128,
	Reg0: 32, Reg1: 32, Reg2: 32, Reg3: 32, Reg4: 32, Reg5: 32, Reg6: 32, Reg7: 32,
	Reg8: 32, Reg9: 32, Reg10: 32, Reg11: 32, Reg12: 32, Reg13: 32, Reg14: 32, Reg15: 32,
	XXReg0: 128, XXReg1: 128, XXReg2: 128, XXReg3: 128,
	EthDst: 48, EthSrc: 48, EthType: 16, VLANTCI: 16, IPProto: 8, IPFrag: 8, IPDSCP: 8, IPECN: 8, IPTTL: 8,
	IPv4Src: 32, IPv4Dst: 32, IPv6Src: 128, IPv6Dst: 128, IPv6Label: 32,
	CTNwProto: 8, CTNwSrc: 32, CTNwDst: 32, CTIPv6Src: 128, CTIPv6Dst: 128, CTTpSrc: 16, CTTpDst: 16,
	TCPSrc: 16, TCPDst: 16, TCPFlags: 16, UDPSrc: 16, UDPDst: 16, SCTPSrc: 16, SCTPDst: 16,
	ICMPType: 8, ICMPCode: 8, ICMPv6Type: 8, ICMPv6Code: 8,
	NDTarget: 128, NDSLL: 48, NDTLL: 48, NDReserved: 32, NDOptionsType: 8,
	ARPOp: 16, ARPSPA: 32, ARPTPA: 32, ARPSHA: 48, ARPTHA: 48,
}
