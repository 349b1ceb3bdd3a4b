package reach

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/firewall"
)

// Range is an inclusive range of addresses of one family.
type Range struct{ First, Last netip.Addr }

// RangeOf returns the addresses of a prefix.
func RangeOf(p netip.Prefix) Range {
	p = p.Masked()
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return Range{p.Addr(), last}
}

// Without returns the parts of r that are none of the addresses.
func (r Range) Without(addresses ...netip.Addr) []Range {
	slices.SortFunc(addresses, netip.Addr.Compare)
	var out []Range
	for _, a := range slices.Compact(addresses) {
		if a.BitLen() != r.First.BitLen() || a.Compare(r.First) < 0 || a.Compare(r.Last) > 0 {
			continue
		}
		if a != r.First {
			out = append(out, Range{r.First, a.Prev()})
		}
		if a == r.Last {
			return out
		}
		r.First = a.Next()
	}
	return append(out, r)
}

// Everywhere is every address of both families.
func Everywhere() []Range {
	return []Range{RangeOf(netip.MustParsePrefix("0.0.0.0/0")), RangeOf(netip.MustParsePrefix("::/0"))}
}

// Atoms cut the addresses of both families into intervals that no rule and no class divides, numbered in order. An
// address set is a Set of their numbers.
type Atoms struct {
	firsts []netip.Addr // of each atom, in order; IPv4 before IPv6
	first6 uint32       // the first atom of IPv6
}

// newAtoms cuts at both ends of each range.
func newAtoms(ranges []Range) *Atoms {
	var firsts []netip.Addr
	for _, r := range append(slices.Clone(ranges), Everywhere()...) {
		firsts = append(firsts, r.First)
		if next := r.Last.Next(); next.IsValid() {
			firsts = append(firsts, next)
		}
	}
	slices.SortFunc(firsts, netip.Addr.Compare)
	a := &Atoms{firsts: slices.Compact(firsts)}
	i, _ := slices.BinarySearchFunc(a.firsts, netip.IPv6Unspecified(), netip.Addr.Compare)
	a.first6 = uint32(i)
	return a
}

// Of returns the number of the atom that an address lies in.
func (a *Atoms) Of(addr netip.Addr) uint32 {
	i, found := slices.BinarySearchFunc(a.firsts, addr, netip.Addr.Compare)
	if !found {
		i--
	}
	return uint32(i)
}

// span returns the atoms of a range at whose ends they were cut.
func (a *Atoms) span(r Range) Span { return Span{a.Of(r.First), a.Of(r.Last)} }

// all returns every address of a family.
func (a *Atoms) all(f Family) Set {
	if f == IPv4 {
		return Set{{0, a.first6 - 1}}
	}
	return Set{{a.first6, uint32(len(a.firsts) - 1)}}
}

func (a *Atoms) setOfRanges(ranges []Range) Set {
	var spans []Span
	for _, r := range ranges {
		spans = append(spans, a.span(r))
	}
	return setOf(spans)
}

func (a *Atoms) setOfCIDRs(cidrs []firewall.CIDR) Set {
	var out Set
	for _, c := range cidrs {
		if !c.Prefix.IsValid() {
			continue
		}
		except := make([]Range, 0, len(c.Except))
		for _, e := range c.Except {
			if e.IsValid() {
				except = append(except, RangeOf(e))
			}
		}
		out = out.Union(Set{a.span(RangeOf(c.Prefix))}.Subtract(a.setOfRanges(except)))
	}
	return out
}

// Ranges returns the addresses of a set, in order, without joining the families.
func (a *Atoms) Ranges(s Set) []Range {
	var out []Range
	for _, f := range []Family{IPv4, IPv6} {
		for _, span := range s.Intersect(a.all(f)) {
			out = append(out, Range{a.firsts[span.First], a.last(span.Last)})
		}
	}
	return out
}

// Single returns the only address of a set that has one alone.
func (a *Atoms) Single(s Set) (addr netip.Addr, ok bool) {
	if len(s) != 1 || s[0].First != s[0].Last {
		return netip.Addr{}, false
	}
	addr = a.firsts[s[0].First]
	return addr, addr == a.last(s[0].First)
}

// last returns the last address of an atom.
func (a *Atoms) last(i uint32) netip.Addr {
	switch i {
	case a.first6 - 1:
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	case uint32(len(a.firsts) - 1):
		return RangeOf(netip.MustParsePrefix("::/0")).Last
	}
	return a.firsts[i+1].Prev()
}

// String returns "10.0.0.0/24" for the addresses of a prefix, else "10.0.0.1-10.0.0.9".
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	for bits := range r.First.BitLen() {
		p := netip.PrefixFrom(r.First, bits)
		if p == p.Masked() && RangeOf(p).Last == r.Last {
			return p.String()
		}
	}
	return r.First.String() + "-" + r.Last.String()
}

// Compare orders ranges by their first address, then by their last.
func (r Range) Compare(s Range) int {
	return cmp.Or(r.First.Compare(s.First), r.Last.Compare(s.Last))
}
