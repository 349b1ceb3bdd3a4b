package cli

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Ports and hop limits of traced packets: anything that workloads use.
const (
	tracePort = 40000
	traceTTL  = 64
)

// flowText writes a packet after its link layer in the syntax of ofproto/trace (ovs-fields(7)).
func flowText(w audit.Witness) (string, error) {
	p, _, err := audit.ParseService(w.Service)
	if err != nil {
		return "", err
	}
	v6 := w.Source.Is6()
	ends := fmt.Sprintf("nw_src=%s,nw_dst=%s", w.Source, w.Destination)
	six := ""
	if v6 {
		ends, six = fmt.Sprintf("ipv6_src=%s,ipv6_dst=%s", w.Source, w.Destination), "6"
	}
	ttl := fmt.Sprintf("nw_ttl=%d", traceTTL)
	switch {
	case p.Protocol == firewall.TCP:
		return fmt.Sprintf("tcp%s,%s,%s,tcp_src=%d,tcp_dst=%d", six, ttl, ends, tracePort, p.DstPort), nil
	case p.Protocol == firewall.UDP:
		return fmt.Sprintf("udp%s,%s,%s,udp_src=%d,udp_dst=%d", six, ttl, ends, tracePort, p.DstPort), nil
	case p.Protocol == firewall.SCTP:
		return fmt.Sprintf("sctp%s,%s,%s,sctp_src=%d,sctp_dst=%d", six, ttl, ends, tracePort, p.DstPort), nil
	case p.Protocol == firewall.ICMP && !v6:
		return fmt.Sprintf("icmp,%s,%s,icmp_type=%d,icmp_code=%d", ttl, ends, p.Type, p.Code), nil
	case p.Protocol == firewall.ICMPv6 && v6:
		return fmt.Sprintf("icmp6,%s,%s,icmpv6_type=%d,icmpv6_code=%d", ttl, ends, p.Type, p.Code), nil
	case v6:
		return fmt.Sprintf("ipv6,nw_proto=%d,%s,%s", p.Protocol, ttl, ends), nil
	}
	return fmt.Sprintf("ip,nw_proto=%d,%s,%s", p.Protocol, ttl, ends), nil
}

// linkText writes where a packet comes from, and its link layer.
type linkText struct {
	port     uint32
	src, dst string
	// tunnel is set for what comes from another node.
	tunnel           bool
	identity         uint32
	vtepSrc, vtepDst netip.Addr
}

func (l linkText) String() string {
	text := fmt.Sprintf("in_port=%d,dl_src=%s,dl_dst=%s,", l.port, l.src, l.dst)
	if l.tunnel {
		family := ""
		if l.vtepSrc.Is6() {
			family = "ipv6_"
		}
		text = fmt.Sprintf("in_port=%d,tun_id=%#x,tun_%ssrc=%s,tun_%sdst=%s,dl_src=%s,dl_dst=%s,", l.port, l.identity, family, l.vtepSrc, family, l.vtepDst, l.src, l.dst)
	}
	return text
}

var (
	traceCookie = regexp.MustCompile(`cookie (0x[0-9a-f]+)`)
	traceOutput = regexp.MustCompile(`^\s+(?:output:\S+|-> output port is \S+|IN_PORT)$`)
)

// traced is what a switch said of a packet.
type traced struct {
	drop  pipeline.Reason
	rules []uint32 // that decided, in order, and the one that denied
	sent  bool     // to a port
	asks  bool     // it goes to the agent
}

// readTrace reads what ofproto/trace prints about the fabric's flows.
func readTrace(text string) traced {
	var t traced
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		t.sent = t.sent || traceOutput.MatchString(line)
		m := traceCookie.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		v, err := strconv.ParseUint(m[1], 0, 64)
		if err != nil {
			continue // more digits than a cookie has: none of the fabric's
		}
		c, ok := pipeline.ParseCookie(v)
		switch {
		case !ok:
		case c.Kind == pipeline.KindTally:
			t.rules = append(t.rules, c.Object)
		case c.Kind == pipeline.KindQuestion:
			t.asks = true
		case c.Drop != 0 && t.drop == 0:
			t.drop = c.Drop
		}
	}
	return t
}

// crossing says what became of a packet at a node; remote says that its destination is on another one.
func (t traced) crossing(c audit.Crossing, remote bool, rules map[uint32]audit.RuleRef) audit.Crossing {
	for _, id := range t.rules {
		r, ok := rules[id]
		if !ok {
			r = audit.RuleRef{ID: id, Policy: fmt.Sprintf("rule %#x", id), Rule: "that the present policies lack"}
		}
		c.Rules = append(c.Rules, r)
	}
	switch {
	case t.sent && remote:
		c.Outcome = audit.Forwarded
	case t.sent:
		c.Outcome = audit.Delivered
	case t.drop != 0:
		c.Outcome, c.Reason = audit.Dropped, t.drop.String()
	case t.asks:
		c.Outcome = audit.ToAgent
	default:
		c.Outcome, c.Reason = audit.Dropped, "no flow of the fabric says why"
	}
	return c
}

// placeOf returns the attachment that has an address of a network.
func placeOf(list []audit.Attachment, network fabric.NetworkRef, a netip.Addr) (audit.Attachment, bool) {
	for _, at := range list {
		if at.Network != network.String() {
			continue
		}
		for _, p := range at.Addresses {
			if p.Addr() == a {
				return at, true
			}
		}
	}
	return audit.Attachment{}, false
}
