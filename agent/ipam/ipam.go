// Package ipam chooses workloads' addresses out of the blocks that a node leases. It keeps no state: what is in
// use is an argument. It imports the standard library only.
package ipam

import (
	"net/netip"
	"slices"
)

// Pool is what may be given away of one family of one subnet.
type Pool struct {
	// Subnet is the whole subnet. Its first address is never given, and in IPv4 neither is its last, the
	// broadcast address.
	Subnet netip.Prefix
	// Blocks are the node's leases, inside Subnet.
	Blocks []netip.Prefix
	// Taken reports whether an address is reserved or in use.
	Taken func(netip.Addr) bool
}

// Next returns the lowest free address above after; where there is none, the lowest free one of all, so that an
// address rests for as long as possible before it is used again. The zero address comes before all.
func (p Pool) Next(after netip.Addr) (netip.Addr, bool) {
	blocks := slices.Clone(p.Blocks)
	slices.SortFunc(blocks, netip.Prefix.Compare)
	for _, lowest := range []netip.Addr{after, {}} {
		for _, b := range blocks {
			if a, ok := p.nextIn(b, lowest); ok {
				return a, true
			}
		}
		if !after.IsValid() {
			break
		}
	}
	return netip.Addr{}, false
}

// nextIn returns the lowest free address of a block that is above after.
func (p Pool) nextIn(block netip.Prefix, after netip.Addr) (netip.Addr, bool) {
	a := block.Masked().Addr()
	if after.IsValid() && a.Compare(after) <= 0 {
		a = after.Next()
	}
	for ; a.IsValid() && block.Contains(a); a = a.Next() {
		if p.Usable(a) && !p.Taken(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Leased reports whether a lies in one of the blocks.
func (p Pool) Leased(a netip.Addr) bool {
	return slices.ContainsFunc(p.Blocks, func(b netip.Prefix) bool { return b.Contains(a) })
}

// Usable reports whether a is an address of the subnet that a workload can have: neither the subnet's own nor the
// broadcast address. Subnets of one or two addresses have neither (RFC 3021, RFC 6164).
func (p Pool) Usable(a netip.Addr) bool {
	if !p.Subnet.Contains(a) {
		return false
	}
	if a.BitLen()-p.Subnet.Bits() <= 1 {
		return true
	}
	first := p.Subnet.Masked().Addr()
	broadcast := a.Is4() && !p.Subnet.Contains(a.Next())
	return a != first && !broadcast
}
