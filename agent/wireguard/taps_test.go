package wireguard

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/weftfabric/weft/fabric"
)

// ethernet returns a frame with a packet of a family between two addresses, and padding behind it.
func ethernet(kind uint16, from, to string, padding int) []byte {
	src, dst := netip.MustParseAddr(from), netip.MustParseAddr(to)
	header := make([]byte, etherHeader)
	binary.BigEndian.PutUint16(header[12:], kind)
	var b []byte
	if src.Is4() {
		b = make([]byte, ipv4Header+8)
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		copy(b[offsetSource:], src.AsSlice())
		copy(b[offsetDest:], dst.AsSlice())
	} else {
		b = make([]byte, ipv6Header+8)
		b[0] = 0x60
		binary.BigEndian.PutUint16(b[4:], 8)
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
	}
	return slices.Concat(header, b, make([]byte, padding))
}

func TestPacketsToClient(t *testing.T) {
	c := RemoteClient{MAC: fabric.MAC{2}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}}
	long := ethernet(etherIPv6, "fd00::1", "fd00::9", 0)
	binary.BigEndian.PutUint16(long[etherHeader+4:], 9)
	rows := []struct {
		name  string
		frame []byte
		want  int
	}{
		{"IPv4", ethernet(etherIPv4, "10.0.0.1", "10.0.0.9", 0), ipv4Header + 8},
		{"padded", ethernet(etherIPv4, "10.0.0.1", "10.0.0.9", 18), ipv4Header + 8},
		{"IPv6", ethernet(etherIPv6, "fd00::1", "fd00::9", 3), ipv6Header + 8},
		{"another's address", ethernet(etherIPv4, "10.0.0.1", "10.0.0.8", 0), 0},
		{"multicast", ethernet(etherIPv6, "fe80::1", "ff02::1", 0), 0},
		{"ARP", ethernet(etherARP, "10.0.0.1", "10.0.0.9", 0), 0},
		{"IPv4 as IPv6", ethernet(etherIPv6, "10.0.0.1", "10.0.0.9", 0), 0},
		{"IPv6 as IPv4", ethernet(etherIPv4, "fd00::1", "fd00::9", 0), 0},
		{"longer than the frame", long, 0},
		{"no header", make([]byte, 5), 0},
		{"no packet", ethernet(etherIPv4, "10.0.0.1", "10.0.0.9", 0)[:etherHeader], 0},
		{"half an IPv6 header", ethernet(etherIPv6, "fd00::1", "fd00::9", 0)[:etherHeader+20], 0},
	}
	for _, row := range rows {
		if got := c.packetOf(row.frame); len(got) != row.want {
			t.Errorf("%s: %d bytes go to the client, want %d", row.name, len(got), row.want)
		}
	}
}

func FuzzPacketsToClient(f *testing.F) {
	f.Add(ethernet(etherIPv4, "10.0.0.1", "10.0.0.9", 2))
	f.Add(ethernet(etherIPv6, "fd00::1", "fd00::9", 2))
	c := RemoteClient{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}}
	f.Fuzz(func(t *testing.T, frame []byte) {
		b := c.packetOf(frame)
		if b == nil {
			return
		}
		if _, to, ok := endsOf(b); !ok || to != c.Addresses[0] && to != c.Addresses[1] {
			t.Errorf("a packet to %s goes to the client", to)
		}
	})
}
