package topology_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

func ref(tenant, name string) fabric.NetworkRef { return fabric.NetworkRef{Tenant: tenant, Name: name} }

// networks makes an intent of networks alone.
func networks(t testing.TB, refs ...fabric.NetworkRef) *topology.Intent {
	t.Helper()
	var objects []*topology.Object
	for _, r := range refs {
		o, ok := topology.NewObject(&topology.Network{Metadata: topology.Metadata{Name: r.Name, Tenant: r.Tenant}})
		if !ok {
			t.Fatal("Network is no kind")
		}
		objects = append(objects, o)
	}
	return topology.NewIntent(objects...)
}

func block(base fabric.Identity) fabric.VNIBlock { return fabric.VNIBlock{Base: base, Bits: 16} }

func TestAllocateNetworks(t *testing.T) {
	a, b, c := ref("t", "a"), ref("t", "b"), ref("t", "c")
	first, err := topology.AllocateNetworks(networks(t, a, b), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[fabric.NetworkRef]topology.NetworkAlloc{
		a: {ID: 1, Blocks: []fabric.VNIBlock{block(0x100)}},
		b: {ID: 2, Blocks: []fabric.VNIBlock{block(0x200)}},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	// b grows, a goes, c takes what a had.
	if first[b], err = topology.GrowNetwork(first, b); err != nil {
		t.Fatal(err)
	}
	second, err := topology.AllocateNetworks(networks(t, b, c), first)
	if err != nil {
		t.Fatal(err)
	}
	want = map[fabric.NetworkRef]topology.NetworkAlloc{
		b: {ID: 2, Blocks: []fabric.VNIBlock{block(0x200), block(0x300)}},
		c: {ID: 1, Blocks: []fabric.VNIBlock{block(0x100)}},
	}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Error(diff)
	}
}

// Whatever comes and goes: nobody moves, nobody shares, and nobody has VNI 0.
func TestAllocationIsStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		allocs := map[fabric.NetworkRef]topology.NetworkAlloc{}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			names := rapid.SliceOfDistinct(rapid.IntRange(0, 30), rapid.ID[int]).Draw(rt, "names")
			var refs []fabric.NetworkRef
			for _, n := range names {
				refs = append(refs, ref("t", fmt.Sprint("n", n)))
			}
			before := maps.Clone(allocs)
			next, err := topology.AllocateNetworks(networks(t, refs...), allocs)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(before, allocs); diff != "" {
				rt.Fatalf("the argument changed:\n%s", diff)
			}
			if len(next) != len(refs) {
				rt.Fatalf("%d allocations for %d networks", len(next), len(refs))
			}
			for r, alloc := range next {
				if old, ok := before[r]; ok && !cmp.Equal(old, alloc) {
					rt.Fatalf("%s moved from %v to %v", r, old, alloc)
				}
			}
			if len(refs) > 0 && rapid.Bool().Draw(rt, "grow") {
				r := refs[0]
				grown, err := topology.GrowNetwork(next, r)
				if err != nil || len(grown.Blocks) != len(next[r].Blocks)+1 {
					rt.Fatalf("growing %v gave %v, %v", next[r], grown, err)
				}
				next[r] = grown
			}
			disjoint(rt, next)
			allocs = next
		}
	})
}

func disjoint(rt *rapid.T, allocs map[fabric.NetworkRef]topology.NetworkAlloc) {
	ids, bases := map[fabric.NetworkID]bool{}, map[fabric.Identity]bool{}
	for r, a := range allocs {
		if a.ID == 0 || ids[a.ID] {
			rt.Fatalf("%s has number %d, which is invalid or another's", r, a.ID)
		}
		ids[a.ID] = true
		for _, b := range a.Blocks {
			if b.Contains(0) || bases[b.Base] || b.Base&0xff != 0 {
				rt.Fatalf("%s has block %s, which is invalid or another's", r, b)
			}
			bases[b.Base] = true
		}
	}
}

