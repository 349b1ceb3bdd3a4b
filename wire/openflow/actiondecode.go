package openflow

import (
	"fmt"
	"net/netip"
	"slices"
)

// actions reads the rest of the cursor as actions.
func (c *cursor) actions(depth int) ([]Action, error) {
	var out []Action
	for len(c.b) > 0 {
		if len(c.b) < 8 {
			return nil, errShort
		}
		kind, n := be.Uint16(c.b), int(be.Uint16(c.b[2:]))
		if n < 8 || n > len(c.b) {
			return nil, fmt.Errorf("action of type %d: its length %d is wrong", kind, n)
		}
		body := cursor{b: c.b[4:n]}
		c.b = c.b[n:]
		a, err := body.action(kind, depth)
		if err == nil {
			err = body.err()
		}
		if err != nil {
			return nil, fmt.Errorf("action of type %d: %w", kind, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// action reads an action's body, behind type and length.
func (c *cursor) action(kind uint16, depth int) (Action, error) {
	switch kind {
	case actOutput:
		port, maxLen := c.u32(), c.u16()
		if port == PortController {
			return Controller{MaxLen: maxLenOf(maxLen)}, nil
		}
		return Output{port}, nil
	case actGroup:
		return Group{c.u32()}, nil
	case actMeter:
		return Meter{c.u32()}, nil
	case actDecTTL:
		return DecTTL{}, nil
	case actSetField:
		fm, err := c.oxm().fieldMatch()
		return SetField(fm), err
	case actCopyField:
		n, from, to := c.u16(), c.u16(), c.u16()
		c.skip(2)
		return c.move(n, from, to)
	case actExperimenter:
		vendor, subtype := c.u32(), c.u16()
		if vendor != nicira {
			return nil, fmt.Errorf("experimenter %#x is not supported", vendor)
		}
		a, err := c.nicira(subtype, depth)
		if err != nil {
			return nil, fmt.Errorf("subtype %d of Nicira: %w", subtype, err)
		}
		return a, nil
	}
	return nil, fmt.Errorf("not supported")
}

// maxLenOf makes a MaxLen of the wire's number, which has another zero.
func maxLenOf(n uint16) uint16 {
	if n == wholePacket {
		return 0
	}
	return n
}

// subfield makes a subfield of a field's header that follows in the cursor.
func (c *cursor) subfield(offset, bits uint16) (Subfield, error) {
	f, err := c.field()
	if err != nil {
		return Subfield{}, err
	}
	if bits == 0 || int(offset)+int(bits) > f.Bits() {
		return Subfield{}, fmt.Errorf("bits %d to %d are not within %s", offset, int(offset)+int(bits)-1, f)
	}
	return Subfield{f, uint8(offset), uint8(bits)}, nil
}

func (c *cursor) move(n, from, to uint16) (Action, error) {
	src, err := c.subfield(from, n)
	if err != nil {
		return nil, err
	}
	dst, err := c.subfield(to, n)
	return Move{src, dst}, err
}

// nicira reads the body of a Nicira action, behind the subtype.
func (c *cursor) nicira(subtype uint16, depth int) (Action, error) {
	switch subtype {
	case nxResubmitTable:
		port, table := c.u16(), c.u8()
		if port != resubmitInPort || table == 255 {
			return nil, fmt.Errorf("resubmit(%d,%d) is not supported", port, table)
		}
		return Resubmit{table}, nil
	case nxOutputReg, nxOutputReg2:
		ofs := c.u16()
		if subtype == nxOutputReg2 {
			c.skip(2)
		}
		s, err := c.subfield(ofs>>6, ofs&63+1)
		return OutputReg{s}, err
	case nxRegMove:
		return c.move(c.u16(), c.u16(), c.u16())
	case nxRegLoad:
		ofs := c.u16()
		s, err := c.subfield(ofs>>6, ofs&63+1)
		if err != nil {
			return nil, err
		}
		mask := ones(int(s.Bits))
		return SetField{s.Field, Num(c.u64()).And(mask).shl(int(s.Offset)), mask.shl(int(s.Offset))}, nil
	case nxRegLoad2:
		c.skip(6)
		fm, err := c.oxm().fieldMatch()
		return SetField(fm), err
	case nxStackPush, nxStackPop:
		offset := c.u16()
		f, err := c.field()
		if err != nil {
			return nil, err
		}
		s := Subfield{f, uint8(offset), uint8(min(c.u16(), 255))}
		if offset > 255 || s.check() != nil {
			return nil, fmt.Errorf("a subfield is not within %s", f)
		}
		if subtype == nxStackPush {
			return Push{s}, nil
		}
		return Pop{s}, nil
	case nxConjunction:
		a := Conjunction{Clause: c.u8() + 1, Count: c.u8(), ID: c.u32()}
		return a, a.check()
	case nxCTClear:
		return CTClear{}, nil
	case nxCheckLarger:
		octets, offset := c.u16(), c.u16()
		s, err := c.subfield(offset, 1)
		c.skip(6)
		return CheckLarger{octets, s}, err
	case nxController:
		a := Controller{MaxLen: maxLenOf(c.u16()), ID: c.u16()}
		return a, checkReason(c.u8())
	case nxController2:
		c.skip(6)
		return c.controller2()
	case nxCT:
		return c.ct(depth)
	}
	return nil, fmt.Errorf("not supported")
}

// reasonAction is OFPR_ACTION, the reason of a packet-in that an action caused.
const reasonAction = 1

func checkReason(r uint8) error {
	if r != reasonAction {
		return fmt.Errorf("packet-in reason %d is not supported", r)
	}
	return nil
}

func (c *cursor) controller2() (Action, error) {
	var a Controller
	props, err := c.properties()
	if err != nil {
		return nil, err
	}
	for _, p := range props {
		body := cursor{b: p.body}
		switch p.kind {
		case ctlrMaxLen:
			a.MaxLen = maxLenOf(body.u16())
		case ctlrID:
			a.ID = body.u16()
		case ctlrReason:
			if err := checkReason(body.u8()); err != nil {
				return nil, err
			}
		case ctlrUserdata:
			a.Userdata = slices.Clone(p.body)
			body.b = nil
		case ctlrPause:
			a.Pause = true
		case ctlrMeter:
			a.Meter = body.u32()
		default:
			return nil, fmt.Errorf("property %d is not supported", p.kind)
		}
		if err := body.err(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (c *cursor) ct(depth int) (Action, error) {
	if depth >= maxNesting {
		return nil, fmt.Errorf("ct within ct is not supported")
	}
	flags := c.u16()
	a := CT{Commit: flags&ctCommit != 0, Force: flags&ctForce != 0}
	if len(c.b) >= 4 && be.Uint32(c.b) != 0 {
		src := cursor{b: c.take(4)}
		ofs := c.u16()
		var err error
		if a.ZoneSrc, err = src.subfield(ofs>>6, ofs&63+1); err != nil {
			return nil, err
		}
	} else {
		c.skip(4)
		a.Zone = c.u16()
	}
	if t := c.u8(); t != ctNoRecirc {
		a.Table, a.Recirc = t, true
	}
	c.skip(3)
	if alg := c.u16(); alg != 0 || flags&^(ctCommit|ctForce) != 0 {
		return nil, fmt.Errorf("flags %#x or helper %d are not supported", flags, alg)
	}
	if len(c.b) >= 10 && be.Uint16(c.b) == actExperimenter && be.Uint32(c.b[4:]) == nicira && be.Uint16(c.b[8:]) == nxNAT {
		n := int(be.Uint16(c.b[2:]))
		if n < 16 {
			return nil, errShort
		}
		body := cursor{b: c.take(n)}
		nat, err := body.nat()
		if err != nil {
			return nil, err
		}
		a.NAT = &nat
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	var err error
	if a.Exec, err = c.actions(depth + 1); err != nil {
		return nil, err
	}
	return a, a.check()
}

// nat reads a whole struct nx_action_nat.
func (c *cursor) nat() (NAT, error) {
	c.skip(12)
	flags, present := c.u16(), c.u16()
	n := NAT{Src: flags&natSrc != 0, Dst: flags&natDst != 0}
	if flags&^(natSrc|natDst) != 0 {
		return n, fmt.Errorf("flags %#x of nat are not supported", flags)
	}
	addr := func(bit uint16, size int) string {
		if present&bit == 0 {
			return ""
		}
		a, _ := netip.AddrFromSlice(c.take(size))
		return a.String()
	}
	n.AddrMin, n.AddrMax = addr(natIPv4Min, 4), addr(natIPv4Max, 4)
	if present&(natIPv6Min|natIPv6Max) != 0 {
		n.AddrMin, n.AddrMax = addr(natIPv6Min, 16), addr(natIPv6Max, 16)
	}
	if present&natPortMin != 0 {
		n.PortMin = c.u16()
	}
	if present&natPortMax != 0 {
		n.PortMax = c.u16()
	}
	if c.bad {
		return n, errShort
	}
	return n, n.check()
}
