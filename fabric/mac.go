package fabric

import (
	"fmt"
	"net"
	"net/netip"
)

// MAC is a 48-bit Ethernet address. The zero value means "none".
type MAC [6]byte

// ParseMAC parses the six-octet forms that net.ParseMAC accepts, and refuses group and all-zero addresses.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is not a MAC address: write six octets, such as 02:00:00:00:00:01", s)
	}
	m := MAC(hw)
	if m[0]&1 != 0 {
		return MAC{}, fmt.Errorf("MAC address %s is a group address: the first octet must be even", m)
	}
	if m.IsZero() {
		return MAC{}, fmt.Errorf("MAC address %s is all zero", m)
	}
	return m, nil
}

// IsZero reports whether m is "none".
func (m MAC) IsZero() bool { return m == MAC{} }

// String returns the lower-case colon form.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Uint64 returns the address as a number, the first octet most significant.
func (m MAC) Uint64() uint64 {
	var v uint64
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return v
}

// MarshalText implements encoding.TextMarshaler; "none" is the empty text.
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	*m, err = ParseMAC(string(b))
	return err
}

// LinkLocal returns the IPv6 link-local address that a host derives from m (RFC 4291, appendix A).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
