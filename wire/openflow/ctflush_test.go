package openflow_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "github.com/weftfabric/weft/wire/openflow"
)

var (
	flushV4 = netip.MustParseAddr("10.1.0.2")
	flushV6 = netip.MustParseAddr("fd00::2")
	other4  = netip.MustParseAddr("10.1.0.3")
	nine    = netip.MustParseAddr("10.1.0.9")
	eight   = netip.MustParseAddr("10.1.0.8")
)

// ovs-ofctl reads our octets and means the same by them.
func TestOracleReadsConnectionFlush(t *testing.T) {
	const v4, v6 = ",ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=0' 'ct_nw_src=::,ct_nw_dst=::,ct_tp_src=0,ct_tp_dst=0'", ",ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=17' 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'"
	for _, tt := range []struct {
		which Connections
		want  string
	}{
		{Connections{Zone: 5, Source: flushV4}, "zone=5 'ct_nw_src=10.1.0.2,ct_nw_dst=::" + v4},
		{Connections{Zone: 5, Destination: flushV4}, "zone=5 'ct_nw_src=::,ct_nw_dst=10.1.0.2" + v4},
		{Connections{Zone: 65534, Source: flushV4, Destination: other4}, "zone=65534 'ct_nw_src=10.1.0.2,ct_nw_dst=10.1.0.3" + v4},
		{Connections{Zone: 7, Protocol: 17, Source: flushV6}, "zone=7 'ct_ipv6_src=fd00::2,ct_ipv6_dst=::" + v6},
		{Connections{Zone: 7, Protocol: 17, Destination: flushV6}, "zone=7 'ct_ipv6_src=::,ct_ipv6_dst=fd00::2" + v6},
		{Connections{Zone: 5, Protocol: 6, Source: flushV4, Destination: other4, SourcePort: 4001, DestinationPort: 80},
			"zone=5 'ct_nw_src=10.1.0.2,ct_nw_dst=10.1.0.3,ct_tp_src=4001,ct_tp_dst=80,ct_nw_proto=6'"},
		{Connections{Zone: 5, Protocol: 1, Source: flushV4, Destination: other4, Query: &ICMPQuery{ID: 77, Type: 8}},
			"zone=5 'ct_nw_src=10.1.0.2,ct_nw_dst=10.1.0.3,icmp_id=77,icmp_type=8,icmp_code=0,ct_nw_proto=1'"},
	} {
		b, err := MarshalConnections(tt.which, 9)
		if err != nil {
			t.Fatal(err)
		}
		want := "NXT_CT_FLUSH (OF1.5) (xid=0x9): " + tt.want
		if got := strings.Join(strings.Fields(run(t, "ovs-ofctl", "ofp-print", hex.EncodeToString(b))), " "); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: ovs-ofctl reads %q, want %q", tt.which, got, want)
		}
	}
}

func TestConnectionFlushRefuses(t *testing.T) {
	for _, which := range []Connections{{Zone: 5}, {Protocol: 6, Source: flushV4, Destination: flushV6}, {Source: flushV6}, {Destination: flushV6, Protocol: 58},
		{Source: flushV4, Protocol: 1, SourcePort: 9}, {Source: flushV4, Protocol: 6, Query: &ICMPQuery{ID: 1}}} {
		if _, err := MarshalConnections(which, 1); err == nil {
			t.Errorf("%+v was encoded", which)
		}
	}
}

// A switch forgets exactly the connections that are named.
func TestFlushConnections(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	s.ofctl("add-flow", "table=0,ip,actions=ct(commit,zone=5),2")
	s.ofctl("add-flow", "table=0,ipv6,actions=ct(commit,zone=5),2")
	packet := func(proto, src, dst string, port int) {
		frame := fmt.Sprintf("in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=%s,dst=%s,proto=%s,tos=0,ttl=64,frag=no)", src, dst, proto)
		if strings.Contains(src, ":") {
			frame = fmt.Sprintf("in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x86dd),ipv6(src=%s,dst=%s,label=0,proto=%s,tclass=0,hlimit=64,frag=no)", src, dst, proto)
		}
		switch proto {
		case "1":
			frame += ",icmp(type=8,code=0)"
		case "58":
			frame += ",icmpv6(type=128,code=0)"
		case "6":
			frame += fmt.Sprintf(",tcp(src=%d,dst=80),tcp_flags(syn)", port)
		default:
			frame += fmt.Sprintf(",udp(src=%d,dst=53)", port)
		}
		s.appctl("netdev-dummy/receive", "p1", frame)
	}
	packet("17", "10.1.0.2", "10.1.0.3", 1000)
	packet("6", "10.1.0.9", "10.1.0.8", 1005)
	packet("6", "10.1.0.9", "10.1.0.8", 1006)
	packet("1", "10.1.0.9", "10.1.0.8", 0)
	packet("6", "10.1.0.3", "10.1.0.2", 1001)
	packet("17", "10.1.0.3", "10.1.0.4", 1002)
	packet("17", "fd00::2", "fd00::3", 1003)
	packet("17", "fd00::3", "fd00::4", 1004)
	packet("58", "fd00::2", "fd00::3", 0)
	entries := func() string { return s.appctl("dpctl/dump-conntrack") }
	if got := strings.Count(entries(), "orig="); got != 9 {
		t.Fatalf("%d connections were made:\n%s", got, entries())
	}
	err := c.FlushConnections(context.Background(), []Connections{
		{Zone: 5, Protocol: 6, Source: nine, Destination: eight, SourcePort: 1005, DestinationPort: 80},
		{Zone: 5, Protocol: 1, Source: nine, Destination: eight, Query: &ICMPQuery{Type: 8}},
		{Zone: 5, Source: flushV4}, {Zone: 5, Destination: flushV4}, {Zone: 5, Protocol: 17, Source: flushV6}, {Zone: 5, Protocol: 6, Destination: flushV6}, {Zone: 6, Source: other4},
	})
	if err != nil {
		t.Fatal(err)
	}
	left := entries()
	if strings.Count(left, "orig=") != 4 || !strings.Contains(left, "sport=1006") || !strings.Contains(left, "sport=1002") || !strings.Contains(left, "sport=1004") || !strings.Contains(left, "icmpv6") {
		t.Errorf("what is left:\n%s", left)
	}
}
