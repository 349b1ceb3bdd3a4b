package verify

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/openflow"
)

// allowed asks firewall.Decide about one packet of each part of what src can send to dst, and returns the verdicts
// of one direction as rules about packets.
//
// The parts are cut by everything that the rules name: prefixes, protocols, ports, ICMP types. Within a part no rule
// can tell packets apart.
func (v *verifier) allowed(d firewall.Direction, src, dst firewall.Endpoint, f family) []rule[bool] {
	subject, peer, table, field := &src, &dst, src.Network, f.dst
	if d == firewall.Ingress {
		subject, peer, table, field = &dst, &src, dst.Network, f.src
	}
	peer.Network = 0 // an end without a network has no say
	all := v.relevant(table, d, *subject, *peer, f)
	tables := map[fabric.NetworkID]firewall.Table{table: {Network: table, Rules: all}}
	services := slicesOf(all, f)
	var out []rule[bool]
	for _, part := range prefixParts(all, f) {
		var where cube
		if part.prefix.Bits() > 0 {
			where = append(where, inPrefix(field, part.prefix))
		}
		subject.Addr, peer.Addr = part.example, part.example // the subject's own doesn't count
		for _, s := range services {
			p := s.packet
			p.Src, p.Dst = src, dst
			allowed := firewall.Decide(tables, p).Allowed
			for _, c := range s.cubes {
				out = append(out, rule[bool]{and(where, c...), allowed})
			}
		}
	}
	return out
}

// relevant returns the rules of a direction that can match packets between two endpoints, by what is known without
// their addresses and services.
func (v *verifier) relevant(n fabric.NetworkID, d firewall.Direction, subject, peer firewall.Endpoint, f family) []firewall.Rule {
	t := v.policy[n]
	var out []firewall.Rule
	list := append(slices.Clone(v.subjects[subjectKey{n, d, 0}]), v.subjects[subjectKey{n, d, subject.Identity}]...)
	slices.Sort(list)
	for _, i := range list {
		r := t.Rules[i]
		any := r.Peers.Any || slices.Contains(r.Peers.IDs, peer.Identity) ||
			slices.ContainsFunc(r.Peers.Blocks, func(b fabric.VNIBlock) bool { return b.Contains(peer.Identity) })
		if any {
			r.Peers.CIDRs = nil // the address doesn't count
		} else if !slices.ContainsFunc(r.Peers.CIDRs, func(c firewall.CIDR) bool { return f.has(c.Prefix.Addr()) }) {
			continue
		}
		out = append(out, r)
	}
	return out
}

// prefixPart is the addresses of a prefix that are in no longer one of the list before it.
type prefixPart struct {
	prefix  netip.Prefix
	example netip.Addr
}

