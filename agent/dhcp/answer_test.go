package dhcp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weftfabric/weft/agent/dhcp"
	"github.com/weftfabric/weft/fabric"
)

func lease() dhcp.Lease {
	return dhcp.Lease{
		MAC: fabric.MAC{2, 0xaa, 0, 0, 0, 1}, Address: netip.MustParsePrefix("10.0.0.11/24"), Gateway: netip.MustParseAddr("10.0.0.1"),
		Router: fabric.MAC{2, 0x77, 0, 0, 0, 1}, MTU: 1400, DNS: []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("9.9.9.9")},
		Routes: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.9.0.0/16")},
	}
}

// query is a client's message in a frame.
type query struct {
	kind          dhcpv4.MessageType
	mods          []dhcpv4.Modifier
	chaddr, ether string // other MAC addresses than the lease's
}

func (q query) frame(t testing.TB) []byte {
	t.Helper()
	mac := func(s string) net.HardwareAddr {
		m := lease().MAC
		if s != "" {
			var err error
			if m, err = fabric.ParseMAC(s); err != nil {
				t.Fatal(err)
			}
		}
		return m[:]
	}
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(q.kind), dhcpv4.WithHwAddr(mac(q.chaddr)), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})}, q.mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(mac(q.ether), m.ToBytes())
}

// wrap puts a client's message into a broadcast frame, without checksums.
func wrap(src net.HardwareAddr, message []byte) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+len(message)))
	b = append(b, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 68, 0, 67)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(message)))
	return append(append(b, 0, 0), message...)
}

// read takes a reply apart and checks its headers.
func read(t testing.TB, frame []byte) (to string, m *dhcpv4.DHCPv4) {
	t.Helper()
	be := binary.BigEndian
	ip, udp := frame[14:34], frame[34:]
	check := func(what string, parts ...[]byte) {
		var total uint32
		for _, b := range parts {
			for i := 0; i < len(b); i += 2 {
				total += uint32(b[i]) << 8
				if i+1 < len(b) {
					total += uint32(b[i+1])
				}
			}
		}
		for total > 0xffff {
			total = total>>16 + total&0xffff
		}
		if total != 0xffff {
			t.Errorf("the checksum of %s is wrong", what)
		}
	}
	check("IP", ip)
	check("UDP", ip[12:20], []byte{0, 17}, udp[4:6], udp)
	if int(be.Uint16(ip[2:])) != len(frame)-14 || int(be.Uint16(udp[4:])) != len(udp) || be.Uint16(udp) != 67 || be.Uint16(udp[2:]) != 68 {
		t.Errorf("lengths or ports are wrong: % x", frame[:42])
	}
	if src := netip.AddrFrom4([4]byte(ip[12:16])); src != lease().Gateway || fabric.MAC(frame[6:12]) != lease().Router {
		t.Errorf("it comes from %s, %s", src, fabric.MAC(frame[6:12]))
	}
	m, err := dhcpv4.FromBytes(udp[8:])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", netip.AddrFrom4([4]byte(ip[16:20])), fabric.MAC(frame[:6])), m
}

