package openflow

import (
	"errors"
	"fmt"
)

// Types of actions (OpenFlow 1.5.1, section 7.2.6).
const (
	actOutput       = 0
	actGroup        = 22
	actDecTTL       = 24
	actSetField     = 25
	actCopyField    = 28
	actMeter        = 29
	actExperimenter = 0xffff
)

// nicira is the experimenter number of Open vSwitch's extensions.
const nicira = 0x00002320

// Subtypes of Nicira's actions (OVS lib/ofp-actions.c).
const (
	nxResubmit      = 1
	nxRegMove       = 6
	nxRegLoad       = 7
	nxResubmitTable = 14
	nxOutputReg     = 15
	nxController    = 20
	nxStackPush     = 27
	nxStackPop      = 28
	nxOutputReg2    = 32
	nxRegLoad2      = 33
	nxConjunction   = 34
	nxCT            = 35
	nxNAT           = 36
	nxController2   = 37
	nxCTClear       = 43
	nxCheckLarger   = 49
)

// Parts of the actions ct, nat and controller.
const (
	ctCommit       = 1
	ctForce        = 2
	ctNoRecirc     = 0xff
	natSrc         = 1
	natDst         = 2
	natIPv4Min     = 1 << 0
	natIPv4Max     = 1 << 1
	natIPv6Min     = 1 << 2
	natIPv6Max     = 1 << 3
	natPortMin     = 1 << 4
	natPortMax     = 1 << 5
	ctlrMaxLen     = 0
	ctlrID         = 1
	ctlrReason     = 2
	ctlrUserdata   = 3
	ctlrPause      = 4
	ctlrMeter      = 5
	resubmitInPort = 0xfff8
	wholePacket    = 0xffff
)

