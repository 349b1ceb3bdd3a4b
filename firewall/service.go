package firewall

import (
	"cmp"
	"slices"
)

// serviceSet returns the matches whose union is exactly the union of services, sorted, without those that
// another one covers. It is the one zero match when there are no services.
func serviceSet(services []Service) []ServiceMatch {
	if len(services) == 0 {
		return []ServiceMatch{{}}
	}
	ports := make(map[Protocol][]PortRange)
	var out []ServiceMatch
	for _, s := range services {
		switch s.Protocol {
		case 0: // no packet has protocol 0 (RFC 8200: hop-by-hop options, never a workload's payload)
		case TCP, UDP, SCTP:
			r := s.Ports
			if r.First == 0 {
				r = PortRange{0, 65535}
			}
			ports[s.Protocol] = append(ports[s.Protocol], r)
		case ICMP, ICMPv6:
			if s.Type <= 255 && s.Code <= 255 {
				out = append(out, ServiceMatch{Protocol: s.Protocol, Type: max(s.Type, -1), Code: max(s.Code, -1)})
			}
		default:
			out = append(out, ServiceMatch{Protocol: s.Protocol})
		}
	}
	for protocol, ranges := range ports {
		for _, r := range mergeRanges(ranges) {
			out = appendPortMasks(out, protocol, r)
		}
	}
	slices.SortFunc(out, compareServices)
	out = slices.Compact(out)
	var widest []ServiceMatch
	for _, m := range out {
		if !coveredByOther(m, out) {
			widest = append(widest, m)
		}
	}
	return widest
}

// coveredByOther reports whether an ICMP match lies inside a wider one of all. Port matches are disjoint.
func coveredByOther(m ServiceMatch, all []ServiceMatch) bool {
	return (m.Protocol == ICMP || m.Protocol == ICMPv6) && slices.ContainsFunc(all, func(w ServiceMatch) bool {
		return w != m && w.Protocol == m.Protocol && (w.Type < 0 || w.Type == m.Type) && (w.Code < 0 || w.Code == m.Code)
	})
}

func compareServices(a, b ServiceMatch) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port), cmp.Compare(a.PortMask, b.PortMask),
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Code, b.Code))
}

// mergeRanges joins overlapping and adjacent ranges, and drops empty ones; it reorders its argument.
func mergeRanges(ranges []PortRange) []PortRange {
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	var out []PortRange
	for _, r := range ranges {
		switch n := len(out); {
		case r.First > r.Last:
		case n > 0 && int(r.First) <= int(out[n-1].Last)+1:
			out[n-1].Last = max(out[n-1].Last, r.Last)
		default:
			out = append(out, r)
		}
	}
	return out
}

// appendPortMasks appends the fewest bitwise matches that cover r: at most 30.
func appendPortMasks(to []ServiceMatch, protocol Protocol, r PortRange) []ServiceMatch {
	for at, end := uint32(r.First), uint32(r.Last); at <= end; {
		size := uint32(1)
		for at&(2*size-1) == 0 && at+2*size-1 <= end && size < 1<<16 {
			size *= 2
		}
		to = append(to, ServiceMatch{Protocol: protocol, Port: uint16(at), PortMask: uint16(1<<16 - size)})
		at += size
	}
	return to
}