func TestAnswer(t *testing.T) {
	const own, all = "10.0.0.11 02:aa:00:00:00:01", "255.255.255.255 ff:ff:ff:ff:ff:ff"
	ip := net.ParseIP
	ask := func(s string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip(s))) }
	server := func(s string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(s))) }
	client := func(s string) dhcpv4.Modifier { return dhcpv4.WithClientIP(ip(s)) }
	with := func(m ...dhcpv4.Modifier) []dhcpv4.Modifier { return m }
	for _, tt := range []struct {
		name string
		query
		want string // kind, your address, destination; empty: no answer
	}{
		{"discover", query{kind: dhcpv4.MessageTypeDiscover}, "OFFER 10.0.0.11 " + own},
		{"discover, broadcast", query{kind: dhcpv4.MessageTypeDiscover, mods: with(dhcpv4.WithBroadcast(true))}, "OFFER 10.0.0.11 " + all},
		{"discover, another address", query{kind: dhcpv4.MessageTypeDiscover, mods: with(ask("10.0.0.99"))}, "OFFER 10.0.0.11 " + own},
		{"select", query{kind: dhcpv4.MessageTypeRequest, mods: with(ask("10.0.0.11"), server("10.0.0.1"))}, "ACK 10.0.0.11 " + own},
		{"select, another address", query{kind: dhcpv4.MessageTypeRequest, mods: with(ask("10.0.0.12"), server("10.0.0.1"))}, "NAK 0.0.0.0 " + all},
		{"select another server", query{kind: dhcpv4.MessageTypeRequest, mods: with(ask("10.0.0.11"), server("10.0.0.2"))}, ""},
		{"reboot", query{kind: dhcpv4.MessageTypeRequest, mods: with(ask("10.0.0.11"))}, "ACK 10.0.0.11 " + own},
		{"reboot elsewhere", query{kind: dhcpv4.MessageTypeRequest, mods: with(ask("192.168.1.5"))}, "NAK 0.0.0.0 " + all},
		{"renew", query{kind: dhcpv4.MessageTypeRequest, mods: with(client("10.0.0.11"))}, "ACK 10.0.0.11 " + own},
		{"renew, another address", query{kind: dhcpv4.MessageTypeRequest, mods: with(client("10.0.0.12"))}, "NAK 0.0.0.0 " + all},
		{"inform", query{kind: dhcpv4.MessageTypeInform, mods: with(client("10.0.0.11"))}, "ACK 0.0.0.0 " + own},
		{"inform, another address", query{kind: dhcpv4.MessageTypeInform, mods: with(client("10.0.0.12"))}, ""},
		{"release", query{kind: dhcpv4.MessageTypeRelease, mods: with(client("10.0.0.11"))}, ""},
		{"decline", query{kind: dhcpv4.MessageTypeDecline, mods: with(ask("10.0.0.11"))}, ""},
		{"no kind", query{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply, err := dhcp.Answer(tt.frame(t), lease())
			if err != nil {
				t.Fatal(err)
			}
			if reply == nil {
				if tt.want != "" {
					t.Fatalf("no answer, want %s", tt.want)
				}
				return
			}
			to, m := read(t, reply)
			if got := fmt.Sprintf("%s %s %s", m.MessageType(), m.YourIPAddr, to); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if m.TransactionID != (dhcpv4.TransactionID{1, 2, 3, 4}) || m.ServerIdentifier().String() != "10.0.0.1" {
				t.Errorf("%s", m.Summary())
			}
		})
	}
}

func TestOptions(t *testing.T) {
	routes := dhcpv4.WithRequestedOptions(dhcpv4.OptionRouter, dhcpv4.OptionClasslessStaticRoute)
	reply, err := dhcp.Answer(query{kind: dhcpv4.MessageTypeDiscover, mods: []dhcpv4.Modifier{routes}}.frame(t), lease())
	if err != nil {
		t.Fatal(err)
	}
	_, m := read(t, reply)
	ones, _ := m.SubnetMask().Size()
	mtu := binary.BigEndian.Uint16(m.GetOneOption(dhcpv4.OptionInterfaceMTU))
	got := fmt.Sprintf("/%d router %v dns %v mtu %d lease %s routes %v", ones, m.Router(), m.DNS(), mtu, m.IPAddressLeaseTime(0), m.ClasslessStaticRoute())
	want := "/24 router [10.0.0.1] dns [10.0.0.53 9.9.9.9] mtu 1400 lease 24h0m0s routes [route to 0.0.0.0/0 via 10.0.0.1 route to 10.0.1.0/24 via 10.0.0.1 route to 10.9.0.0/16 via 10.0.0.1]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	inform := query{kind: dhcpv4.MessageTypeInform, mods: []dhcpv4.Modifier{dhcpv4.WithClientIP(net.IP{10, 0, 0, 11})}}
	if reply, err = dhcp.Answer(inform.frame(t), lease()); err != nil {
		t.Fatal(err)
	}
	if _, m = read(t, reply); m.Options.Has(dhcpv4.OptionIPAddressLeaseTime) || m.Options.Has(dhcpv4.OptionClasslessStaticRoute) {
		t.Errorf("inform must lease nothing, and nobody asked for routes: %s", m.Summary())
	}
}

