package openflow

import (
	"errors"
	"fmt"
)

// classPktReg is the class of the packet registers, each of which is two of our registers
// (OFPXMC_PACKET_REGS); Open vSwitch writes registers so in OpenFlow 1.5.
const classPktReg = 0x8001

// appendNumber appends the lower size octets of v.
func appendNumber(b []byte, v Value, size int) []byte {
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(v.shr(8*i).Lo))
	}
	return b
}

// number reads octets as a number.
func number(p []byte) (v Value) {
	for _, o := range p {
		v = v.shl(8).or(Num(uint64(o)))
	}
	return v
}

// appendHeader appends the OXM header of f: class, number and hasmask, length of what follows.
func appendHeader(b []byte, f Field, masked bool) []byte {
	i := f.info()
	h, n := i.num<<1, i.size
	if masked {
		h, n = h|1, n*2
	}
	return append(be.AppendUint16(b, i.class), h, n)
}

// appendOXM appends a field with its value, and with its mask if it isn't whole.
func appendOXM(b []byte, f Field, v, mask Value) ([]byte, error) {
	i := f.info()
	switch {
	case i.bits == 0:
		return nil, errors.New("a field is unknown")
	case mask.IsZero():
		return nil, fmt.Errorf("%s: the mask selects no bit", f)
	case v.And(mask) != v:
		return nil, fmt.Errorf("%s: value %s has bits outside of its mask %s", f, hexText(v), hexText(mask))
	case mask.And(ones(int(i.bits))) != mask:
		return nil, fmt.Errorf("%s: mask %s has more than %d bits", f, hexText(mask), i.bits)
	}
	full := mask == ones(int(i.bits))
	b = appendHeader(b, f, !full)
	b = appendNumber(b, v, int(i.size))
	if !full {
		b = appendNumber(b, mask, int(i.size))
	}
	return b, nil
}

// oxm is one decoded OXM field.
type oxm struct {
	class  uint16
	num    uint8
	masked bool
	body   []byte // value, then mask if masked
}

// oxm reads one header and its body.
func (c *cursor) oxm() oxm {
	o := oxm{class: c.u16()}
	h, n := c.u8(), c.u8()
	o.num, o.masked = h>>1, h&1 != 0
	o.body = c.take(int(n))
	return o
}

// field reads the header of a field without a body, as a subfield on the wire has it.
func (c *cursor) field() (Field, error) {
	h := c.u32()
	f, ok := fieldsByHeader[headerKey(uint16(h>>16), uint8(h>>9)&0x7f)]
	if !ok {
		return 0, fmt.Errorf("OXM header %#08x is not supported", h)
	}
	return f, nil
}

// value splits the body into value and mask for a field of size octets and bits significant bits.
func (o oxm) value(size, bits int) (v, mask Value, err error) {
	want := size
	if o.masked {
		want *= 2
	}
	if len(o.body) != want {
		return v, mask, fmt.Errorf("a field has %d octets instead of %d", len(o.body), want)
	}
	v, mask = number(o.body[:size]), ones(bits)
	if o.masked {
		mask = number(o.body[size:]).And(mask)
	}
	return v.And(mask), mask, nil
}

// fieldMatch decodes an OXM field of one of our fields.
func (o oxm) fieldMatch() (FieldMatch, error) {
	f, ok := fieldsByHeader[headerKey(o.class, o.num)]
	if !ok {
		return FieldMatch{}, fmt.Errorf("OXM field %d of class %#04x is not supported", o.num, o.class)
	}
	i := f.info()
	if f == InPort && o.class == classNXM0 {
		v, _, err := o.value(2, 16)
		return Exact(InPort, uint64(widePort(uint16(v.Lo)))), err
	}
	v, mask, err := o.value(int(i.size), int(i.bits))
	if err != nil {
		return FieldMatch{}, fmt.Errorf("%s: %w", f, err)
	}
	return FieldMatch{f, v, mask}, nil
}

// appendFields appends the OXM fields of a match, in its order.
func appendFields(b []byte, m Match) ([]byte, error) {
	var err error
	for _, fm := range m {
		if b, err = appendOXM(b, fm.Field, fm.Value, fm.Mask); err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
	}
	return b, nil
}

// appendMatch appends struct ofp_match: type 1 (OXM), length, fields, padding.
func appendMatch(b []byte, m Match) ([]byte, error) {
	start := len(b)
	b, err := appendFields(append(b, 0, 1, 0, 0), m)
	if err != nil {
		return nil, err
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return pad(b, start), nil
}

// match reads struct ofp_match with its padding.
func (c *cursor) match() (Match, error) {
	kind, n := c.u16(), int(c.u16())
	fields := cursor{b: c.take(n - 4)}
	c.take(-n & 7)
	switch {
	case c.bad:
		return nil, errShort
	case kind != 1:
		return nil, fmt.Errorf("match type %d is not supported", kind)
	}
	return fields.fields(refuseUnknown)
}

// What to do with a field that isn't one of ours.
const (
	refuseUnknown = false
	skipUnknown   = true
)

// fields reads the rest of the cursor as OXM fields. Fields of the older and of the wider headers become
// ours: VLAN id and priority the TCI, packet registers our registers.
func (c *cursor) fields(skip bool) (Match, error) {
	var out []FieldMatch
	vlan := FieldMatch{Field: VLANTCI}
	for len(c.b) > 0 && !c.bad {
		o := c.oxm()
		if c.bad {
			break
		}
		switch {
		case o.class == classOXM && o.num == 6: // OXM_OF_VLAN_VID: 12 bits and "present"
			v, m, err := o.value(2, 13)
			if err != nil {
				return nil, err
			}
			vlan.Value, vlan.Mask = vlan.Value.or(v), vlan.Mask.or(m)
		case o.class == classOXM && o.num == 7: // OXM_OF_VLAN_PCP
			v, m, err := o.value(1, 3)
			if err != nil {
				return nil, err
			}
			vlan.Value, vlan.Mask = vlan.Value.or(v.shl(13)), vlan.Mask.or(m.shl(13))
		case o.class == classPktReg:
			v, m, err := o.value(8, 64)
			if err != nil {
				return nil, err
			}
			if o.num >= 8 && skip {
				continue
			}
			if o.num >= 8 {
				return nil, fmt.Errorf("packet register %d is not supported", o.num)
			}
			r := Reg0 + Field(2*o.num)
			out = append(out, FieldMatch{r, v.shr(32), m.shr(32)}, FieldMatch{r + 1, v.And(ones(32)), m.And(ones(32))})
		default:
			if _, known := fieldsByHeader[headerKey(o.class, o.num)]; !known && skip {
				continue
			}
			fm, err := o.fieldMatch()
			if err != nil {
				return nil, err
			}
			out = append(out, fm)
		}
	}
	if !vlan.Mask.IsZero() {
		out = append(out, vlan)
	}
	return NewMatch(out...), c.err()
}

// widePort makes an OpenFlow 1.1 port number out of one of OpenFlow 1.0.
func widePort(p uint16) uint32 {
	if p < maxPort {
		return uint32(p)
	}
	return uint32(p) + 0xffff0000
}