// appendActions appends a list of actions.
func appendActions(b []byte, actions []Action) ([]byte, error) {
	var err error
	for _, a := range actions {
		start := len(b)
		if b, err = appendAction(b, a); err != nil {
			return nil, fmt.Errorf("action %q: %w", actionText(a), err)
		}
		b = pad(b, start)
		if len(b)-start > 0xffff {
			return nil, fmt.Errorf("action %q is longer than 65535 octets", actionText(a))
		}
		be.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	return b, nil
}

// appendNX appends the header of a Nicira action; the caller's caller fills in the length.
func appendNX(b []byte, subtype uint16) []byte {
	b = be.AppendUint32(append(b, 0xff, 0xff, 0, 0), nicira)
	return be.AppendUint16(b, subtype)
}

// check reports a subfield that isn't inside its field.
func (s Subfield) check() error {
	if s.Bits == 0 || int(s.Offset)+int(s.Bits) > s.Field.Bits() {
		return fmt.Errorf("bits %d to %d are not within the %d bits of %s", s.Offset, int(s.Offset)+int(s.Bits)-1, s.Field.Bits(), s.Field)
	}
	return nil
}

// ofsBits packs a subfield's bits as nicira-ext.h does; it holds up to 64 bits.
func (s Subfield) ofsBits() uint16 { return uint16(s.Offset)<<6 | uint16(s.Bits-1) }

func appendAction(b []byte, a Action) ([]byte, error) {
	switch a := a.(type) {
	case Output:
		b = be.AppendUint32(append(b, 0, actOutput, 0, 0), a.Port)
		return append(be.AppendUint16(b, wholePacket), zeros[:6]...), nil
	case OutputReg:
		b = be.AppendUint16(appendNX(b, nxOutputReg2), a.Src.ofsBits())
		b = appendHeader(be.AppendUint16(b, wholePacket), a.Src.Field, false)
		return append(b, zeros[:6]...), errors.Join(a.Src.check(), checkRegister(a.Src))
	case SetField:
		b = append(b, 0, actSetField, 0, 0)
		if a.Field == InPort {
			return appendInPort(b, a)
		}
		return appendOXM(b, a.Field, a.Value, a.Mask)
	case Move:
		err := errors.Join(a.Src.check(), a.Dst.check())
		if err == nil && a.Src.Bits != a.Dst.Bits {
			err = fmt.Errorf("the source has %d bits and the destination %d", a.Src.Bits, a.Dst.Bits)
		}
		b = be.AppendUint16(append(b, 0, actCopyField, 0, 0), uint16(a.Src.Bits))
		b = be.AppendUint16(be.AppendUint16(b, uint16(a.Src.Offset)), uint16(a.Dst.Offset))
		b = append(b, 0, 0)
		return appendHeader(appendHeader(b, a.Src.Field, false), a.Dst.Field, false), err
	case Push:
		return appendStack(appendNX(b, nxStackPush), a.Src), a.Src.check()
	case Pop:
		return appendStack(appendNX(b, nxStackPop), a.Dst), a.Dst.check()
	case Resubmit:
		b = be.AppendUint16(appendNX(b, nxResubmitTable), resubmitInPort)
		if a.Table == 255 {
			return nil, errors.New("table 255 does not exist")
		}
		return append(b, a.Table, 0, 0, 0), nil
	case CT:
		return appendCT(b, a)
	case CTClear:
		return append(appendNX(b, nxCTClear), zeros[:6]...), nil
	case Conjunction:
		b = append(appendNX(b, nxConjunction), a.Clause-1, a.Count)
		return be.AppendUint32(b, a.ID), a.check()
	case DecTTL:
		return append(b, 0, actDecTTL, 0, 0, 0, 0, 0, 0), nil
	case Controller:
		return appendController(b, a)
	case CheckLarger:
		b = be.AppendUint16(be.AppendUint16(appendNX(b, nxCheckLarger), a.Octets), uint16(a.Dst.Offset))
		return append(appendHeader(b, a.Dst.Field, false), zeros[:6]...), a.check()
	case Group:
		return be.AppendUint32(append(b, 0, actGroup, 0, 0), a.ID), nil
	case Meter:
		return be.AppendUint32(append(b, 0, actMeter, 0, 0), a.ID), nil
	}
	return nil, fmt.Errorf("actions of type %T are not supported", a)
}

// appendInPort appends the 16-bit field of the input port: Open vSwitch reads the 32-bit one, but doesn't set it.
func appendInPort(b []byte, a SetField) ([]byte, error) {
	p := a.Value.Lo
	if a.Mask != ones(InPort.Bits()) || p >= maxPort && p < 0xffffff00 {
		return nil, errors.New("the input port is set as a whole, to a port below 65280 or a reserved one")
	}
	return be.AppendUint16(be.AppendUint32(b, classNXM0<<16|2), uint16(p)), nil
}

// checkRegister reports a source of output that the switch has no room for: it holds a port of 16 or 32 bits.
func checkRegister(s Subfield) error {
	if s.Bits > 32 {
		return fmt.Errorf("a port has at most 32 bits, not %d", s.Bits)
	}
	return nil
}

// appendStack appends the rest of struct nx_action_stack.
func appendStack(b []byte, s Subfield) []byte {
	b = appendHeader(be.AppendUint16(b, uint16(s.Offset)), s.Field, false)
	return append(be.AppendUint16(b, uint16(s.Bits)), zeros[:6]...)
}

// appendCT appends struct nx_action_conntrack and the nested actions, nat before the others.
func appendCT(b []byte, a CT) ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	var flags uint16
	if a.Commit {
		flags |= ctCommit
	}
	if a.Force {
		flags |= ctForce
	}
	b = be.AppendUint16(appendNX(b, nxCT), flags)
	if a.ZoneSrc.Field != 0 {
		if err := a.ZoneSrc.check(); err != nil {
			return nil, err
		}
		b = be.AppendUint16(appendHeader(b, a.ZoneSrc.Field, false), a.ZoneSrc.ofsBits())
	} else {
		b = be.AppendUint16(be.AppendUint32(b, 0), a.Zone)
	}
	table := uint8(ctNoRecirc)
	if a.Recirc {
		table = a.Table
	}
	b = append(b, table, 0, 0, 0, 0, 0)
	if a.NAT != nil {
		var err error
		start := len(b)
		if b, err = appendNAT(b, *a.NAT); err != nil {
			return nil, err
		}
		b = pad(b, start)
		be.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	return appendActions(b, a.Exec)
}

// appendNAT appends struct nx_action_nat and the ends of the range that are given.
func appendNAT(b []byte, n NAT) ([]byte, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	var flags uint16
	switch {
	case n.Src:
		flags = natSrc
	case n.Dst:
		flags = natDst
	}
	b = be.AppendUint16(append(appendNX(b, nxNAT), 0, 0), flags)
	at := len(b)
	b = append(b, 0, 0)
	var present uint16
	lo, hi, err := n.addrs()
	if err != nil {
		return nil, err
	}
	if lo.IsValid() {
		present |= natIPv4Min
		if lo.Is6() {
			present = natIPv6Min
		}
		b = append(b, lo.AsSlice()...)
	}
	if hi.IsValid() {
		present |= present << 1
		b = append(b, hi.AsSlice()...)
	}
	if n.PortMin != 0 {
		present |= natPortMin
		b = be.AppendUint16(b, n.PortMin)
	}
	if n.PortMax != 0 && n.PortMax != n.PortMin {
		present |= natPortMax
		b = be.AppendUint16(b, n.PortMax)
	}
	be.PutUint16(b[at:], present)
	return b, nil
}

// appendController appends NXAST_CONTROLLER2 with its properties.
func appendController(b []byte, a Controller) ([]byte, error) {
	b = append(appendNX(b, nxController2), zeros[:6]...)
	prop := func(kind uint16, body []byte) {
		start := len(b)
		b = be.AppendUint16(be.AppendUint16(b, kind), uint16(4+len(body)))
		b = pad(append(b, body...), start)
	}
	if a.MaxLen != 0 && a.MaxLen != wholePacket {
		prop(ctlrMaxLen, be.AppendUint16(nil, a.MaxLen))
	}
	if a.ID != 0 {
		prop(ctlrID, be.AppendUint16(nil, a.ID))
	}
	if len(a.Userdata) > 0 {
		prop(ctlrUserdata, a.Userdata)
	}
	if a.Pause {
		prop(ctlrPause, nil)
	}
	if a.Meter != 0 {
		prop(ctlrMeter, be.AppendUint32(nil, a.Meter))
	}
	if len(a.Userdata) > 0xf000 {
		return nil, errors.New("userdata is too long")
	}
	return b, nil
}
