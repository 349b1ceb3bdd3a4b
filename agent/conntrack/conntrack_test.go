package conntrack_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weftfabric/weft/agent/conntrack"
	"github.com/weftfabric/weft/wire/openflow"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestParse reads lines as dpctl/dump-conntrack of Open vSwitch 3.1 writes them.
func TestParse(t *testing.T) {
	const text = `
tcp,orig=(src=10.1.0.2,dst=10.1.0.3,sport=40000,dport=80),reply=(src=10.1.0.3,dst=10.1.0.2,sport=80,dport=40000),zone=7,labels=0x1020001010000000200000001,protoinfo=(state=ESTABLISHED)
udp,orig=(src=fd00::2,dst=fd00::3,sport=1003,dport=53),reply=(src=fd00::3,dst=fd00::2,sport=53,dport=1003),zone=65534,mark=9,labels=0x80000000000000000000000000000000
icmp,orig=(src=10.1.0.2,dst=10.1.0.3,id=77,type=8,code=0),reply=(src=10.1.0.3,dst=10.1.0.2,id=77,type=0,code=0),zone=5
icmpv6,orig=(src=fd00::2,dst=fd00::3,id=1,type=128,code=0),reply=(src=fd00::3,dst=fd00::2,id=1,type=129,code=0),zone=5
47,orig=(src=10.1.0.2,dst=10.1.0.3,sport=0,dport=0),reply=(src=10.1.0.3,dst=10.1.0.2,sport=0,dport=0),zone=5
`
	got, err := conntrack.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []conntrack.Connection{
		{Zone: 7, Protocol: 6, Src: ip("10.1.0.2"), Dst: ip("10.1.0.3"), SrcPort: 40000, DstPort: 80, Label: conntrack.Label{Egress: 1, Ingress: 2, Sender: 0x101, Receiver: 0x102}},
		{Zone: 65534, Protocol: 17, Src: ip("fd00::2"), Dst: ip("fd00::3"), SrcPort: 1003, DstPort: 53, Label: conntrack.Label{Pending: true}},
		{Zone: 5, Protocol: 1, Src: ip("10.1.0.2"), Dst: ip("10.1.0.3"), ID: 77, Type: 8},
		{Zone: 5, Protocol: 58, Src: ip("fd00::2"), Dst: ip("fd00::3"), ID: 1, Type: 128},
		{Zone: 5, Protocol: 47, Src: ip("10.1.0.2"), Dst: ip("10.1.0.3")},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	var flush []openflow.Connections
	for _, c := range got {
		if f, ok := c.Flush(); ok {
			flush = append(flush, f)
		}
	}
	if len(flush) != 4 || flush[2].Query == nil || flush[0].DestinationPort != 80 || slices.ContainsFunc(flush, func(c openflow.Connections) bool { return c.Protocol == 58 }) {
		t.Errorf("to flush: %+v", flush)
	}
	for _, bad := range []string{"nonsense", "tcp,orig=(src=10.1.0.2", "tcp,orig=(src=ten,dst=10.1.0.3)", "udp,orig=(src=10.1.0.2,dst=10.1.0.3,sport=70000)",
		"tcp,orig=(src=10.1.0.2,dst=10.1.0.3),zone=70000", "tcp,orig=(src=10.1.0.2,dst=10.1.0.3),labels=0x" + strings.Repeat("f", 33)} {
		if _, err := conntrack.Parse(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tcp,orig=(src=10.1.0.2,dst=10.1.0.3,sport=40000,dport=80),reply=(src=10.1.0.3,dst=10.1.0.2,sport=80,dport=40000),zone=7,labels=0x1,protoinfo=(state=ESTABLISHED)")
	f.Add("icmp,orig=(src=10.1.0.2,dst=10.1.0.3,id=77,type=8,code=0),reply=()")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := conntrack.Parse(text)
		for _, c := range list {
			if err == nil {
				c.Flush()
			}
		}
	})
}
