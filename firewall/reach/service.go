package reach

import (
	"fmt"
	"strings"

	"github.com/weftfabric/weft/firewall"
)

// Family is IPv4 or IPv6.
type Family uint8

// The families.
const (
	IPv4 Family = iota + 1
	IPv6
)

// String returns "ipv4" or "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return fmt.Sprintf("family(%d)", uint8(f))
}

// The service line: each protocol that rules can narrow has a lane of 65,536 points, its destination ports, or
// type*256+code of ICMP. All other protocols share the last lane, a point for each protocol number; the points of
// protocols that have a lane are there too, so that the lane is one span, and no packet lies on them.
const (
	laneTCP uint32 = iota
	laneUDP
	laneSCTP
	laneICMP
	laneICMPv6
	laneOther
)

func lane(n, first, last uint32) Span { return Span{n<<16 | first, n<<16 | last} }

// laneOf returns the lane of a protocol in packets of a family. ICMP in an IPv6 packet, and ICMPv6 in an IPv4
// one, are protocols like any other.
func laneOf(p firewall.Protocol, f Family) uint32 {
	switch {
	case p == firewall.TCP:
		return laneTCP
	case p == firewall.UDP:
		return laneUDP
	case p == firewall.SCTP:
		return laneSCTP
	case p == firewall.ICMP && f == IPv4:
		return laneICMP
	case p == firewall.ICMPv6 && f == IPv6:
		return laneICMPv6
	}
	return laneOther
}

// PointOf returns the point of a packet on the service line.
func PointOf(p firewall.Packet) uint32 {
	f := IPv4
	if p.Src.Addr.Is6() {
		f = IPv6
	}
	switch l := laneOf(p.Protocol, f); l {
	case laneTCP, laneUDP, laneSCTP:
		return l<<16 | uint32(p.DstPort)
	case laneICMP, laneICMPv6:
		return l<<16 | uint32(p.Type)<<8 | uint32(p.Code)
	default:
		return l<<16 | uint32(p.Protocol)
	}
}

// PacketAt returns a packet at a point of the line, without its ends.
func PacketAt(x uint32) firewall.Packet {
	v := uint16(x)
	switch x >> 16 {
	case laneTCP:
		return firewall.Packet{Protocol: firewall.TCP, DstPort: v}
	case laneUDP:
		return firewall.Packet{Protocol: firewall.UDP, DstPort: v}
	case laneSCTP:
		return firewall.Packet{Protocol: firewall.SCTP, DstPort: v}
	case laneICMP:
		return firewall.Packet{Protocol: firewall.ICMP, Type: uint8(v >> 8), Code: uint8(v)}
	case laneICMPv6:
		return firewall.Packet{Protocol: firewall.ICMPv6, Type: uint8(v >> 8), Code: uint8(v)}
	}
	return firewall.Packet{Protocol: firewall.Protocol(v)}
}

// AllServices returns every packet of a family.
func AllServices(f Family) Set {
	var spans []Span
	for _, l := range []uint32{laneTCP, laneUDP, laneSCTP} {
		spans = append(spans, lane(l, 0, 65535))
	}
	if f == IPv4 {
		spans = append(spans, lane(laneICMP, 0, 65535))
	} else {
		spans = append(spans, lane(laneICMPv6, 0, 65535))
	}
	spans = append(spans, lane(laneOther, 0, 255))
	return setOf(spans)
}

// ServicesOf returns what services match in packets of a family; none stand for everything.
func ServicesOf(services []firewall.Service, f Family) Set {
	if len(services) == 0 {
		return AllServices(f)
	}
	var spans []Span
	for _, s := range services {
		l := laneOf(s.Protocol, f)
		switch {
		case s.Protocol == 0: // no packet that a workload sends has protocol 0
		case l != laneOther && l != laneICMP && l != laneICMPv6:
			switch {
			case s.Ports.First == 0:
				spans = append(spans, lane(l, 0, 65535))
			case s.Ports.First <= s.Ports.Last:
				spans = append(spans, lane(l, uint32(s.Ports.First), uint32(s.Ports.Last)))
			}
		case l != laneOther:
			spans = append(spans, icmpSpans(l, s)...)
		case s.Protocol != firewall.ICMP && s.Protocol != firewall.ICMPv6:
			spans = append(spans, lane(l, uint32(s.Protocol), uint32(s.Protocol)))
		}
	}
	return setOf(spans)
}

func icmpSpans(l uint32, s firewall.Service) []Span {
	types, codes := Span{0, 255}, Span{0, 255}
	if s.Type >= 0 {
		types = Span{uint32(s.Type), uint32(s.Type)}
	}
	if s.Code >= 0 {
		codes = Span{uint32(s.Code), uint32(s.Code)}
	}
	if types.Last > 255 || codes.Last > 255 {
		return nil // out of range: no packet has it
	}
	var out []Span
	for t := types.First; t <= types.Last; t++ {
		out = append(out, lane(l, t<<8|codes.First, t<<8|codes.Last))
	}
	return out
}

// Portions is a set of services of one protocol, as texts: the ports "80,443-445", the ICMP types "8/0"; empty for
// all of the protocol.
type Portions struct {
	Protocol string `json:"protocol"`
	Ports    string `json:"ports,omitempty"`
	Types    string `json:"types,omitempty"`
}

// String returns "tcp/80,443-445" or "icmp/8".
func (p Portions) String() string {
	if rest := p.Ports + p.Types; rest != "" {
		return p.Protocol + "/" + rest
	}
	return p.Protocol
}

// Describe returns a set of services as one entry per protocol, in the order of the line. Sets that hold every packet
// of a family are the entry "any".
func Describe(s Set) []Portions {
	for _, all := range []Set{AllServices(IPv4).Union(AllServices(IPv6)), AllServices(IPv4), AllServices(IPv6)} {
		if s.Equal(all) {
			return []Portions{{Protocol: "any"}}
		}
	}
	var out []Portions
	for l, name := range []string{"tcp", "udp", "sctp", "icmp", "icmpv6"} {
		part := s.Intersect(Set{lane(uint32(l), 0, 65535)})
		if part.IsEmpty() {
			continue
		}
		p := Portions{Protocol: name}
		if !part.Equal(Set{lane(uint32(l), 0, 65535)}) {
			if uint32(l) == laneICMP || uint32(l) == laneICMPv6 {
				p.Types = spansText(part, icmpText)
			} else {
				p.Ports = spansText(part, rangeText)
			}
		}
		out = append(out, p)
	}
	if other := s.Intersect(Set{lane(laneOther, 0, 255)}); !other.IsEmpty() {
		p := Portions{Protocol: "other"}
		if !other.Equal(Set{lane(laneOther, 0, 255)}) {
			p.Types = spansText(other, rangeText)
		}
		out = append(out, p)
	}
	return out
}

func spansText(s Set, text func(first, last uint32) string) string {
	var parts []string
	for _, span := range s {
		parts = append(parts, text(span.First&0xffff, span.Last&0xffff))
	}
	return strings.Join(parts, ",")
}

func rangeText(first, last uint32) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// icmpText writes whole types as "8" or "3-5", and codes as "3/1" or "3/1-2".
func icmpText(first, last uint32) string {
	switch {
	case first&0xff == 0 && last&0xff == 0xff:
		return rangeText(first>>8, last>>8)
	case first>>8 == last>>8:
		return fmt.Sprintf("%d/%s", first>>8, rangeText(first&0xff, last&0xff))
	}
	return fmt.Sprintf("%d/%d-%d/%d", first>>8, first&0xff, last>>8, last&0xff)
}
