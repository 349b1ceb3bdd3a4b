package topology

import "net/netip"

// The smallest blocks that nodes lease: 4 addresses.
const (
	maxLeaseIPv4 = 30
	maxLeaseIPv6 = 126
)

// LeaseBits returns the prefix length of the blocks that nodes lease of a subnet's range: what the fabric
// asks for, or smaller blocks where the range would otherwise be shared by fewer than four nodes.
func LeaseBits(blocks NodeBlock, subnet netip.Prefix) int {
	want, most := blocks.IPv4, maxLeaseIPv4
	if !subnet.Addr().Is4() {
		want, most = blocks.IPv6, maxLeaseIPv6
	}
	return max(subnet.Bits(), min(max(want, subnet.Bits()+2), most))
}