func TestNumbersRunOut(t *testing.T) {
	full := map[fabric.NetworkRef]topology.NetworkAlloc{ref("t", "a"): {ID: 1, Blocks: []fabric.VNIBlock{{Base: 0, Bits: 1}, {Base: 0x800000, Bits: 1}}}}
	if _, err := topology.GrowNetwork(full, ref("t", "a")); !errors.Is(err, topology.ErrVNIsExhausted) {
		t.Errorf("growing in a full space: %v", err)
	}
	got, err := topology.AllocateNetworks(networks(t, ref("t", "a"), ref("t", "b")), full)
	if !errors.Is(err, topology.ErrVNIsExhausted) || len(got) != 1 {
		t.Errorf("allocating in a full space: %v, %v", got, err)
	}
}

func TestNextIdentity(t *testing.T) {
	blocks := []fabric.VNIBlock{block(0x100), block(0x700)}
	used := map[fabric.Identity]bool{}
	for i := range 512 {
		id, err := topology.NextIdentity(blocks, func(id fabric.Identity) bool { return used[id] })
		want := fabric.Identity(0x100 + i)
		if i >= 256 {
			want = fabric.Identity(0x700 + i - 256)
		}
		if err != nil || id != want {
			t.Fatalf("identity %d is %v, %v; want %v", i, id, err, want)
		}
		used[id] = true
	}
	if id, err := topology.NextIdentity(blocks, func(id fabric.Identity) bool { return used[id] }); !errors.Is(err, topology.ErrIdentitiesExhausted) {
		t.Errorf("identity of full blocks: %v, %v", id, err)
	}
	if id, _ := topology.NextIdentity([]fabric.VNIBlock{{Base: 0, Bits: 16}}, func(fabric.Identity) bool { return false }); id != 1 {
		t.Errorf("VNI 0 must stay unused, got %v", id)
	}
}

func TestLeaseBits(t *testing.T) {
	blocks := topology.NodeBlock{IPv4: 26, IPv6: 122}
	for subnet, want := range map[string]int{
		"10.0.0.0/8": 26, "10.0.0.0/24": 26, "10.0.0.0/25": 27, "10.0.0.0/28": 30, "10.0.0.0/29": 30, "10.0.0.0/30": 30,
		"fd00::/64": 122, "fd00::/121": 123, "fd00::/126": 126,
	} {
		if got := topology.LeaseBits(blocks, netip.MustParsePrefix(subnet)); got != want {
			t.Errorf("blocks of %s are /%d, want /%d", subnet, got, want)
		}
	}
}

// The naive twin tries each block of the subnet in turn.
func naiveNextBlock(subnet netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, bool) {
	for a := subnet.Addr(); subnet.Contains(a); a = a.Next() {
		p := netip.PrefixFrom(a, bits)
		if p == p.Masked() && !slices.ContainsFunc(taken, p.Overlaps) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func TestNextBlockEqualsNaiveTwin(t *testing.T) {
	subnets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("255.255.255.0/24"), netip.MustParsePrefix("fd00::/120")}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		subnet := subnets[r.IntN(len(subnets))]
		width := subnet.Addr().BitLen()
		bits := width - 8 + r.IntN(8)
		var taken []netip.Prefix
		for range r.IntN(24) {
			a := subnet.Addr().AsSlice()
			a[len(a)-1] = byte(r.IntN(256))
			addr, _ := netip.AddrFromSlice(a)
			taken = append(taken, netip.PrefixFrom(addr, width-r.IntN(7)).Masked())
		}
		want, ok := naiveNextBlock(subnet, bits, taken)
		got, err := topology.NextBlock(subnet, bits, taken)
		if got != want || (err == nil) != ok || err != nil && !errors.Is(err, topology.ErrAddressesExhausted) {
			t.Fatalf("seed %d: next /%d of %s without %v is %v, %v; want %v", seed, bits, subnet, taken, got, err, want)
		}
	}
}

func TestNextBlockRefuses(t *testing.T) {
	for _, bits := range []int{23, 33} {
		if p, err := topology.NextBlock(netip.MustParsePrefix("10.0.0.0/24"), bits, nil); err == nil {
			t.Errorf("a /24 has the block %s", p)
		}
	}
}
