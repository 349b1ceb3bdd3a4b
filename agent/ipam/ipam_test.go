package ipam_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/ipam"
)

func TestNext(t *testing.T) {
	none := func(netip.Addr) bool { return false }
	tests := []struct {
		name, subnet string
		blocks       []string
		taken        []string
		after, want  string
	}{
		{"first of the subnet is never given", "10.0.0.0/24", []string{"10.0.0.0/26"}, nil, "", "10.0.0.1"},
		{"reserved is skipped", "10.0.0.0/24", []string{"10.0.0.0/26"}, []string{"10.0.0.1", "10.0.0.2"}, "", "10.0.0.3"},
		{"a block's first address is an address", "10.0.0.0/24", []string{"10.0.0.64/26"}, nil, "", "10.0.0.64"},
		{"after the last one", "10.0.0.0/24", []string{"10.0.0.64/26"}, nil, "10.0.0.70", "10.0.0.71"},
		{"wraps", "10.0.0.0/24", []string{"10.0.0.64/26"}, nil, "10.0.0.127", "10.0.0.64"},
		{"next block", "10.0.0.0/24", []string{"10.0.0.128/26", "10.0.0.0/30"}, nil, "10.0.0.3", "10.0.0.128"},
		{"broadcast is never given", "10.0.0.0/30", []string{"10.0.0.0/30"}, []string{"10.0.0.1", "10.0.0.2"}, "", ""},
		{"point to point", "10.0.0.0/31", []string{"10.0.0.0/31"}, []string{"10.0.0.0"}, "", "10.0.0.1"},
		{"IPv6", "fd00::/64", []string{"fd00::/122"}, []string{"fd00::1"}, "", "fd00::2"},
		{"no blocks", "10.0.0.0/24", nil, nil, "", ""},
		{"the end of all addresses", "255.255.255.0/24", []string{"255.255.255.192/26"}, nil, "255.255.255.254", "255.255.255.192"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := ipam.Pool{Subnet: netip.MustParsePrefix(tt.subnet), Taken: none}
			for _, b := range tt.blocks {
				p.Blocks = append(p.Blocks, netip.MustParsePrefix(b))
			}
			taken := map[netip.Addr]bool{}
			for _, a := range tt.taken {
				taken[netip.MustParseAddr(a)] = true
			}
			p.Taken = func(a netip.Addr) bool { return taken[a] }
			var after, want netip.Addr
			if tt.after != "" {
				after = netip.MustParseAddr(tt.after)
			}
			if tt.want != "" {
				want = netip.MustParseAddr(tt.want)
			}
			if got, ok := p.Next(after); got != want || ok != want.IsValid() {
				t.Errorf("got %v, %v; want %v", got, ok, want)
			}
		})
	}
}

// TestNextAgainstTwin compares with a twin that lists every address of a small subnet.
func TestNextAgainstTwin(t *testing.T) {
	subnet := netip.MustParsePrefix("10.0.0.0/26")
	all := []netip.Addr{}
	for a := subnet.Addr(); subnet.Contains(a); a = a.Next() {
		all = append(all, a)
	}
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(28, 30).Draw(t, "bits")
		p := ipam.Pool{Subnet: subnet}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 1<<(bits-26)-1), 0, 4, rapid.ID[int]).Draw(t, "blocks") {
			block, _ := all[i<<(32-bits)].Prefix(bits)
			p.Blocks = append(p.Blocks, block)
		}
		taken := map[netip.Addr]bool{}
		for _, a := range rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "taken") {
			taken[a] = true
		}
		p.Taken = func(a netip.Addr) bool { return taken[a] }
		after := rapid.SampledFrom(append([]netip.Addr{{}}, all...)).Draw(t, "after")

		var want netip.Addr
		for _, lowest := range []netip.Addr{after, {}} {
			for _, a := range all {
				last := all[len(all)-1]
				if !want.IsValid() && a.Compare(lowest) > 0 && p.Leased(a) && !taken[a] && a != all[0] && a != last {
					want = a
				}
			}
		}
		if got, ok := p.Next(after); got != want || ok != want.IsValid() {
			t.Fatalf("got %v, %v; want %v", got, ok, want)
		}
	})
}
