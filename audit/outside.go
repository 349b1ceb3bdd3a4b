package audit

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// outsideName is what the class of addresses outside the fabric is called.
const outsideName = "outside"

// outsideOf returns the addresses that no network of the fabric has.
func outsideOf(intent *topology.Intent) []reach.Range {
	var inside []netip.Prefix
	for _, n := range intent.Networks() {
		for _, s := range n.Spec.Subnets {
			inside = append(inside, s.Prefixes()...)
		}
	}
	return without(reach.Everywhere(), inside)
}

// without returns the parts of ranges that are in none of the prefixes.
func without(ranges []reach.Range, prefixes []netip.Prefix) []reach.Range {
	var cuts []reach.Range
	for _, p := range prefixes {
		cuts = append(cuts, reach.RangeOf(p))
	}
	slices.SortFunc(cuts, reach.Range.Compare)
	var out []reach.Range
	for _, r := range ranges {
		open := true // something of r is left
		for _, cut := range cuts {
			if cut.First.BitLen() != r.First.BitLen() || cut.Last.Less(r.First) || r.Last.Less(cut.First) {
				continue
			}
			if r.First.Less(cut.First) {
				out = append(out, reach.Range{First: r.First, Last: cut.First.Prev()})
			}
			if !cut.Last.Less(r.Last) {
				open = false
				break
			}
			r.First = cut.Last.Next()
		}
		if open {
			out = append(out, r)
		}
	}
	return out
}

// within returns the parts of ranges that are in one of the prefixes.
func within(ranges []reach.Range, prefixes []netip.Prefix) []reach.Range {
	var out []reach.Range
	for _, r := range ranges {
		for _, p := range prefixes {
			in := reach.RangeOf(p)
			if in.First.BitLen() != r.First.BitLen() || in.Last.Less(r.First) || r.Last.Less(in.First) {
				continue
			}
			both := r
			if both.First.Less(in.First) {
				both.First = in.First
			}
			if in.Last.Less(both.Last) {
				both.Last = in.Last
			}
			out = append(out, both)
		}
	}
	slices.SortFunc(out, reach.Range.Compare)
	return slices.Compact(out)
}
