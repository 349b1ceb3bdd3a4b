package topology

import (
	"errors"
	"net/netip"
)

// The smallest blocks that nodes lease: 4 addresses.
const (
	maxLeaseIPv4 = 30
	maxLeaseIPv6 = 126
)

// Up to where the blocks of one node grow: to 64 times the first one, and to a sixteenth of the subnet's range.
const (
	leaseGrowthBits = 6
	leaseShareBits  = 4
)

// LeaseBits returns the prefix length of the first block that a node leases of a subnet's range: what the fabric
// asks for, or a smaller block where the range would otherwise be shared by fewer than four nodes.
func LeaseBits(blocks NodeBlock, subnet netip.Prefix) int {
	want, most := blocks.IPv4, maxLeaseIPv4
	if !subnet.Addr().Is4() {
		want, most = blocks.IPv6, maxLeaseIPv6
	}
	return max(subnet.Bits(), min(max(want, subnet.Bits()+2), most))
}

// BlockLease is a node's question for a block of a subnet's range.
type BlockLease struct {
	Blocks NodeBlock
	Subnet netip.Prefix
	Held   []netip.Prefix // the blocks of the range that the node leases already
	Taken  []netip.Prefix // what any node leases of the network, the asking one too
}

// Next returns the lowest free block of the size that the node is to lease next. Where no such block is left, it
// is the lowest of the next smaller size, down to that of a first block: nobody goes without an address because
// of a size.
func (l BlockLease) Next() (netip.Prefix, error) {
	for bits := l.bits(); ; bits++ {
		block, err := NextBlock(l.Subnet, bits, l.Taken)
		if err == nil || !errors.Is(err, ErrAddressesExhausted) || bits >= LeaseBits(l.Blocks, l.Subnet) {
			return block, err
		}
	}
}

// bits returns the prefix length of the block that the node is to lease next: each is twice as large as the
// largest before it, so that the routes to a node grow with the logarithm of its workloads while at most about
// half of what it leases is idle.
func (l BlockLease) bits() int {
	first := LeaseBits(l.Blocks, l.Subnet)
	if len(l.Held) == 0 {
		return first
	}
	next := first
	for _, p := range l.Held {
		next = min(next, p.Bits()-1)
	}
	return min(first, max(next, first-leaseGrowthBits, l.Subnet.Bits()+leaseShareBits))
}
