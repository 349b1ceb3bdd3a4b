package openflow

// Field is a field that a match or an action can name (ovs-fields(7)). The order of the constants is the
// canonical order within a Match: prerequisites come before what needs them.
type Field uint8

// The fields.
const (
	InPort Field = iota + 1
	Metadata
	TunID
	TunSrc
	TunDst
	TunIPv6Src
	TunIPv6Dst
	TunFlags
	ConjID
	PktMark
	CTState
	CTZone
	CTMark
	CTLabel
	Reg0
	Reg1
	Reg2
	Reg3
	Reg4
	Reg5
	Reg6
	Reg7
	Reg8
	Reg9
	Reg10
	Reg11
	Reg12
	Reg13
	Reg14
	Reg15
	XXReg0
	XXReg1
	XXReg2
	XXReg3
	EthDst
	EthSrc
	EthType
	VLANTCI
	IPProto
	IPFrag
	IPDSCP
	IPECN
	IPTTL
	IPv4Src
	IPv4Dst
	IPv6Src
	IPv6Dst
	IPv6Label
	CTNwProto
	CTNwSrc
	CTNwDst
	CTIPv6Src
	CTIPv6Dst
	CTTpSrc
	CTTpDst
	TCPSrc
	TCPDst
	TCPFlags
	UDPSrc
	UDPDst
	SCTPSrc
	SCTPDst
	ICMPType
	ICMPCode
	ICMPv6Type
	ICMPv6Code
	NDTarget
	NDSLL
	NDTLL
	NDReserved
	NDOptionsType
	ARPOp
	ARPSPA
	ARPTPA
	ARPSHA
	ARPTHA
	lastField
)
