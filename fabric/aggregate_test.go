package fabric_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
)

func TestAggregate(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"one", "10.0.0.64/26", "10.0.0.64/26"},
		{"halves", "10.0.0.64/26 10.0.0.0/26", "10.0.0.0/25"},
		{"neighbours that are no halves of one range", "10.0.0.64/26 10.0.0.128/26", "10.0.0.64/26 10.0.0.128/26"},
		{"doubling", "10.0.0.0/26 10.0.0.64/26 10.0.0.128/25 10.0.1.0/24", "10.0.0.0/23"},
		{"nested", "10.0.0.0/24 10.0.0.64/26 10.0.0.64/32", "10.0.0.0/24"},
		{"a hole", "10.0.0.0/26 10.0.0.128/25", "10.0.0.0/26 10.0.0.128/25"},
		{"twice the same", "10.0.0.0/26 10.0.0.0/26", "10.0.0.0/26"},
		{"host bits", "10.0.0.1/26 10.0.0.127/26", "10.0.0.0/25"},
		{"everything", "0.0.0.0/1 128.0.0.0/1", "0.0.0.0/0"},
		{"families", "fd00::/122 fd00::40/122 0.0.0.0/32 0.0.0.1/32", "0.0.0.0/31 fd00::/121"},
		{"the end", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
	} {
		var in []netip.Prefix
		for s := range strings.FieldsSeq(tc.in) {
			in = append(in, netip.MustParsePrefix(s))
		}
		var got []string
		for _, p := range fabric.Aggregate(in) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %v, want %s", tc.name, got, tc.want)
		}
	}
}

// TestAggregateIsExact compares with a list of all addresses: each is held by exactly one prefix if it was held
// before, and no two prefixes could be one.
func TestAggregateIsExact(t *testing.T) {
	all := netip.MustParsePrefix("10.0.0.0/24")
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Custom(func(t *rapid.T) netip.Prefix {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "addr")})
			return netip.PrefixFrom(addr, rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
		})).Draw(t, "in")
		got := fabric.Aggregate(in)
		for a := all.Addr(); all.Contains(a); a = a.Next() {
			holds := func(p netip.Prefix) bool { return p.Contains(a) }
			holders := 0
			for _, p := range got {
				if p.Contains(a) {
					holders++
				}
			}
			if want := slices.ContainsFunc(in, holds); want != (holders == 1) || holders > 1 {
				t.Fatalf("%v became %v: %s is held by %d", in, got, a, holders)
			}
		}
		for _, p := range got {
			if slices.Contains(got, fabric.Buddy(p)) {
				t.Fatalf("%v became %v: %s and %s are one range", in, got, p, fabric.Buddy(p))
			}
		}
	})
}
