package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// prefixSet returns the addresses of all ranges as the shortest sorted list of disjoint prefixes. An invalid
// range holds no address.
func prefixSet(cidrs []CIDR) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range cidrs {
		if !c.Prefix.IsValid() {
			continue
		}
		rest := []netip.Prefix{c.Prefix.Masked()}
		for _, e := range c.Except {
			var next []netip.Prefix
			for _, p := range rest {
				next = appendWithout(next, p, e.Masked())
			}
			rest = next
		}
		all = append(all, rest...)
	}
	return unionPrefixes(all)
}

// appendWithout appends the parts of p that are not in except: at most one per bit of difference.
func appendWithout(to []netip.Prefix, p, except netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(except):
		return append(to, p)
	case except.Bits() <= p.Bits():
		return to
	}
	low, high := halves(p)
	return appendWithout(appendWithout(to, low, except), high, except)
}

// halves splits p, which is shorter than an address, into two prefixes.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	bit := p.Bits()
	b[bit/8] |= 0x80 >> (bit % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), bit+1), netip.PrefixFrom(upper, bit+1)
}

// unionPrefixes drops prefixes inside others and joins siblings; it reorders its argument.
func unionPrefixes(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, comparePrefixes)
	var out []netip.Prefix
	for _, p := range ps {
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue // sorted: what came before and overlaps contains p
		}
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			parent, ok := joined(out[n-2], out[n-1])
			if !ok {
				break
			}
			out = append(out[:n-2], parent)
		}
	}
	return out
}

// joined returns the prefix whose halves are the different prefixes low and high.
func joined(low, high netip.Prefix) (parent netip.Prefix, ok bool) {
	if low.Bits() != high.Bits() || low.Bits() == 0 {
		return netip.Prefix{}, false
	}
	parent = netip.PrefixFrom(low.Addr(), low.Bits()-1).Masked()
	return parent, parent.Contains(high.Addr())
}

// comparePrefixes orders IPv4 before IPv6, then by address, a prefix before those inside it.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
