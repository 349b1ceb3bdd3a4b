package openflow

import (
	"fmt"
	"slices"
	"strings"
)

// ParseMatch reads a match in the syntax of ovs-ofctl(8): field=value, field=value/mask and the shorthand
// of protocols, separated by commas or blanks.
func ParseMatch(s string) (Match, error) {
	var p matchParser
	for _, t := range splitTop(s) {
		if err := p.add(t); err != nil {
			return nil, err
		}
	}
	return p.match()
}

// matchParser collects the parts of a match. The generic names are resolved at the end, when the protocol
// is known.
type matchParser struct {
	fields []FieldMatch
	ports  []FieldMatch // tp_src and tp_dst, noted as TCPSrc and TCPDst
}

// add takes one part, such as "tcp" or "nw_src=10.0.0.0/8".
func (p *matchParser) add(part string) error {
	for _, w := range protocols {
		if w.word == part {
			p.set(Exact(EthType, w.ethType))
			if w.proto != 0 {
				p.set(Exact(IPProto, w.proto))
			}
			return nil
		}
	}
	name, value, ok := strings.Cut(part, "=")
	if !ok {
		return fmt.Errorf("%q is neither field=value nor the name of a protocol", part)
	}
	fm, err := p.parse(name, value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch name {
	case "tp_src", "tp_dst":
		p.ports = append(p.ports, fm)
	default:
		p.set(fm)
	}
	return nil
}

// parse reads the value of one named field.
func (p *matchParser) parse(name, value string) (FieldMatch, error) {
	masked := func(f Field, v, m Value, err error) (FieldMatch, error) { return FieldMatch{f, v, m}, err }
	number := func(f Field, width, shift int, always uint64) (FieldMatch, error) {
		v, err := parseNumber(value, width)
		m := ones(width).Lo<<shift | always
		return FieldMatch{f, Num(v.Lo<<shift | always), Num(m)}, err
	}
	switch name {
	case "tp_src":
		v, m, err := parseValue(TCPSrc, value)
		return masked(TCPSrc, v, m, err)
	case "tp_dst":
		v, m, err := parseValue(TCPDst, value)
		return masked(TCPDst, v, m, err)
	case "dl_vlan", "vlan_vid":
		return number(VLANTCI, 12, 0, vlanPresent)
	case "dl_vlan_pcp", "vlan_pcp":
		return number(VLANTCI, 3, 13, vlanPresent)
	case "nw_tos":
		v, err := parseNumber(value, 8)
		if err == nil && v.Lo&3 != 0 {
			err = fmt.Errorf("%s has bits of the ECN field: give a multiple of 4", value)
		}
		return FieldMatch{IPDSCP, Num(v.Lo >> 2), ones(6)}, err
	}
	if strings.HasSuffix(name, "]") {
		sub, err := parseSubfield(name)
		if err != nil {
			return FieldMatch{}, err
		}
		v, m, err := parseMaskedNumber(value, int(sub.Bits))
		return masked(sub.Field, v.shl(int(sub.Offset)), m.shl(int(sub.Offset)), err)
	}
	f, ok := ParseField(name)
	if !ok {
		return FieldMatch{}, fmt.Errorf("no such field")
	}
	v, m, err := parseValue(f, value)
	return masked(f, v, m, err)
}

// set adds a field match; parts of one field, such as dl_vlan and dl_vlan_pcp, are joined.
func (p *matchParser) set(fm FieldMatch) {
	i := slices.IndexFunc(p.fields, func(o FieldMatch) bool { return o.Field == fm.Field })
	if i < 0 {
		p.fields = append(p.fields, fm)
		return
	}
	o := p.fields[i]
	keep := o.Mask.And(fm.Mask.not())
	p.fields[i] = FieldMatch{fm.Field, o.Value.And(keep).or(fm.Value), o.Mask.or(fm.Mask)}
}

// match resolves the generic names and returns the whole.
func (p *matchParser) match() (Match, error) {
	m := NewMatch(p.fields...)
	et, _ := m.exact(EthType)
	proto, _ := m.exact(IPProto)
	for _, fm := range p.ports {
		src := fm.Field == TCPSrc
		switch {
		case proto == protoTCP && src:
			fm.Field = TCPSrc
		case proto == protoTCP:
			fm.Field = TCPDst
		case proto == protoUDP && src:
			fm.Field = UDPSrc
		case proto == protoUDP:
			fm.Field = UDPDst
		case proto == protoSCTP && src:
			fm.Field = SCTPSrc
		case proto == protoSCTP:
			fm.Field = SCTPDst
		case et == ethIPv4 && proto == protoICMP, et == ethIPv6 && proto == protoICMPv6:
			if fm.Value.And(ones(8)) != fm.Value || fm.Mask != ones(16) {
				return nil, fmt.Errorf("an ICMP type or code has 8 bits and no mask")
			}
			fm.Mask = ones(8)
			fm.Field = map[bool]Field{true: ICMPType, false: ICMPCode}[src]
		default:
			return nil, fmt.Errorf("tp_src and tp_dst need tcp, udp, sctp, icmp or icmp6 in the match")
		}
		m = m.With(fm)
	}
	if arp := et == ethARP || et == ethRARP; arp {
		m = m.rename(IPv4Src, ARPSPA).rename(IPv4Dst, ARPTPA)
		if op, ok := m.exact(IPProto); ok {
			m = m.With(FieldMatch{Field: IPProto}, Exact(ARPOp, op))
		}
	}
	if et == ethIPv6 && proto == protoICMPv6 {
		m = m.rename(ICMPType, ICMPv6Type).rename(ICMPCode, ICMPv6Code)
	}
	return m, nil
}

// rename returns the match with field from called to.
func (m Match) rename(from, to Field) Match {
	for _, fm := range m {
		if fm.Field == from {
			return m.With(FieldMatch{Field: from}, FieldMatch{to, fm.Value, fm.Mask})
		}
	}
	return m
}

// splitTop splits at commas and blanks that are outside of parentheses and brackets.
func splitTop(s string) []string {
	var out []string
	depth, start := 0, -1
	for i, c := range s {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		}
		if depth <= 0 && (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			if start >= 0 {
				out = append(out, s[start:i])
			}
			start = -1
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		out = append(out, s[start:])
	}
	return out
}
