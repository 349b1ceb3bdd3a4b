package pipeline_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
)

// outcome is what became of a traced packet: the reason of its drop, or the port that it left by with the VNI
// and the peer if that is the tunnel.
type outcome struct {
	drop  pipeline.Reason
	ports []uint32
	rule  uint32 // the rule that denied it
	asks  bool   // it went to the agent
	text  string
}

var (
	cookieText = regexp.MustCompile(`cookie (0x[0-9a-f]+)`)
	outputText = regexp.MustCompile(`^\s+(?:output:(\d+)|-> output port is (\d+)|(IN_PORT))$`)
)

func (s *ovs) trace(t testing.TB, packet string, ctStates ...string) outcome {
	t.Helper()
	params := []string{"br0", packet}
	for _, c := range ctStates {
		params = append(params, "--ct-next", c)
	}
	out := outcome{text: s.appctl(t, "ofproto/trace", params...)}
	port := regexp.MustCompile(`in_port=(\d+)`).FindStringSubmatch(packet)
	for line := range strings.Lines(ofNormalSize(out.text)) {
		line = strings.TrimRight(line, "\n")
		if m := cookieText.FindStringSubmatch(line); m != nil {
			v, err := strconv.ParseUint(m[1], 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := pipeline.ParseCookie(v); ok && c.Drop != 0 && out.drop == 0 {
				out.drop, out.rule = c.Drop, c.Object
			} else if ok && c.Kind == pipeline.KindQuestion {
				out.asks = true
			}
		}
		if m := outputText.FindStringSubmatch(line); m != nil {
			text := m[1] + m[2]
			if m[3] != "" {
				text = port[1]
			}
			p, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			out.ports = append(out.ports, uint32(p))
		}
	}
	return out
}

// ofNormalSize leaves out of a trace what would become of the packet if it were too large for the tunnel: the first of
// the two ways behind check_pkt_larger.
func ofNormalSize(text string) string {
	var out strings.Builder
	for ways := 2; text != ""; {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		switch strings.TrimSpace(line) {
		case "check_pkt_larger(1414)->NXM_NX_REG0[8]":
			ways = 0
		case fmt.Sprintf("resubmit(,%d)", pipeline.TableFit):
			ways++
		}
		if ways != 1 {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// String is the drop's reason, or "to PORT".
func (o outcome) String() string {
	switch {
	case o.asks && o.drop == 0 && len(o.ports) == 0:
		return "to the agent"
	case o.drop != 0 && len(o.ports) == 0:
		return o.drop.String()
	case o.drop == 0 && len(o.ports) == 1:
		return fmt.Sprintf("to %d", o.ports[0])
	}
	return fmt.Sprintf("drop %v and output to %v", o.drop, o.ports)
}

// Frames of the fixture's workloads. A later match of the same field stands: append what differs.
const (
	web4   = "in_port=1,dl_src=02:aa:00:00:00:01,dl_dst=02:77:00:00:00:01,"
	db4    = "in_port=2,dl_src=02:aa:00:00:00:02,dl_dst=02:77:00:00:00:01,"
	log4   = "in_port=4,dl_src=02:aa:00:00:00:04,dl_dst=02:77:00:00:00:01,"
	odd4   = "in_port=6,dl_src=02:aa:00:00:00:06,dl_dst=02:77:00:00:00:01,"
	rival4 = "in_port=5,dl_src=02:aa:00:00:00:05,dl_dst=02:77:00:00:00:01,"
	group6 = "in_port=1,dl_src=02:aa:00:00:00:01,dl_dst=33:33:ff:00:00:01,"
	bcast  = "in_port=1,dl_src=02:aa:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,"
	fromB  = "in_port=100,tun_src=192.0.2.2,tun_dst=192.0.2.1,dl_src=02:77:00:00:00:01,dl_dst=02:77:00:00:00:01,"
	fromC  = "in_port=100,tun_src=192.0.2.3,tun_dst=192.0.2.1,dl_src=02:77:00:00:00:01,dl_dst=02:77:00:00:00:01,"
	fromX  = "in_port=100,tun_src=192.0.2.9,tun_dst=192.0.2.1,dl_src=02:77:00:00:00:01,dl_dst=02:77:00:00:00:01,"
	ns     = "icmp6,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,ipv6_dst=ff02::1:ff00:1,"
	na     = "icmp6,nw_ttl=255,icmpv6_type=136,icmpv6_code=0,ipv6_dst=ff02::1,"
	tcp    = "tcp,nw_ttl=64,tcp_src=40000,"
)

// TestTrace follows one packet a row through a real switch's tables.
func TestTrace(t *testing.T) {
	s := startOVS(t, 7)
	in := fixture()
	in.Attachments = append(in.Attachments, pipeline.Attachment{Interface: "v7", OFPort: 7, Network: prod, Identity: webID, MAC: mac(7), Addresses: addrs("fd00:1::17")})
	s.install(t, pipeline.Render(in))
	one, est, rpl := []string{"trk,new"}, []string{"trk,est"}, []string{"trk,est,rpl"}
	for _, tt := range []struct {
		name, packet string
		ct           []string
		want         string
	}{
		// Who it claims to be.
		{"unknown port", "in_port=77,ip", nil, "unknown-port"},
		{"foreign MAC", "in_port=1,dl_src=02:aa:00:00:00:02,ip", nil, "spoof-mac"},
		{"tagged", "in_port=1,dl_src=02:aa:00:00:00:01,dl_vlan=5", nil, "vlan"},
		{"not IP", "in_port=1,dl_src=02:aa:00:00:00:01,dl_type=0x88cc", nil, "not-ip"},
		{"foreign IPv4", web4 + tcp + "nw_src=10.0.0.13,nw_dst=10.0.1.12,tcp_dst=5432", nil, "spoof-ipv4"},
		{"foreign IPv6", web4 + "tcp6,nw_ttl=64,ipv6_src=fd00:1::13,ipv6_dst=fd00:1::41,tcp_dst=80", nil, "spoof-ipv6"},
		{"ARP: foreign spa", bcast + "arp,arp_op=1,arp_spa=10.0.0.13,arp_tpa=10.0.0.1,arp_sha=02:aa:00:00:00:01", nil, "spoof-arp"},
		{"ARP: foreign sha", bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.0.0.1,arp_sha=02:aa:00:00:00:02", nil, "spoof-arp"},
		{"ARP: forged reply", bcast + "arp,arp_op=2,arp_spa=10.0.0.1,arp_tpa=10.0.0.13,arp_sha=02:aa:00:00:00:01", nil, "spoof-arp"},
		{"ARP: probe", bcast + "arp,arp_op=1,arp_spa=0.0.0.0,arp_tpa=10.0.0.11,arp_sha=02:aa:00:00:00:01", nil, "dad-probe"},
		{"ARP: announcement", bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.0.0.11,arp_sha=02:aa:00:00:00:01", nil, "arp-gratuitous"},
		{"ND: foreign source", group6 + ns + "ipv6_src=fd00:1::13,nd_target=fd00:1::1,nd_sll=02:aa:00:00:00:01", nil, "spoof-ipv6"},
		{"ND: foreign sll", group6 + ns + "ipv6_src=fd00:1::11,nd_target=fd00:1::1,nd_sll=02:aa:00:00:00:02", nil, "spoof-nd"},
		{"ND: forged advertisement", group6 + na + "ipv6_src=fd00:1::11,nd_target=fd00:1::1,nd_tll=02:aa:00:00:00:01", nil, "spoof-nd"},
		{"ND: foreign tll", group6 + na + "ipv6_src=fd00:1::11,nd_target=fd00:1::11,nd_tll=02:aa:00:00:00:02", nil, "spoof-nd"},
		{"ND: own advertisement", group6 + na + "ipv6_src=fd00:1::11,nd_target=fd00:1::11,nd_tll=02:aa:00:00:00:01", nil, "nd-unsolicited"},
		{"ND: probe", group6 + ns + "ipv6_src=::,nd_target=fd00:1::11", nil, "dad-probe"},
		{"DHCP request", bcast + "udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", nil, "to the agent"},
		{"DHCP request, own address", bcast + "udp,nw_src=10.0.0.11,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", nil, "to the agent"},
		{"DHCP renewal", web4 + "udp,nw_src=10.0.0.11,nw_dst=10.0.0.1,udp_src=68,udp_dst=67", nil, "to the agent"},
		{"DHCP request, foreign address", bcast + "udp,nw_src=10.0.0.13,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", nil, "spoof-ipv4"},
		{"DHCP request to a neighbour", web4 + "udp,nw_src=10.0.0.11,nw_dst=10.0.0.13,udp_src=68,udp_dst=67", nil, "dhcp-unanswered"},
		{"DHCP request from nobody to a neighbour", web4 + "udp,nw_src=0.0.0.0,nw_dst=10.0.0.13,udp_src=68,udp_dst=67", nil, "dhcp-unanswered"},
		{"DHCP request, foreign MAC", "in_port=1,dl_src=02:aa:00:00:00:02,dl_dst=ff:ff:ff:ff:ff:ff,udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", nil, "spoof-mac"},
		{"DHCP request without IPv4", "in_port=7,dl_src=02:aa:00:00:00:07,dl_dst=ff:ff:ff:ff:ff:ff,udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", nil, "dhcp-unanswered"},
		{"DHCPv6 request", group6 + "udp6,ipv6_src=fe80::11,ipv6_dst=ff02::1:2,udp_src=546,udp_dst=547", nil, "dhcp-unanswered"},
		{"DHCP server", web4 + "udp,nw_src=10.0.0.11,nw_dst=10.0.0.13,udp_src=67,udp_dst=68", nil, "dhcp-server"},
		{"DHCPv6 server", web4 + "udp6,ipv6_src=fd00:1::11,ipv6_dst=fd00:1::13,udp_src=547,udp_dst=546", nil, "dhcp-server"},
		{"router advertisement", group6 + "icmp6,icmpv6_type=134,ipv6_src=fe80::1,ipv6_dst=ff02::1", nil, "ra-guard"},
		{"redirect", group6 + "icmp6,icmpv6_type=137,ipv6_src=fd00:1::11,ipv6_dst=fd00:1::13", nil, "ra-guard"},
		{"router solicitation", group6 + "icmp6,icmpv6_type=133,ipv6_src=fe80::11,ipv6_dst=ff02::2", nil, "ra-unanswered"},
		{"link-local", web4 + "tcp6,nw_ttl=64,ipv6_src=fe80::11,ipv6_dst=fd00:1::13,tcp_dst=80", nil, "link-local"},
		{"MLD", group6 + "icmp6,icmpv6_type=143,ipv6_src=fe80::11,ipv6_dst=ff02::16", nil, "multicast"},
		{"multicast", bcast + "udp,nw_src=10.0.0.11,nw_dst=224.0.0.251,udp_dst=5353", nil, "multicast"},
		{"to another MAC", "in_port=1,dl_src=02:aa:00:00:00:01,dl_dst=02:aa:00:00:00:03," + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80", nil, "not-routed"},

		// Answers.
		{"ARP for the gateway", bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.0.0.1,arp_sha=02:aa:00:00:00:01", nil, "to 1"},
		{"ARP for anybody", bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.0.1.250,arp_sha=02:aa:00:00:00:01", nil, "to 1"},
		{"ARP outside", bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.9.0.1,arp_sha=02:aa:00:00:00:01", nil, "arp-unanswered"},
		{"ND for the gateway", group6 + ns + "ipv6_src=fd00:1::11,nd_target=fd00:1::1,nd_sll=02:aa:00:00:00:01", nil, "to 1"},
		{"ND from link-local", group6 + ns + "ipv6_src=fe80::11,nd_target=fd00:1::99,nd_sll=02:aa:00:00:00:01", nil, "to 1"},
		{"ND for the router's link-local", group6 + ns + "ipv6_src=fe80::11,nd_target=fe80::77:ff:fe00:1,nd_sll=02:aa:00:00:00:01", nil, "to 1"},
		{"ND outside", group6 + ns + "ipv6_src=fd00:1::11,nd_target=fd00:2::1,nd_sll=02:aa:00:00:00:01", nil, "nd-unanswered"},
		{"ping the gateway", web4 + "icmp,nw_ttl=64,nw_src=10.0.0.11,nw_dst=10.0.0.1,icmp_type=8", nil, "to 1"},
		{"ping the other gateway", web4 + "icmp,nw_ttl=64,nw_src=10.0.0.11,nw_dst=10.0.1.1,icmp_type=8", nil, "to 1"},
		{"ping the gateway, IPv6", web4 + "icmp6,nw_ttl=64,ipv6_src=fd00:1::11,ipv6_dst=fd00:1::1,icmpv6_type=128,icmpv6_code=0", nil, "to 1"},
		{"ping the router's link-local", web4 + "icmp6,nw_ttl=64,ipv6_src=fe80::11,ipv6_dst=fe80::77:ff:fe00:1,icmpv6_type=128,icmpv6_code=0", nil, "to 1"},
		{"TCP to the gateway", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.1,tcp_dst=22", nil, "gateway"},

		// Local delivery, policy, peering.
		{"same subnet", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80", one, "to 3"},
		{"same subnet, IPv6", web4 + "tcp6,nw_ttl=64,ipv6_src=fd00:1::11,ipv6_dst=fd00:1::13,tcp_dst=80", one, "to 3"},
		{"same subnet, last hop", web4 + "tcp,nw_ttl=1,nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80", one, "to 3"},
		{"other subnet, allowed", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.1.12,tcp_dst=5433", one, "to 2"},
		{"other subnet, denied", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.1.12,tcp_dst=5434", one, "policy-deny"},
		{"other subnet, ttl", web4 + "tcp,nw_ttl=1,nw_src=10.0.0.11,nw_dst=10.0.1.12,tcp_dst=5432", one, "ttl-expired"},
		{"established", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.1.12,tcp_dst=22", est, "to 2"},
		{"related", web4 + "icmp,nw_ttl=64,icmp_type=3,nw_src=10.0.0.11,nw_dst=10.0.1.12", []string{"trk,rel"}, "to 2"},
		{"reply", db4 + tcp + "nw_src=10.0.1.12,nw_dst=10.0.0.11,tcp_dst=22", rpl, "to 1"},
		{"invalid", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.1.12,tcp_dst=5432", []string{"trk,inv"}, "invalid"},
		{"peered network", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=5432", []string{"trk,new", "trk,new"}, "to 2"},
		{"peered network, denied", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=22", []string{"trk,new", "trk,new"}, "policy-deny"},
		{"peered network, known to both zones", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=22", []string{"trk,est", "trk,est"}, "to 2"},
		{"peered network, known to one zone", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=22", []string{"trk,new", "trk,est"}, "policy-deny"},
		{"peered network, known to the other", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=22", []string{"trk,est", "trk,new"}, "policy-deny"},
		{"peered network, invalid there", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.0.1.12,tcp_dst=22", []string{"trk,est", "trk,inv"}, "invalid"},
		{"from an unknown identity", odd4 + tcp + "nw_src=10.9.0.16,nw_dst=10.9.0.14,tcp_dst=80", one, "unknown-identity"},
		{"to an unknown identity", log4 + tcp + "nw_src=10.9.0.14,nw_dst=10.9.0.16,tcp_dst=80", one, "unknown-identity"},
		{"no peering", rival4 + tcp + "nw_src=10.0.0.11,nw_dst=10.9.0.14,tcp_dst=80", one, "no-route"},
		{"other tenant's address", rival4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80", one, "no-address"},
		{"nobody there", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.20,tcp_dst=80", one, "no-address"},
		{"own fixed address not attached", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.71,tcp_dst=80", one, "no-address"},
		{"outside", web4 + tcp + "nw_src=10.0.0.11,nw_dst=203.0.113.1,tcp_dst=80", one, "no-route"},

		// To peers: no policy here.
		{"to a peer", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.65,tcp_dst=22", one, "to 100"},
		{"to a peer, established", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.65,tcp_dst=22", est, "to 100"},
		{"to a peer's network", web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.9.0.65,tcp_dst=22", one, "to 100"},
		{"to a peer, IPv6", web4 + "tcp6,nw_ttl=64,ipv6_src=fd00:1::11,ipv6_dst=fd00:1::41,tcp_dst=80", one, "to 100"},

		// From peers.
		{"unknown peer", fromX + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "unknown-peer"},
		{"unknown VNI", fromB + "tun_id=0x901," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "unknown-vni"},
		{"tunnel: not IP", fromB + "tun_id=0x101,arp,arp_op=1,arp_spa=10.0.0.65,arp_tpa=10.0.0.11", nil, "not-ip"},
		{"outside its block", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.130,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"our own block", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.13,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"another peer's block", fromC + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"another network's block", fromC + "tun_id=0x101," + tcp + "nw_src=10.0.0.129,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"fixed address elsewhere", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.70,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"fixed address", fromC + "tun_id=0x101," + tcp + "nw_src=10.0.0.70,nw_dst=10.0.0.11,tcp_dst=80", one, "to 1"},
		{"from a peer", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.1.12,tcp_dst=5432", one, "to 2"},
		{"from a peer, last hop", fromB + "tun_id=0x101,tcp,nw_ttl=1,nw_src=10.0.0.65,nw_dst=10.0.1.12,tcp_dst=5432", one, "to 2"},
		{"from a peer, denied", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.1.12,tcp_dst=22", one, "policy-deny"},
		{"from a peer, other identity", fromB + "tun_id=0x102," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.1.12,tcp_dst=5432", one, "policy-deny"},
		{"from a peer, established", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.1.12,tcp_dst=22", est, "to 2"},
		{"from a peer, unknown identity", fromB + "tun_id=0x1ff," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", one, "unknown-identity"},
		{"from a peer's network", fromB + "tun_id=0x201," + tcp + "nw_src=10.9.0.65,nw_dst=10.0.1.12,tcp_dst=5432", one, "to 2"},
		{"from a peer's network, established", fromB + "tun_id=0x201," + tcp + "nw_src=10.9.0.65,nw_dst=10.0.1.12,tcp_dst=22", est, "to 2"},
		{"from a peer's network, reply", fromB + "tun_id=0x201," + tcp + "nw_src=10.9.0.65,nw_dst=10.0.1.12,tcp_dst=22", rpl, "to 2"},
		{"from a peer to a peer", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.70,tcp_dst=80", nil, "no-address"},
		{"from a peer to nobody", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.30,tcp_dst=80", nil, "no-address"},
		{"same addresses, other tenant", fromC + "tun_id=0x301," + tcp + "nw_src=10.0.0.129,nw_dst=10.0.0.11,tcp_dst=80", one, "to 5"},
		{"not across tenants", fromC + "tun_id=0x301," + tcp + "nw_src=10.0.0.129,nw_dst=10.0.0.13,tcp_dst=80", nil, "no-address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.trace(t, tt.packet, tt.ct...); got.String() != tt.want {
				t.Errorf("%v, want %s\n%s", got, tt.want, got.text)
			}
		})
	}
}

// TestNoPlanNoTraffic: without a plan, and with attachments that wait for one, everything is dropped.
func TestNoPlanNoTraffic(t *testing.T) {
	s := startOVS(t, 5)
	for name, in := range map[string]pipeline.Input{"nothing": {}, "attached": {Attachments: fixture().Attachments, TunnelPort: tunnelPort}} {
		s.install(t, pipeline.Render(in))
		for _, packet := range []string{
			web4 + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80",
			"in_port=1,dl_src=02:aa:00:00:00:01,dl_dst=00:00:00:00:00:00," + tcp + "nw_src=10.0.0.11,nw_dst=10.0.0.13,tcp_dst=80",
			bcast + "arp,arp_op=1,arp_spa=10.0.0.11,arp_tpa=10.0.0.1,arp_sha=02:aa:00:00:00:01",
			group6 + ns + "ipv6_src=fd00:1::11,nd_target=fd00:1::1,nd_sll=02:aa:00:00:00:01",
			fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80",
		} {
			if got := s.trace(t, packet, "trk,est"); got.drop == 0 || len(got.ports) > 0 {
				t.Errorf("%s: %s: %v\n%s", name, packet, got, got.text)
			}
		}
	}
}
