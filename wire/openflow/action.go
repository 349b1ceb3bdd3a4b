package openflow

// Action is one action of a flow, a bucket or a packet-out. The set is closed: the types of this file.
type Action interface{ action() }

// Port numbers with a meaning of their own (OpenFlow 1.5.1, section 7.2.1).
const (
	PortInPort     uint32 = 0xfffffff8
	PortTable      uint32 = 0xfffffff9
	PortNormal     uint32 = 0xfffffffa
	PortFlood      uint32 = 0xfffffffb
	PortAll        uint32 = 0xfffffffc
	PortController uint32 = 0xfffffffd
	PortLocal      uint32 = 0xfffffffe
	PortAny        uint32 = 0xffffffff
)

// Subfield is a run of a field's bits: Bits bits from Offset, counted from the least significant.
type Subfield struct {
	Field  Field
	Offset uint8
	Bits   uint8
}

// Whole returns the subfield that is all of f.
func Whole(f Field) Subfield { return Subfield{f, 0, uint8(f.Bits())} }

type (
	// Output sends the packet to a port.
	Output struct{ Port uint32 }
	// OutputReg sends the packet to the port whose number a subfield holds.
	OutputReg struct{ Src Subfield }
	// SetField sets the bits of a field that Mask selects. Like a match, it needs the field's prerequisites in
	// the flow's match, as they are there: to set nd_tll, icmp_type=136 must be matched, not only set before.
	SetField struct {
		Field Field
		Value Value
		Mask  Value
	}
	// Move copies Src to Dst; both have the same number of bits.
	Move struct{ Src, Dst Subfield }
	// Push puts Src on the pipeline's stack.
	Push struct{ Src Subfield }
	// Pop takes Dst from the pipeline's stack.
	Pop struct{ Dst Subfield }
	// Resubmit looks the packet up in another table, with the same in_port, then goes on.
	Resubmit struct{ Table uint8 }
	// CT sends the packet through the connection tracker (ovs-actions(7), "ct").
	CT struct {
		Commit bool
		Force  bool
		// Zone is the zone's number, or ZoneSrc, when its Field is set, the 16 bits that hold it.
		Zone    uint16
		ZoneSrc Subfield
		// Recirc says that the packet goes on in Table with ct_state set.
		Recirc bool
		Table  uint8
		// Exec may set or move into ct_mark and ct_label; with Commit only.
		Exec []Action
		NAT  *NAT
	}
	// NAT translates addresses within CT. The zero NAT applies what the connection already has.
	NAT struct {
		Src, Dst         bool
		AddrMin, AddrMax string
		PortMin, PortMax uint16
	}
	// CTClear forgets the packet's connection tracking state.
	CTClear struct{}
	// Conjunction makes the flow a member of clause Clause (from 1) of Count clauses.
	Conjunction struct {
		ID            uint32
		Clause, Count uint8
	}
	// DecTTL lowers the TTL; packets that have none left go no further.
	DecTTL struct{}
	// Controller sends the packet to the controller as a packet-in with userdata (NXAST_CONTROLLER2).
	Controller struct {
		// MaxLen is how many octets of the packet are sent, 0 for all.
		MaxLen uint16
		// ID is the number of the controller; a Conn receives what is for number 0.
		ID       uint16
		Userdata []byte
		Pause    bool
		// Meter limits the packet-ins, 0 for no limit.
		Meter uint32
	}
	// CheckLarger sets the bit Dst if the packet, with its Ethernet header, has more than Octets octets, else clears it
	// (ovs-actions(7), "check_pkt_larger"). The datapath runs what follows in this list for either case.
	CheckLarger struct {
		Octets uint16
		Dst    Subfield
	}
	// Group hands the packet to a group.
	Group struct{ ID uint32 }
	// Meter applies a meter.
	Meter struct{ ID uint32 }
)

func (Output) action()      {}
func (OutputReg) action()   {}
func (SetField) action()    {}
func (Move) action()        {}
func (Push) action()        {}
func (Pop) action()         {}
func (Resubmit) action()    {}
func (CT) action()          {}
func (CTClear) action()     {}
func (Conjunction) action() {}
func (DecTTL) action()      {}
func (Controller) action()  {}
func (CheckLarger) action() {}
func (Group) action()       {}
func (Meter) action()       {}

// Set sets a whole field of up to 64 bits.
func Set(f Field, v uint64) SetField { return SetField{f, Num(v), ones(f.Bits())} }

// SetMasked sets the bits of a field of up to 64 bits that mask selects.
func SetMasked(f Field, v, mask uint64) SetField { return SetField{f, Num(v & mask), Num(mask)} }

// SetValue sets a whole field of any width.
func SetValue(f Field, v Value) SetField { return SetField{f, v, ones(f.Bits())} }
