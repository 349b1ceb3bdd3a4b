package audit

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// parseService reads a service as users write it: tcp/80, udp/53, sctp/7, icmp/8, icmp/3/4, icmpv6/128, or
// protocol/47. The result is a packet without ends; families are those that it can have.
func parseService(s string) (p firewall.Packet, families []reach.Family, err error) {
	name, rest, _ := strings.Cut(strings.ToLower(s), "/")
	families = []reach.Family{reach.IPv4, reach.IPv6}
	number := func(text, what string, limit int) int {
		n, e := strconv.Atoi(text)
		if (e != nil || n < 0 || n > limit) && err == nil {
			err = fmt.Errorf("service %q: %s %q is not in 0-%d: write tcp/80, udp/53, icmp/8, icmpv6/128 or protocol/47", s, what, text, limit)
		}
		return n
	}
	switch name {
	case "tcp", "udp", "sctp":
		p.Protocol = map[string]firewall.Protocol{"tcp": firewall.TCP, "udp": firewall.UDP, "sctp": firewall.SCTP}[name]
		p.DstPort = uint16(number(rest, "port", 65535))
	case "icmp", "icmpv6":
		p.Protocol, families = firewall.ICMP, families[:1]
		if name == "icmpv6" {
			p.Protocol, families = firewall.ICMPv6, []reach.Family{reach.IPv6}
		}
		typ, code, withCode := strings.Cut(rest, "/")
		p.Type = uint8(number(typ, "type", 255))
		if withCode {
			p.Code = uint8(number(code, "code", 255))
		}
	case "protocol":
		p.Protocol = firewall.Protocol(number(rest, "protocol", 255))
	default:
		err = fmt.Errorf("service %q is not known: write tcp/80, udp/53, sctp/7, icmp/8, icmpv6/128 or protocol/47", s)
	}
	return p, families, err
}

// serviceText writes the service of a packet as parseService reads it.
func serviceText(p firewall.Packet) string {
	switch p.Protocol {
	case firewall.TCP:
		return fmt.Sprintf("tcp/%d", p.DstPort)
	case firewall.UDP:
		return fmt.Sprintf("udp/%d", p.DstPort)
	case firewall.SCTP:
		return fmt.Sprintf("sctp/%d", p.DstPort)
	case firewall.ICMP:
		return fmt.Sprintf("icmp/%d/%d", p.Type, p.Code)
	case firewall.ICMPv6:
		return fmt.Sprintf("icmpv6/%d/%d", p.Type, p.Code)
	}
	return fmt.Sprintf("protocol/%d", p.Protocol)
}

// Packet returns the first packet of a connection between two declared workloads, from and to their lowest addresses of
// a family.
func (w *World) Packet(from, to, service string, v6 bool) (firewall.Packet, error) {
	p, _, err := parseService(service)
	if err != nil {
		return p, err
	}
	for _, end := range []struct {
		name string
		to   *firewall.Endpoint
	}{{from, &p.Src}, {to, &p.Dst}} {
		class, ok := w.workload(end.name)
		if !ok {
			return p, fmt.Errorf("workload %s is not declared", end.name)
		}
		var lowest netip.Addr
		for _, l := range w.Workloads {
			if l.Name != end.name {
				continue
			}
			for _, r := range l.ranges(w.Intent) {
				if r.First.Is6() == v6 && (!lowest.IsValid() || r.First.Less(lowest)) {
					lowest = r.First
				}
			}
		}
		if !lowest.IsValid() {
			return p, fmt.Errorf("workload %s has no address of this family", end.name)
		}
		*end.to = w.endpoint(class, lowest)
	}
	return p, nil
}
