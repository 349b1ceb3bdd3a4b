package kubernetes

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// A pod whose address isn't known stands at an address that nobody can have: in 0.0.0.0/8 (RFC 791, "this network"), or
// the same bits of ::/104. A range that holds every address of a family holds it; other ranges don't, whatever they
// cover.
var (
	nowhere4 = netip.PrefixFrom(netip.IPv4Unspecified(), 8)
	nowhere6 = netip.PrefixFrom(netip.IPv6Unspecified(), 104)
)

// standIns returns the addresses of the pods of an identity whose addresses aren't known.
func standIns(id fabric.Identity) []netip.Addr {
	b := [3]byte{byte(id >> 16), byte(id >> 8), byte(id)}
	return []netip.Addr{
		netip.AddrFrom4([4]byte{0, b[0], b[1], b[2]}),
		netip.AddrFrom16([16]byte{13: b[0], 14: b[1], 15: b[2]}),
	}
}

// withoutNowhere takes the stand-ins out of a range, unless it holds everything.
func withoutNowhere(c firewall.CIDR) firewall.CIDR {
	if c.Prefix.Bits() == 0 && len(c.Except) == 0 {
		return c
	}
	for _, p := range []netip.Prefix{nowhere4, nowhere6} {
		if p.Overlaps(c.Prefix) {
			c.Except = append(slices.Clone(c.Except), p)
		}
	}
	return c
}

// outside returns the addresses outside of the cluster: all but the stand-ins. Addresses that pods have are among them,
// because an answer about addresses shouldn't fall into pieces around each pod.
func outside() []reach.Range {
	var out []reach.Range
	for _, r := range reach.Everywhere() {
		p := nowhere4
		if r.First.Is6() {
			p = nowhere6
		}
		out = append(out, reach.Range{First: reach.RangeOf(p).Last.Next(), Last: r.Last})
	}
	return out
}

// shown returns a range of outside addresses for people: where it borders on the stand-ins it takes them in, since no
// packet has their addresses.
func shown(r reach.Range) reach.Range {
	if before := r.First.Prev(); before.IsValid() && (nowhere4.Contains(before) || nowhere6.Contains(before)) {
		r.First = netip.IPv4Unspecified()
		if before.Is6() {
			r.First = netip.IPv6Unspecified()
		}
	}
	return r
}

// prefixesOf returns the fewest prefixes that make up a range, in order.
func prefixesOf(r reach.Range) []netip.Prefix {
	var out []netip.Prefix
	for at := r.First; ; {
		p := netip.PrefixFrom(at, at.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(at, p.Bits()-1)
			if wider.Masked() != wider || reach.RangeOf(wider).Last.Compare(r.Last) > 0 {
				break
			}
			p = wider
		}
		out = append(out, p)
		last := reach.RangeOf(p).Last
		if last.Compare(r.Last) >= 0 {
			return out
		}
		at = last.Next()
	}
}