// A reply is never longer than its client takes: without word of it, 576 octets.
func TestLongRoutes(t *testing.T) {
	l := lease()
	for i := range 60 {
		l.Routes = append(l.Routes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24))
	}
	for size, want := range map[uint16]int{0: 0, 576: 0, 1400: 63, 9000: 63} {
		mods := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionClasslessStaticRoute)}
		if size > 0 {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(size)))
		}
		reply, err := dhcp.Answer(query{kind: dhcpv4.MessageTypeDiscover, mods: mods}.frame(t), l)
		if err != nil {
			t.Fatal(err)
		}
		if _, m := read(t, reply); len(m.ClasslessStaticRoute()) != want || len(m.Router()) != 1 {
			t.Errorf("a client that takes %d octets got %d routes, want %d", size, len(m.ClasslessStaticRoute()), want)
		}
	}
}

func TestRefused(t *testing.T) {
	good := query{kind: dhcpv4.MessageTypeDiscover}.frame(t)
	change := func(at int, b ...byte) []byte { return slices.Concat(good[:at], b, good[at+len(b):]) }
	for name, tt := range map[string]struct {
		frame []byte
		want  string
	}{
		"another chaddr":     {query{kind: dhcpv4.MessageTypeDiscover, chaddr: "02:aa:00:00:00:02"}.frame(t), "another MAC address"},
		"another source MAC": {query{kind: dhcpv4.MessageTypeDiscover, ether: "02:aa:00:00:00:02"}.frame(t), "another MAC address"},
		"relayed":            {query{kind: dhcpv4.MessageTypeDiscover, mods: []dhcpv4.Modifier{dhcpv4.WithRelay(net.IP{10, 0, 0, 9})}}.frame(t), "relay agent"},
		"a reply":            {change(42, 2), "no whole UDP packet"},
		"cut":                {good[:60], "no whole UDP packet"},
		"empty":              {nil, "no whole UDP packet"},
		"a fragment":         {change(20, 0x20), "no whole UDP packet"},
		"to another port":    {change(36, 0, 53), "no whole UDP packet"},
		"no cookie":          {change(42+236, 0), "malformed"},
	} {
		reply, err := dhcp.Answer(tt.frame, lease())
		if err == nil || reply != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := dhcp.Answer(query{kind: dhcpv4.MessageTypeDiscover, chaddr: "02:aa:00:00:00:02"}.frame(t), lease()); !errors.Is(err, dhcp.ErrForged) {
		t.Errorf("%v is not ErrForged", err)
	}
}

// FuzzAnswer: whatever comes in, a reply goes to the port's MAC address or to everybody, and offers its address alone.
func FuzzAnswer(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeRelease} {
		f.Add(query{kind: kind, mods: []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionClasslessStaticRoute)}}.frame(f))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		reply, err := dhcp.Answer(frame, lease())
		if err != nil || reply == nil {
			return
		}
		to, m := read(t, reply)
		if !strings.HasSuffix(to, " 02:aa:00:00:00:01") && !strings.HasSuffix(to, " ff:ff:ff:ff:ff:ff") {
			t.Errorf("it goes to %s", to)
		}
		if y := m.YourIPAddr.String(); y != "0.0.0.0" && y != "10.0.0.11" {
			t.Errorf("it offers %s", y)
		}
		if m.ClientHWAddr.String() != "02:aa:00:00:00:01" {
			t.Errorf("it is for %s", m.ClientHWAddr)
		}
	})
}
