package topology_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

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
		{"first, beside others", "10.0.0.0/8", "", "10.0.0.0/26 10.0.0.128/25", "10.0.0.64/26"},
		{"second", "10.0.0.0/8", "10.0.0.0/26", "", "10.0.0.128/25"},
		{"third", "10.0.0.0/8", "10.0.0.0/26 10.0.0.128/25", "10.0.0.64/26", "10.0.1.0/24"},
		{"the largest counts, not the number", "10.0.0.0/8", "10.0.1.0/24", "", "10.0.2.0/23"},
		{"at most 64 times the first", "10.0.0.0/8", "10.0.16.0/20", "", "10.0.0.0/20"},
		{"at most a sixteenth of the range", "10.0.0.0/20", "10.0.1.0/24", "", "10.0.0.0/24"},
		{"a small range", "10.0.0.0/24", "10.0.0.0/26", "", "10.0.0.64/26"},
		{"smaller where there are no large ones", "10.0.0.0/22", "10.0.0.0/26", "10.0.1.0/24 10.0.2.0/24 10.0.3.0/25 10.0.3.192/26 10.0.0.64/26 10.0.0.192/26", "10.0.0.128/26"},
		{"leased when the setting was larger", "10.0.0.0/8", "10.16.0.0/12", "", "10.0.0.0/20"},
		{"leased when the setting was smaller", "10.0.0.0/8", "10.0.0.0/30", "", "10.0.0.64/26"},
		{"IPv6", "fd00::/64", "fd00::/122", "", "fd00::80/121"},
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

// TestRoutesGrowWithTheLogarithm fills one node of a large subnet.
func TestRoutesGrowWithTheLogarithm(t *testing.T) {
	var held []netip.Prefix
	for room, want := range map[int]int{64: 1, 192: 2, 960: 4, 8128: 7, 8128 + 4096: 8} {
		held = held[:0]
		for size(held) < room {
			block, err := topology.BlockLease{Blocks: defaultBlocks, Subnet: netip.MustParsePrefix("10.0.0.0/8"), Held: held, Taken: held}.Next()
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, block)
		}
		if len(held) != want {
			t.Errorf("%d addresses are in %d blocks, want %d: %v", room, len(held), want, held)
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
