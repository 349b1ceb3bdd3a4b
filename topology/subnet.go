package topology

import "net/netip"

// Prefixes returns the subnet's ranges: IPv4, then IPv6, those that it has.
func (s Subnet) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []netip.Prefix{s.IPv4, s.IPv6} {
		if p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

// Contains reports whether an address lies in one of the subnet's ranges.
func (s Subnet) Contains(a netip.Addr) bool { return s.Prefix(a).IsValid() }

// Prefix returns the subnet's range that an address lies in, or the zero prefix.
func (s Subnet) Prefix(a netip.Addr) netip.Prefix {
	for _, p := range s.Prefixes() {
		if p.Contains(a) {
			return p
		}
	}
	return netip.Prefix{}
}

// Gateway returns the gateway of a range of the subnet.
func (s Subnet) Gateway(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return s.Gateway4
	}
	return s.Gateway6
}

// Usable reports whether a workload may have the address a of the range p: not the network address, not
// the IPv4 broadcast address. In an IPv6 range the network address is the subnet-router anycast address
// (RFC 4291, section 2.6.1).
func Usable(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Masked().Addr() && (!p.Addr().Is4() || a != lastAddr(p))
}

// lastAddr returns the last address of a range: the broadcast address of an IPv4 subnet.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
