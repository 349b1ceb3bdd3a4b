package icmp

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/fabric"
)

// solicitation builds a frame that asks for an address.
func solicitation(src, dst, target string) []byte {
	b := []byte{0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 6 << 4, 0, 0, 0, 0, ndLen + ndOptionLen, protoICMPv6, ndHops}
	for _, a := range []string{src, dst} {
		b = append(b, netip.MustParseAddr(a).AsSlice()...)
	}
	b = append(b, ndSolicit, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, netip.MustParseAddr(target).AsSlice()...)
	return append(b, 1, 1, 2, 0, 0, 0, 0, 9)
}

func TestAdvertise(t *testing.T) {
	mac := fabric.MAC{2, 0x77, 0x65, 0x66, 0x74, 1}
	for _, router := range []bool{false, true} {
		got, err := Advertise(solicitation("fd00::9", "ff02::1:ff00:1", "fd00::1"), mac, router)
		if err != nil {
			t.Fatal(err)
		}
		flags := byte(0x60)
		if router {
			flags = 0xe0
		}
		want := []byte{2, 0, 0, 0, 0, 9, 2, 0x77, 0x65, 0x66, 0x74, 1, 0x86, 0xdd, 6 << 4, 0, 0, 0, 0, 32, 58, 255}
		want = append(want, netip.MustParseAddr("fd00::1").AsSlice()...)
		want = append(want, netip.MustParseAddr("fd00::9").AsSlice()...)
		want = append(want, 136, 0, got[56], got[57], flags, 0, 0, 0)
		want = append(want, netip.MustParseAddr("fd00::1").AsSlice()...)
		want = append(want, 2, 1, 2, 0x77, 0x65, 0x66, 0x74, 1)
		if !bytes.Equal(got, want) {
			t.Errorf("router %v:\n%x\nwant\n%x", router, got, want)
		}
		// With its checksum in it, the sum over pseudo header and message is all ones (RFC 1071).
		if s := sum(uint32(sum(32+58, got[22:54])), got[54:]); s != 0xffff {
			t.Errorf("the checksum is wrong: %04x", s)
		}
	}
}

func TestAdvertiseRefuses(t *testing.T) {
	good := solicitation("fd00::9", "ff02::1:ff00:1", "fd00::1")
	hops := bytes.Clone(good)
	hops[21] = 64
	advertisement := bytes.Clone(good)
	advertisement[54] = 136
	for name, frame := range map[string][]byte{
		"short": good[:77], "hops": hops, "advertisement": advertisement, "empty": nil,
		"duplicate detection": solicitation("::", "ff02::1:ff00:1", "fd00::1"), "group": solicitation("fd00::9", "ff02::1:ff00:1", "ff02::1"),
	} {
		if _, err := Advertise(frame, fabric.MAC{}, false); !errors.Is(err, errNoSolicitation) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
