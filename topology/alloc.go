package topology

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// NetworkAlloc is what a network was given: its number, and the blocks of VNIs that its identities lie in.
type NetworkAlloc struct {
	ID     fabric.NetworkID  `json:"id"`
	Blocks []fabric.VNIBlock `json:"blocks"`
}

// The reasons why nothing can be allocated.
var (
	ErrNetworksExhausted   = errors.New("every network number is in use: delete networks")
	ErrVNIsExhausted       = errors.New("every block of the VNI space is in use: delete networks")
	ErrIdentitiesExhausted = errors.New("every identity of the network's blocks is in use")
	ErrAddressesExhausted  = errors.New("every block of the subnet is leased: add a subnet, or lease smaller blocks")
)

// AllocateNetworks returns the allocation of each network of an intent. A network that previous holds keeps
// what it has; the others get the lowest free number and the lowest free block, in the order of their names.
// What networks had that are gone becomes free. previous stays as it is. On an error the result holds the
// networks that fitted.
func AllocateNetworks(intent *Intent, previous map[fabric.NetworkRef]NetworkAlloc) (map[fabric.NetworkRef]NetworkAlloc, error) {
	networks := intent.Networks()
	out := make(map[fabric.NetworkRef]NetworkAlloc, len(networks))
	ids := map[fabric.NetworkID]bool{}
	var fresh []fabric.NetworkRef
	for _, n := range networks {
		alloc, ok := previous[n.Ref()]
		if !ok {
			fresh = append(fresh, n.Ref())
			continue
		}
		out[n.Ref()] = alloc
		ids[alloc.ID] = true
	}
	blocks := newBlockSet(out)
	next := fabric.NetworkID(1)
	for _, ref := range fresh {
		for ids[next] && next < fabric.MaxNetworkID {
			next++
		}
		if ids[next] {
			return out, fmt.Errorf("network %s: %w", ref, ErrNetworksExhausted)
		}
		block, ok := blocks.take()
		if !ok {
			return out, fmt.Errorf("network %s: %w", ref, ErrVNIsExhausted)
		}
		ids[next] = true
		out[ref] = NetworkAlloc{ID: next, Blocks: []fabric.VNIBlock{block}}
	}
	return out, nil
}

// GrowNetwork returns the allocation of a network with one more block, the lowest that no network of all
// has. all stays as it is.
func GrowNetwork(all map[fabric.NetworkRef]NetworkAlloc, ref fabric.NetworkRef) (NetworkAlloc, error) {
	blocks := newBlockSet(all)
	block, ok := blocks.take()
	if !ok {
		return NetworkAlloc{}, fmt.Errorf("network %s: %w", ref, ErrVNIsExhausted)
	}
	alloc := all[ref]
	alloc.Blocks = append(slices.Clone(alloc.Blocks), block)
	slices.SortFunc(alloc.Blocks, func(a, b fabric.VNIBlock) int { return int(a.Base) - int(b.Base) })
	return alloc, nil
}

// blockSet hands out blocks of the default size from the lowest up. The first block of the VNI space stays
// unused, since VNI 0 means "unknown".
type blockSet struct {
	used map[fabric.Identity]bool // bases of default-sized blocks
	next fabric.Identity
}

const vniBlockSize = fabric.Identity(1) << (24 - fabric.DefaultVNIBlockBits)

func newBlockSet(all map[fabric.NetworkRef]NetworkAlloc) *blockSet {
	s := &blockSet{used: map[fabric.Identity]bool{}, next: vniBlockSize}
	for alloc := range maps.Values(all) {
		for _, b := range alloc.Blocks {
			// A block of another size covers, or lies in, blocks of the default size.
			for base := b.Base &^ (vniBlockSize - 1); base < b.Base+fabric.Identity(b.Size()); base += vniBlockSize {
				s.used[base] = true
			}
		}
	}
	return s
}

func (s *blockSet) take() (fabric.VNIBlock, bool) {
	for ; s.next <= fabric.MaxIdentity; s.next += vniBlockSize {
		if !s.used[s.next] {
			s.used[s.next] = true
			return fabric.VNIBlock{Base: s.next, Bits: fabric.DefaultVNIBlockBits}, true
		}
	}
	return fabric.VNIBlock{}, false
}

// NextIdentity returns the lowest identity of a network's blocks that is not used.
func NextIdentity(blocks []fabric.VNIBlock, used func(fabric.Identity) bool) (fabric.Identity, error) {
	for _, b := range blocks {
		for i := range b.Size() {
			if id := b.Base + fabric.Identity(i); id != 0 && !used(id) {
				return id, nil
			}
		}
	}
	return 0, ErrIdentitiesExhausted
}

// NextBlock returns the lowest block of a subnet's range, of the prefix length bits, that overlaps none of
// the taken ones. taken may hold ranges of any size, in any order, of other subnets too.
func NextBlock(subnet netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, error) {
	if bits < subnet.Bits() || bits > subnet.Addr().BitLen() {
		return netip.Prefix{}, fmt.Errorf("subnet %s has no blocks of length /%d", subnet, bits)
	}
	var inside []netip.Prefix
	for _, p := range taken {
		if p.Overlaps(subnet) {
			inside = append(inside, p.Masked())
		}
	}
	slices.SortFunc(inside, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	block := netip.PrefixFrom(subnet.Masked().Addr(), bits)
	for _, p := range inside {
		// The taken ranges are in order, so those before p don't reach into block.
		for block.IsValid() && block.Overlaps(p) {
			block = following(block, p)
		}
	}
	if !block.IsValid() || !subnet.Contains(block.Addr()) {
		return netip.Prefix{}, fmt.Errorf("subnet %s: %w", subnet, ErrAddressesExhausted)
	}
	return block, nil
}

// following returns the first block, of the length of block, after both block and p, which overlap. It is
// invalid after the end of the address space.
func following(block, p netip.Prefix) netip.Prefix {
	larger := block
	if p.Bits() < block.Bits() {
		larger = p
	}
	return netip.PrefixFrom(lastAddr(larger).Next(), block.Bits())
}
