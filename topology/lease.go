package topology

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// The smallest blocks that nodes lease: 4 addresses.
const (
	maxLeaseIPv4 = 30
	maxLeaseIPv6 = 126
)

// Up to where the blocks of one node grow: to 64 times the first one, and to a sixteenth of the subnet's range. As much
// room is kept behind a node's first block for the next ones, while there is any: up to a quarter of the range.
const (
	leaseGrowthBits = 6
	leaseShareBits  = 4
	leaseRoomBits   = 2
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

// Next returns the free block that the node is to lease next. Best is one that makes a single range with what the
// node has, because nodes have one route to each range of another: a block as large as the range that it goes on
// with. Else it is a block that begins a range, where there is room to go on. Where no block of its size is left, it
// is one of the next smaller size, down to that of a first block: nobody goes without an address because of a size.
func (l BlockLease) Next() (netip.Prefix, error) {
	if block, ok := l.goOn(); ok {
		return block, nil
	}
	for bits := l.bits(); ; bits++ {
		block, err := l.begin(bits)
		if err == nil || !errors.Is(err, ErrAddressesExhausted) || bits >= LeaseBits(l.Blocks, l.Subnet) {
			return block, err
		}
	}
}

// goOn returns the block that doubles one of the node's ranges, the largest one that can be doubled. A range that
// is larger than any block gets a part of its other half.
func (l BlockLease) goOn() (netip.Prefix, bool) {
	ranges := fabric.Aggregate(l.Held)
	slices.SortStableFunc(ranges, func(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) })
	for _, r := range ranges {
		half := fabric.Buddy(r)
		if r.Bits() <= l.Subnet.Bits() || r.Bits() > LeaseBits(l.Blocks, l.Subnet) {
			continue // all of the subnet, or a block of the time when the fabric's setting was smaller
		}
		if block, err := NextBlock(half, max(half.Bits(), l.largest()), l.Taken); err == nil {
			return block, true
		}
	}
	return netip.Prefix{}, false
}

// begin returns the lowest free block of a size, of those that have most free room behind them: an aligned range that
// nobody has a part of.
func (l BlockLease) begin(bits int) (netip.Prefix, error) {
	first := LeaseBits(l.Blocks, l.Subnet)
	for room := min(bits, max(first-leaseGrowthBits, l.Subnet.Bits()+leaseRoomBits)); ; room++ {
		free, err := NextBlock(l.Subnet, room, l.Taken)
		if err == nil {
			return netip.PrefixFrom(free.Addr(), bits), nil
		}
		if !errors.Is(err, ErrAddressesExhausted) || room >= bits {
			return netip.Prefix{}, err
		}
	}
}

// bits returns the prefix length of a block that begins a range: twice as large as the node's largest one, so that
// the routes to a node grow with the logarithm of its workloads even where no two blocks make one range.
func (l BlockLease) bits() int {
	first := LeaseBits(l.Blocks, l.Subnet)
	if len(l.Held) == 0 {
		return first
	}
	next := first
	for _, r := range fabric.Aggregate(l.Held) {
		next = min(next, r.Bits()-1)
	}
	return max(next, l.largest())
}

// largest is the prefix length of the largest block that a node leases.
func (l BlockLease) largest() int {
	first := LeaseBits(l.Blocks, l.Subnet)
	return min(first, max(first-leaseGrowthBits, l.Subnet.Bits()+leaseShareBits))
}
