package verify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// sent says in words by what ports a set of packets left.
func (s *state) sent() string {
	if len(s.outs) == 0 {
		return "dropped"
	}
	var out []string
	for _, o := range s.outs {
		p, known := s.read(&o.port)
		switch {
		case o.agent:
			out = append(out, "to the agent")
		case !without(ones(32), known).IsZero() && o.port.from == variable(regPort):
			out = append(out, "to its destination")
		case !without(ones(32), known).IsZero():
			out = append(out, "to a port that the packet names")
		case uint32(p.Lo) == openflow.PortInPort:
			out = append(out, "back to its sender")
		case uint32(p.Lo) >= 0xffffff00:
			out = append(out, openflow.FormatActions([]openflow.Action{openflow.Output{Port: uint32(p.Lo)}}))
		default:
			out = append(out, fmt.Sprintf("to port %d", p.Lo))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// judge reports a finding whose packets are those of s, if there are any.
func (v *verifier) judge(s *state, f Finding) {
	if s.stopped || f.Want == fateRoute.String() {
		for _, to := range v.likely(s) {
			t, example := s.clone(), f
			if t.assume(to) && t.trace(&example) {
				v.find(example)
				return
			}
		}
	}
	if s.trace(&f) {
		v.find(f)
	}
}

// trace completes a finding with a packet of s. It reports false if s is empty.
func (s *state) trace(f *Finding) bool {
	if s.trouble != "" {
		f.Kind, f.Got = KindUnmodelled, s.trouble
	}
	one, undecided := s.solve()
	switch {
	case undecided:
		f.Kind = KindUndecided
	case one == nil:
		return false
	default:
		f.Packet = one.packet()
		if len(one.lookups) > 0 {
			f.CT = one.tracked()
		}
	}
	for _, fl := range s.flows() {
		f.Flows = append(f.Flows, fl.String())
	}
	return true
}

// likely are packets that get somewhere behind table Route: they show more than those that don't.
func (v *verifier) likely(s *state) []cube {
	var known, any []cube
	for _, a := range v.attachments {
		if port, ok := s.number(openflow.InPort); ok && port == uint64(a.OFPort) {
			continue
		}
		for _, addr := range a.Addresses {
			f := familyOf(addr)
			c := cube{f.any(), isAddr(f.dst, addr), is(openflow.IPTTL, 64), isMAC(openflow.EthDst, v.in.Plan.Settings.VirtualMAC)}
			any = append(any, c)
			if v.known[a.Identity] {
				known = append(known, and(c, is(openflow.TunID, uint64(a.Identity))))
			}
		}
	}
	return append(known, any...)
}

// source is somebody who can send.
type source struct {
	network fabric.NetworkID
	terms   cube
	peer    netip.Addr // of packets from a tunnel
	port    uint32
	// identity is that of a local workload.
	identity fabric.Identity
}

// sources returns all who can send packets of a network and family to table Route.
func (v *verifier) sources(n fabric.NetworkID, f family, tunnel bool) []source {
	var out []source
	if !tunnel {
		for _, a := range v.attachments {
			for _, addr := range a.Addresses {
				if a.Network == n && f.has(addr) {
					out = append(out, source{network: n, port: a.OFPort, identity: a.Identity, terms: cube{
						is(openflow.InPort, uint64(a.OFPort)), isMAC(openflow.EthSrc, a.MAC), isMAC(openflow.EthDst, v.in.Plan.Settings.VirtualMAC),
						isAddr(f.src, addr), {variable(regSrcID), num(uint64(a.Identity)), ones(32)},
					}})
				}
			}
		}
		return out
	}
	for _, r := range v.remote[n] {
		if !f.has(r.Prefix.Addr()) {
			continue
		}
		for _, b := range v.networks[n].Blocks {
			out = append(out, source{network: n, port: v.in.TunnelPort, peer: r.VTEP, terms: cube{
				is(openflow.InPort, uint64(v.in.TunnelPort)), inPrefix(f.src, r.Prefix),
				{variable(openflow.TunID), num(uint64(b.Base)), or(num(uint64(b.Mask())), without(ones(64), ones(24)))},
			}})
		}
	}
	return out
}

// lift reports a finding that was made behind table Route, if somebody can send such packets.
func (v *verifier) lift(s *state, n fabric.NetworkID, f family, tunnel bool, finding Finding, also ...cube) {
	if s.empty() {
		return
	}
	for _, src := range v.sources(n, f, tunnel) {
		if v.liftFrom(s, src, f, finding, also...) {
			return
		}
	}
}

// liftFrom reports the finding if src can send such packets; also lists further conditions one of which must hold.
func (v *verifier) liftFrom(s *state, src source, f family, finding Finding, also ...cube) bool {
	if len(also) == 0 {
		also = []cube{nil}
	}
	for _, more := range also {
		t := s.clone()
		if !t.assume(src.terms) || !t.assume(more) || !t.assume(cube{{variable(openflow.VLANTCI), word{}, num(0x1000)}}) {
			continue
		}
		if !src.peer.IsValid() && !v.passesEntry(t, src, f) {
			continue
		}
		if src.peer.IsValid() && !t.assume(cube{isAddr(familyOf(src.peer).tunSrc, src.peer)}) {
			continue
		}
		if found := finding; t.trace(&found) {
			v.find(found)
			return true
		}
	}
	return false
}

// passesEntry leaves out packets of workloads that never come to table Route.
func (v *verifier) passesEntry(s *state, src source, f family) bool {
	for _, c := range neverRouted() {
		if !s.exclude(c) {
			return false
		}
	}
	n := v.networks[src.network]
	if n == nil {
		n = &plan.Network{}
	}
	for _, gw := range v.gateways(n, f) {
		if !s.exclude(cube{isAddr(f.dst, gw)}) {
			return false
		}
	}
	return true
}

// addrOf reads an address from a word.
func addrOf(v word, v6 bool) netip.Addr {
	if !v6 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(v.Lo))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, v.Hi), v.Lo)))
}

