package topology_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

var defaultBlocks = topology.NodeBlock{IPv4: 26, IPv6: 122}

func prefixes(texts string) (out []netip.Prefix) {
	for _, s := range strings.Fields(texts) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestBlockLease(t *testing.T) {
	for _, tc := range []struct{ name, subnet, held, others, want string }{
		{"first", "10.0.0.0/8", "", "", "10.0.0.0/26"},
		{"first, with room to go on", "10.0.0.0/8", "", "10.0.0.0/26 10.0.32.0/26", "10.0.16.0/26"},
		{"first, with less room when there is no more", "10.0.0.0/18", "", "10.0.0.0/26 10.0.16.0/26 10.0.32.0/26 10.0.48.0/26", "10.0.8.0/26"},
		{"first, without room", "10.0.0.0/24", "", "10.0.0.0/26 10.0.0.128/26", "10.0.0.64/26"},
		{"second", "10.0.0.0/8", "10.0.0.0/26", "10.0.16.0/26", "10.0.0.64/26"},
		{"third", "10.0.0.0/8", "10.0.0.0/25", "10.0.16.0/26", "10.0.0.128/25"},
		{"what one was released from", "10.0.0.0/8", "10.0.0.64/26 10.0.0.128/25", "", "10.0.0.0/26"},
		{"downwards", "10.0.0.0/8", "10.0.1.0/24", "", "10.0.0.0/24"},
		{"the largest range that can go on", "10.0.0.0/8", "10.0.0.0/24 10.0.2.0/25", "10.0.1.0/26", "10.0.2.128/25"},
		{"elsewhere, twice as large, where others are in the way", "10.0.0.0/8", "10.0.0.0/25", "10.0.0.128/26", "10.0.16.0/24"},
		{"at most 64 times the first", "10.0.0.0/8", "10.0.0.0/19", "", "10.0.32.0/20"},
		{"at most 64 times the first, on and on", "10.0.0.0/8", "10.0.0.0/19 10.0.32.0/20", "", "10.0.48.0/20"},
		{"at most a sixteenth of the range", "10.0.0.0/20", "10.0.0.0/23", "", "10.0.2.0/24"},
		{"a small range", "10.0.0.0/24", "10.0.0.0/26", "", "10.0.0.64/26"},
		{"smaller where there are no large ones", "10.0.0.0/22", "10.0.0.0/26", "10.0.1.0/24 10.0.2.0/24 10.0.3.0/25 10.0.3.192/26 10.0.0.64/26 10.0.0.192/26", "10.0.0.128/26"},
		{"all of the range", "10.0.0.0/24", "10.0.0.0/24", "", ""},
		{"leased when the setting was larger", "10.0.0.0/8", "10.16.0.0/12", "", "10.0.0.0/20"},
		{"leased when the setting was smaller", "10.0.0.0/8", "10.0.0.0/30", "", "10.0.16.0/26"},
		{"IPv6", "fd00::/64", "fd00::/122", "", "fd00::40/122"},
		{"exhausted", "10.0.0.0/24", "10.0.0.0/26", "10.0.0.64/26 10.0.0.128/25", ""},
	} {
		held := prefixes(tc.held)
		l := topology.BlockLease{Blocks: defaultBlocks, Subnet: netip.MustParsePrefix(tc.subnet), Held: held, Taken: append(prefixes(tc.others), held...)}
		block, err := l.Next()
		if tc.want == "" && errors.Is(err, topology.ErrAddressesExhausted) {
			continue
		}
		if err != nil || block.String() != tc.want {
			t.Errorf("%s: got %s, %v; want %q", tc.name, block, err, tc.want)
		}
	}
}

// TestOneRangeWhileThereIsRoom fills one node of a large subnet, alone and beside others that begin when it does.
func TestOneRangeWhileThereIsRoom(t *testing.T) {
	subnet := netip.MustParsePrefix("10.0.0.0/8")
	for _, others := range []int{0, 100} {
		var taken []netip.Prefix
		begin := func() netip.Prefix {
			block, err := topology.BlockLease{Blocks: defaultBlocks, Subnet: subnet, Taken: taken}.Next()
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, block)
			return block
		}
		held := []netip.Prefix{begin()}
		for range others {
			begin()
		}
		for size(held) < 4096 {
			block, err := topology.BlockLease{Blocks: defaultBlocks, Subnet: subnet, Held: held, Taken: taken}.Next()
			if err != nil {
				t.Fatal(err)
			}
			held, taken = append(held, block), append(taken, block)
			if ranges := fabric.Aggregate(held); len(ranges) != 1 {
				t.Fatalf("beside %d others the blocks %v are %d ranges", others, held, len(ranges))
			}
		}
		if len(held) != 7 {
			t.Errorf("beside %d others 4096 addresses are in %d blocks, want 7: %v", others, len(held), held)
		}
	}
}

func size(blocks []netip.Prefix) (n int) {
	for _, p := range blocks {
		n += 1 << (p.Addr().BitLen() - p.Bits())
	}
	return n
}

// TestBlockLeases lets nodes lease and give back at random. Blocks never overlap, a lease depends on the set of
// blocks alone, and only a range without room for a first block is exhausted.
func TestBlockLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subnet := netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.0/24", "10.0.0.0/21", "10.0.0.0/29", "fd00::/116"}).Draw(t, "subnet"))
		first := topology.LeaseBits(defaultBlocks, subnet)
		held := map[int][]netip.Prefix{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			node := rapid.IntRange(0, 4).Draw(t, "node")
			if n := len(held[node]); n > 0 && rapid.IntRange(0, 3).Draw(t, "giveBack") == 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "block")
				held[node] = slices.Delete(held[node], i, i+1)
				continue
			}
			var taken []netip.Prefix
			for _, blocks := range held {
				taken = append(taken, blocks...)
			}
			l := topology.BlockLease{Blocks: defaultBlocks, Subnet: subnet, Held: held[node], Taken: taken}
			block, err := l.Next()
			if _, room := naiveNextBlock(subnet, first, taken); room != (err == nil) {
				t.Fatalf("room for a first block beside %v: %v, but %v", taken, room, err)
			}
			if err != nil {
				continue
			}
			if block.Bits() > first || block != block.Masked() || !subnet.Contains(block.Addr()) || slices.ContainsFunc(taken, block.Overlaps) {
				t.Fatalf("leased %s of %s beside %v", block, subnet, taken)
			}
			l.Held, l.Taken = rapid.Permutation(l.Held).Draw(t, "held"), rapid.Permutation(taken).Draw(t, "taken")
			if again, err := l.Next(); err != nil || again != block {
				t.Fatal(fmt.Errorf("in another order the block is %s, not %s: %w", again, block, err))
			}
			held[node] = append(held[node], block)
		}
	})
}
