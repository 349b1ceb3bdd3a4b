package fabric

import (
	"net/netip"
	"slices"
)

// Aggregate returns the fewest prefixes that hold exactly the addresses of the given ones, in order. The result is
// the same for all sets of prefixes with these addresses (RFC 4632, section 3.1), and shares no memory with the argument.
func Aggregate(prefixes []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		sorted = append(sorted, p.Masked())
	}
	slices.SortFunc(sorted, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range sorted {
		// Of two prefixes that overlap, the one that begins first, or is shorter, holds the other.
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue
		}
		out = append(out, p)
		for n := len(out); n > 1 && out[n-2] == Buddy(out[n-1]); n = len(out) {
			out = append(out[:n-2], netip.PrefixFrom(out[n-2].Addr(), out[n-2].Bits()-1).Masked())
		}
	}
	return out
}

// Buddy returns the other half of the range that is twice as large as a prefix and holds it; the zero Prefix for one
// of length 0.
func Buddy(p netip.Prefix) netip.Prefix {
	if p.Bits() <= 0 {
		return netip.Prefix{}
	}
	octets := p.Masked().Addr().AsSlice()
	bit := p.Bits() - 1
	octets[bit/8] ^= 0x80 >> (bit % 8)
	addr, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(addr, p.Bits())
}