// packet writes one packet of s in the syntax of ofproto/trace; free bits are zero, or what is usual.
func (s *state) packet() string {
	usual := map[openflow.Field]uint64{openflow.IPTTL: 64, openflow.TCPSrc: 40000, openflow.UDPSrc: 40000, openflow.SCTPSrc: 40000}
	value := func(f openflow.Field) word {
		k := s.know.of(variable(f))
		if u, ok := usual[f]; ok && k.known.IsZero() {
			return num(u)
		}
		return k.value.And(k.known)
	}
	ether, proto := value(openflow.EthType).Lo, value(openflow.IPProto).Lo
	var ms []openflow.FieldMatch
	for f := openflow.Field(1); int(f) < fieldCount; f++ {
		tunnel := f >= openflow.TunID && f <= openflow.TunIPv6Dst && !s.know.of(variable(f)).known.IsZero()
		if !tunnel && (!packetField(f) || !present(f, ether, proto, value(openflow.ICMPv6Type).Lo)) {
			continue
		}
		v := value(f)
		mask := ones(f.Bits())
		switch {
		case f == openflow.VLANTCI && v.Lo&0x1000 == 0, tunnel && v.IsZero(), f == openflow.IPFrag && v.IsZero():
			continue
		}
		ms = append(ms, openflow.FieldMatch{Field: f, Value: v, Mask: mask})
	}
	word := openflow.NewMatch(openflow.Exact(openflow.EthType, ether), openflow.Exact(openflow.IPProto, proto)).String()
	if ether != etherIPv4 && ether != etherIPv6 {
		word = openflow.NewMatch(openflow.Exact(openflow.EthType, ether)).String()
	}
	parts := []string{word} // the protocol first: later fields need it
	for _, m := range ms {
		if m.Field != openflow.EthType && m.Field != openflow.IPProto {
			parts = append(parts, m.String())
		}
	}
	return strings.Join(parts, ",")
}

// present reports whether packets of a protocol have a field that a trace should name.
func present(f openflow.Field, ether, proto, icmp6 uint64) bool {
	ip4, ip6 := ether == etherIPv4, ether == etherIPv6
	nd := ip6 && proto == protoICMPv6
	switch f {
	case openflow.InPort, openflow.EthDst, openflow.EthSrc, openflow.EthType, openflow.VLANTCI:
		return true
	case openflow.IPProto, openflow.IPTTL, openflow.IPFrag:
		return ip4 || ip6
	case openflow.IPv4Src, openflow.IPv4Dst:
		return ip4
	case openflow.IPv6Src, openflow.IPv6Dst:
		return ip6
	case openflow.TCPSrc, openflow.TCPDst:
		return (ip4 || ip6) && proto == protoTCP
	case openflow.UDPSrc, openflow.UDPDst:
		return (ip4 || ip6) && proto == protoUDP
	case openflow.SCTPSrc, openflow.SCTPDst:
		return (ip4 || ip6) && proto == protoSCTP
	case openflow.ICMPType, openflow.ICMPCode:
		return ip4 && proto == protoICMP
	case openflow.ICMPv6Type, openflow.ICMPv6Code:
		return nd
	case openflow.NDTarget:
		return nd && (icmp6 == 135 || icmp6 == 136)
	case openflow.NDSLL:
		return nd && icmp6 == 135
	case openflow.NDTLL:
		return nd && icmp6 == 136
	case openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA:
		return ether == etherARP
	}
	return false
}

// tracked writes the connection tracker's answers for --ct-next.
func (s *state) tracked() []string {
	var out []string
	for _, l := range s.lookups {
		k := s.know.of(l.state)
		text := "trk"
		for _, b := range []struct {
			bit  uint64
			name string
		}{{ctNew, "new"}, {ctEstablished, "est"}, {ctRelated, "rel"}, {ctReply, "rpl"}, {ctInvalid, "inv"}} {
			if k.value.And(k.known).Lo&b.bit != 0 {
				text += "," + b.name
			}
		}
		out = append(out, text)
	}
	return out
}
