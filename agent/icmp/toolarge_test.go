package icmp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/agent/icmp"
	"github.com/weftfabric/weft/fabric"
)

var (
	router4 = icmp.Router{MAC: fabric.MAC{2, 0x77, 0, 0, 0, 1}, Address: netip.MustParseAddr("10.0.0.1"), To: fabric.MAC{2, 0, 0, 0, 0, 5}}
	router6 = icmp.Router{MAC: fabric.MAC{2, 0x77, 0, 0, 0, 1}, Address: netip.MustParseAddr("fd00::1"), To: fabric.MAC{2, 0, 0, 0, 0, 5}}
)

// frame4 is a frame of n octets of IPv4 with fragment flags and offset, a protocol and a payload's start.
func frame4(n int, fragment uint16, proto byte, payload ...byte) []byte {
	b := append(make([]byte, 12), 8, 0)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, 63, proto, 0, 0, 10, 0, 0, 5, 10, 0, 0, 70)
	return append(append(b, payload...), make([]byte, n-20-len(payload))...)
}

func frame6(n int, next byte, payload ...byte) []byte {
	b := append(make([]byte, 12), 0x86, 0xdd, 0x60, 0, 0, 0)
	b = append(binary.BigEndian.AppendUint16(b, uint16(n-40)), next, 63)
	for _, a := range []string{"fd00::5", "fd00::70"} {
		b = append(b, netip.MustParseAddr(a).AsSlice()...)
	}
	return append(append(b, payload...), make([]byte, n-40-len(payload))...)
}

func TestTooLarge4(t *testing.T) {
	asked := frame4(1500, 0x4000, 17, 0x12, 0x34, 0, 80)
	got, err := icmp.TooLarge(asked, router4, 1450)
	if err != nil {
		t.Fatal(err)
	}
	ip := got[14:]
	if len(ip) != 576 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
		t.Errorf("the error has %d octets, its header says %d", len(ip), binary.BigEndian.Uint16(ip[2:]))
	}
	if !bytes.Equal(got[:14], []byte{2, 0, 0, 0, 0, 5, 2, 0x77, 0, 0, 0, 1, 8, 0}) || !bytes.Equal(ip[12:20], []byte{10, 0, 0, 1, 10, 0, 0, 5}) {
		t.Errorf("the error goes astray: % x", got[:34])
	}
	if check(ip[:20]) != 0 || check(ip[20:]) != 0 {
		t.Error("a checksum is wrong")
	}
	if !bytes.Equal(ip[20:22], []byte{3, 4}) || binary.BigEndian.Uint16(ip[26:]) != 1450 || !bytes.Equal(ip[28:], asked[14:14+548]) {
		t.Errorf("the error says % x", ip[20:60])
	}
}

func TestTooLarge6(t *testing.T) {
	asked := frame6(1500, 17, 0x12, 0x34, 0, 80)
	got, err := icmp.TooLarge(asked, router6, 1430)
	if err != nil {
		t.Fatal(err)
	}
	ip := got[14:]
	if len(ip) != 1280 || int(binary.BigEndian.Uint16(ip[4:])) != len(ip)-40 {
		t.Errorf("the error has %d octets, its header says %d and 40", len(ip), binary.BigEndian.Uint16(ip[4:]))
	}
	if netip.AddrFrom16([16]byte(ip[8:24])) != router6.Address || netip.AddrFrom16([16]byte(ip[24:40])) != netip.MustParseAddr("fd00::5") {
		t.Errorf("the error goes astray: % x", ip[:40])
	}
	pseudo := append(append([]byte{}, ip[8:40]...), 0, 0, 0, 0, 0, 0, 0, 58)
	binary.BigEndian.PutUint32(pseudo[32:], uint32(len(ip)-40))
	if check(append(pseudo, ip[40:]...)) != 0 {
		t.Error("the checksum is wrong")
	}
	if !bytes.Equal(ip[40:42], []byte{2, 0}) || binary.BigEndian.Uint32(ip[44:]) != 1430 || !bytes.Equal(ip[48:], asked[14:14+1232]) {
		t.Errorf("the error says % x", ip[40:60])
	}
}

// check is the sum of RFC 1071 over octets that include their checksum.
func check(b []byte) uint16 {
	var total uint32
	for i := 0; i < len(b); i += 2 {
		total += uint32(b[i]) << 8
		if i+1 < len(b) {
			total += uint32(b[i+1])
		}
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

func TestNoAnswer(t *testing.T) {
	group := frame4(1500, 0x4000, 17)
	copy(group[30:], []byte{224, 0, 0, 5})
	for _, tc := range []struct {
		name  string
		frame []byte
		from  icmp.Router
		want  error
	}{
		{"may be fragmented", frame4(1500, 0, 17), router4, icmp.ErrMayFragment},
		{"a later fragment", frame4(1500, 0x4010, 17), router4, icmp.ErrNoErrors},
		{"an error", frame4(1500, 0x4000, 1, 3, 4), router4, icmp.ErrNoErrors},
		{"an echo request is none", frame4(1500, 0x4000, 1, 8), router4, nil},
		{"a group", group, router4, icmp.ErrNoErrors},
		{"an error, IPv6", frame6(1500, 58, 2), router6, icmp.ErrNoErrors},
		{"a redirect, IPv6", frame6(1500, 58, 137), router6, icmp.ErrNoErrors},
		{"an echo request, IPv6", frame6(1500, 58, 128), router6, nil},
		{"an error behind options", frame6(1500, 0, 58, 0, 0, 0, 0, 0, 0, 0, 1), router6, icmp.ErrNoErrors},
		{"options without end", frame6(1500, 60, 60, 255), router6, icmp.ErrNoErrors},
		{"a first fragment, IPv6", frame6(1500, 44, 17, 0, 0, 1, 0, 0, 0, 9), router6, nil},
	} {
		if got, err := icmp.TooLarge(tc.frame, tc.from, 1450); !errors.Is(err, tc.want) || (got == nil) != (tc.want != nil) {
			t.Errorf("%s: % x, %v; want %v", tc.name, got, err, tc.want)
		}
	}
	for _, frame := range [][]byte{nil, make([]byte, 13), make([]byte, 60), frame4(1500, 0x4000, 17)[:40], frame6(1500, 17)[:50]} {
		if got, err := icmp.TooLarge(frame, router4, 1450); err == nil {
			t.Errorf("% x became % x", frame, got)
		}
	}
}

func FuzzTooLarge(f *testing.F) {
	f.Add(frame4(1500, 0x4000, 17))
	f.Add(frame6(1500, 17))
	f.Add(frame6(1500, 0, 58, 0, 0, 0, 0, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, from := range []icmp.Router{router4, router6} {
			if got, err := icmp.TooLarge(frame, from, 1450); (got == nil) == (err == nil) || len(got) > 1294 {
				t.Fatalf("%d octets, %v", len(got), err)
			}
		}
	})
}
