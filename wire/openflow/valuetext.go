package openflow

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// hexText writes v without leading zeros: 0x0, 0x1f.
func hexText(v Value) string {
	if v.Hi == 0 {
		return "0x" + strconv.FormatUint(v.Lo, 16)
	}
	return fmt.Sprintf("0x%x%016x", v.Hi, v.Lo)
}

// printfHex writes v as C's %#x does, which has no prefix for zero.
func printfHex(v Value) string {
	if v.IsZero() {
		return "0"
	}
	return hexText(v)
}

// macText writes the lower 48 bits as an Ethernet address.
func macText(v Value) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v.Lo)
	return net.HardwareAddr(b[2:]).String()
}

// addrOf is the inverse of AddrValue; width is 32 or 128.
func addrOf(v Value, width int) netip.Addr {
	if width == 32 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(v.Lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	return netip.AddrFrom16(b)
}

// prefixLen returns the length of a mask that selects the upper bits of width bits.
func prefixLen(mask Value, width int) (int, bool) {
	n := bits.OnesCount64(mask.Hi) + bits.OnesCount64(mask.Lo)
	return n, prefixMask(n, width) == mask
}

// addrText writes an address, with the prefix length or the mask if it isn't whole.
func addrText(v, mask Value, width int) string {
	s := addrOf(v, width).String()
	if mask == ones(width) {
		return s
	}
	if n, ok := prefixLen(mask, width); ok {
		return s + "/" + strconv.Itoa(n)
	}
	return s + "/" + addrOf(mask, width).String()
}

// portNames are the reserved ports that the text form names, as ovs-ofctl(8) does. The 16-bit numbers of
// OpenFlow 1.0 are not used here: see portText.
var portNames = []struct {
	port uint32
	name string
}{
	{PortInPort, "IN_PORT"}, {PortTable, "TABLE"}, {PortNormal, "NORMAL"}, {PortFlood, "FLOOD"}, {PortAll, "ALL"},
	{PortController, "CONTROLLER"}, {PortLocal, "LOCAL"}, {PortAny, "ANY"},
}

// maxPort is the first number that isn't an ordinary port of Open vSwitch (OFPP_MAX of OpenFlow 1.0).
const maxPort = 0xff00

// portText writes a port by its reserved name or its number.
func portText(p uint32) string {
	for _, n := range portNames {
		if n.port == p {
			return n.name
		}
	}
	return strconv.FormatUint(uint64(p), 10)
}

// parsePort reads what portText writes, and the 16-bit numbers of reserved ports.
func parsePort(s string) (uint32, error) {
	for _, n := range portNames {
		if strings.EqualFold(n.name, s) {
			return n.port, nil
		}
	}
	v, err := strconv.ParseUint(s, 0, 32)
	switch {
	case err != nil:
		return 0, fmt.Errorf("port %q is neither a number nor the name of a reserved port", s)
	case v < maxPort || v >= 0xffffff00:
		return uint32(v), nil
	case v >= 0xfff8 && v <= 0xffff:
		return uint32(v) + 0xffff0000, nil
	}
	return 0, fmt.Errorf("port %s is out of range: ordinary ports are below %d", s, maxPort)
}

// flagNames gives the names of a flag field's bits, the lowest first.
func flagNames(f form) []string {
	switch f {
	case formCTState:
		return []string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}
	case formTCPFlags:
		return []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"}
	case formTunFlags:
		return []string{"oam"}
	}
	return nil
}

// flagsText writes flags: names joined by '|' when the mask is full, else +name and -name.
func flagsText(names []string, v, mask Value) string {
	var b strings.Builder
	full := mask == ones(len(names))
	for i, name := range names {
		bit := uint64(1) << i
		switch set := v.Lo&bit != 0; {
		case mask.Lo&bit == 0 || full && !set:
		case full:
			if b.Len() > 0 {
				b.WriteByte('|')
			}
			b.WriteString(name)
		case set:
			b.WriteString("+" + name)
		default:
			b.WriteString("-" + name)
		}
	}
	if b.Len() == 0 {
		return "0"
	}
	return b.String()
}