// prefixParts cuts all addresses by the prefixes that rules name, the longest first.
func prefixParts(rules []firewall.Rule, f family) []prefixPart {
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if f.v6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	list := []netip.Prefix{all}
	for _, r := range rules {
		for _, c := range r.Peers.CIDRs {
			for _, p := range append([]netip.Prefix{c.Prefix}, c.Except...) {
				if f.has(p.Addr()) {
					list = append(list, p.Masked())
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(-cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	list = slices.Compact(list)
	var out []prefixPart
	for i, p := range list {
		if a, ok := outside(p, list[:i]); ok {
			out = append(out, prefixPart{p, a})
		}
	}
	return out
}

// outside returns an address of p in none of the longer prefixes.
func outside(p netip.Prefix, longer []netip.Prefix) (netip.Addr, bool) {
	candidates := []netip.Addr{p.Addr()}
	for _, l := range longer {
		if p.Contains(l.Addr()) {
			candidates = append(candidates, last(l).Next())
		}
	}
	for _, a := range candidates {
		if a.IsValid() && p.Contains(a) && !slices.ContainsFunc(longer, func(l netip.Prefix) bool { return l.Contains(a) }) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func last(p netip.Prefix) netip.Addr {
	v := or(openflow.AddrValue(p.Addr()), without(ones(p.Addr().BitLen()), openflow.Prefix(familyOf(p.Addr()).src, p).Mask))
	return addrOf(v, p.Addr().Is6())
}

// slice is a part of all services: one packet of it, and what its packets have in common.
type slice struct {
	packet firewall.Packet
	cubes  []cube
}

// slicesOf cuts all packets of a family by the services that rules name. A later slice lacks what is in an earlier
// one.
func slicesOf(rules []firewall.Rule, f family) []slice {
	named := make(map[firewall.Protocol][]firewall.Service)
	for _, r := range rules {
		for _, s := range r.Services {
			named[s.Protocol] = append(named[s.Protocol], s)
		}
	}
	var out []slice
	for _, p := range slices.Sorted(keys(named)) {
		proto := cube{f.any(), is(openflow.IPProto, uint64(p))}
		switch {
		case p == firewall.TCP || p == firewall.UDP || p == firewall.SCTP:
			out = append(out, portSlices(p, named[p], proto)...)
		case uint64(p) == f.icmp:
			out = append(out, icmpSlices(p, named[p], proto, f)...)
		case p != 0:
			out = append(out, slice{firewall.Packet{Protocol: p}, []cube{proto}})
		}
	}
	other := firewall.Protocol(255)
	for len(named[other]) > 0 {
		other--
	}
	return append(out, slice{firewall.Packet{Protocol: other}, []cube{nil}})
}

func keys[K comparable, V any](m map[K]V) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// portSlices cuts a protocol's ports where a range begins or ends.
func portSlices(p firewall.Protocol, services []firewall.Service, proto cube) []slice {
	field := map[firewall.Protocol]openflow.Field{firewall.TCP: openflow.TCPDst, firewall.UDP: openflow.UDPDst, firewall.SCTP: openflow.SCTPDst}[p]
	cuts := []int{0, 1 << 16}
	for _, s := range services {
		if s.Ports.First != 0 {
			cuts = append(cuts, int(s.Ports.First), int(s.Ports.Last)+1)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []slice
	for i := range len(cuts) - 1 {
		first, end := cuts[i], cuts[i+1]
		s := slice{packet: firewall.Packet{Protocol: p, DstPort: uint16(first)}}
		for first < end {
			size := 1
			for first%(2*size) == 0 && first+2*size <= end {
				size *= 2
			}
			s.cubes = append(s.cubes, and(proto, bitsAre(variable(field), uint64(first), 0xffff&^uint64(size-1))))
			first += size
		}
		out = append(out, s)
	}
	return out
}

// icmpSlices cuts a family's ICMP by the types and codes that services name.
func icmpSlices(p firewall.Protocol, services []firewall.Service, proto cube, f family) []slice {
	type typeCode struct{ typ, code int16 }
	var named []typeCode
	for _, s := range services {
		named = append(named, typeCode{s.Type, s.Code}, typeCode{s.Type, -1}, typeCode{-1, s.Code})
		for _, o := range services {
			named = append(named, typeCode{o.Type, s.Code}, typeCode{s.Type, o.Code})
		}
	}
	named = append(named, typeCode{-1, -1})
	slices.SortFunc(named, func(a, b typeCode) int { // the narrower first
		return cmp.Or(cmp.Compare(wild(a.typ)+wild(a.code), wild(b.typ)+wild(b.code)), cmp.Compare(a.typ, b.typ), cmp.Compare(a.code, b.code))
	})
	named = slices.Compact(named)
	free := func(of func(typeCode) int16) uint8 { // a value that nobody names
		x := int16(0)
		for slices.ContainsFunc(named, func(t typeCode) bool { return of(t) == x }) {
			x++
		}
		return uint8(x)
	}
	freeType, freeCode := free(func(t typeCode) int16 { return t.typ }), free(func(t typeCode) int16 { return t.code })
	var out []slice
	for _, t := range named {
		s := slice{packet: firewall.Packet{Protocol: p, Type: freeType, Code: freeCode}}
		c := proto
		if t.typ >= 0 {
			s.packet.Type = uint8(t.typ)
			c = and(c, is(f.typ, uint64(t.typ)))
		}
		if t.code >= 0 {
			s.packet.Code = uint8(t.code)
			c = and(c, is(f.code, uint64(t.code)))
		}
		s.cubes = []cube{c}
		out = append(out, s)
	}
	return out
}

func wild(x int16) int {
	if x < 0 {
		return 1
	}
	return 0
}

// answerType returns the ICMP type that answers a query, or the query of an answer; others are their own.
func answerType(f family, t uint64) uint64 {
	pairs := [][2]uint64{{8, 0}, {13, 14}}
	if f.v6 {
		pairs = [][2]uint64{{128, 129}}
	}
	for _, p := range pairs {
		switch t {
		case p[0]:
			return p[1]
		case p[1]:
			return p[0]
		}
	}
	return t
}