// parseFlags reads what flagsText writes, and "number" and "number/mask".
func parseFlags(names []string, s string) (v, mask Value, err error) {
	if s == "" {
		return v, mask, fmt.Errorf("the value is missing")
	}
	bitOf := func(name string) (uint64, error) {
		for i, n := range names {
			if n == name {
				return 1 << i, nil
			}
		}
		return 0, fmt.Errorf("flag %q is unknown: write %s", name, strings.Join(names, ", "))
	}
	switch {
	case s[0] >= '0' && s[0] <= '9':
		return parseMaskedNumber(s, len(names))
	case s[0] != '+' && s[0] != '-':
		for name := range strings.SplitSeq(s, "|") {
			bit, err := bitOf(name)
			if err != nil {
				return v, mask, err
			}
			v.Lo |= bit
		}
		return v, ones(len(names)), nil
	}
	for rest := s; rest != ""; {
		sign := rest[0]
		end := strings.IndexAny(rest[1:], "+-") + 1
		if end == 0 {
			end = len(rest)
		}
		bit, err := bitOf(rest[1:end])
		if err != nil {
			return v, mask, err
		}
		if mask.Lo&bit != 0 {
			return v, mask, fmt.Errorf("flag %q is given twice", rest[1:end])
		}
		mask.Lo |= bit
		if sign == '+' {
			v.Lo |= bit
		}
		rest = rest[end:]
	}
	return v, mask, nil
}

// parseNumber reads a number of at most width bits: decimal, or hexadecimal of up to 128 bits.
func parseNumber(s string, width int) (Value, error) {
	var v Value
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok && len(hex) > 16 {
		hex = strings.TrimLeft(hex, "0")
		if len(hex) > 32 {
			return v, fmt.Errorf("number %s has more than 128 bits", s)
		}
		hex = strings.Repeat("0", 32-len(hex)) + hex
		hi, err1 := strconv.ParseUint(hex[:16], 16, 64)
		lo, err2 := strconv.ParseUint(hex[16:], 16, 64)
		if err1 != nil || err2 != nil {
			return v, fmt.Errorf("%q is not a number", s)
		}
		v = Value{hi, lo}
	} else {
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil || strings.Contains(s, "_") {
			return v, fmt.Errorf("%q is not a number", s)
		}
		v = Num(n)
	}
	if v.And(ones(width)) != v {
		return v, fmt.Errorf("number %s has more than %d bits", s, width)
	}
	return v, nil
}

// parseMaskedNumber reads "number" or "number/mask".
func parseMaskedNumber(s string, width int) (v, mask Value, err error) {
	val, m, masked := strings.Cut(s, "/")
	if v, err = parseNumber(val, width); err != nil {
		return v, mask, err
	}
	if !masked {
		return v, ones(width), nil
	}
	if m == "-1" {
		return v, ones(width), nil
	}
	if mask, err = parseNumber(m, width); err != nil {
		return v, mask, err
	}
	return v.And(mask), mask, nil
}

// parseMAC reads an Ethernet address of any kind, group addresses too.
func parseMAC(s string) (Value, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return Value{}, fmt.Errorf("%q is not an Ethernet address", s)
	}
	return Num(binary.BigEndian.Uint64(append([]byte{0, 0}, hw...))), nil
}

// parseAddr reads an IP address of the given width.
func parseAddr(s string, width int) (Value, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.BitLen() != width {
		return Value{}, fmt.Errorf("%q is not an IPv%d address", s, map[int]int{32: 4, 128: 6}[width])
	}
	return AddrValue(a), nil
}

// parseValue reads the value of a field with an optional mask.
func parseValue(f Field, s string) (v, mask Value, err error) {
	i := f.info()
	width := int(i.bits)
	val, m, masked := strings.Cut(s, "/")
	switch i.form {
	case formMAC, formIPv4, formIPv6:
		parse := parseAddr
		if i.form == formMAC {
			parse = func(s string, _ int) (Value, error) { return parseMAC(s) }
		}
		if v, err = parse(val, width); err != nil {
			return v, mask, err
		}
		mask = ones(width)
		if masked {
			n, nerr := strconv.Atoi(m)
			switch {
			case i.form != formMAC && nerr == nil && n >= 0 && n <= width:
				mask = prefixMask(n, width)
			default:
				if mask, err = parse(m, width); err != nil {
					return v, mask, fmt.Errorf("mask: %w", err)
				}
			}
		}
		return v.And(mask), mask, nil
	case formPort:
		if masked {
			return parseMaskedNumber(s, width)
		}
		p, err := parsePort(s)
		return Num(uint64(p)), ones(width), err
	case formCTState, formTCPFlags, formTunFlags:
		v, mask, err = parseFlags(flagNames(i.form), s)
		return v, mask, err
	case formFrag:
		for _, k := range fragKinds {
			if k.name == s {
				return Num(k.value), Num(k.mask), nil
			}
		}
	}
	return parseMaskedNumber(s, width)
}

// fragKinds are the names of the values of IPFrag (ovs-fields(7), "IPv4/IPv6 Fragment Field"). Open vSwitch
// writes "no" for 0/1 and "later" for 2/2 too; here a text has one meaning, and these are numbers.
var fragKinds = []struct {
	name        string
	value, mask uint64
}{{"no", 0, 3}, {"yes", 1, 1}, {"first", 1, 3}, {"later", 3, 3}, {"not_later", 0, 2}}
