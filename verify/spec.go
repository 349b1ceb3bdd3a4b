package verify

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// rule is a line of what is promised: the first one whose terms all hold says what becomes of a packet.
type rule[T any] struct {
	when cube
	want T
}

// partition splits s by the first rule that holds; the rest gets otherwise.
func partition[T any](s *state, rules []rule[T], otherwise T, yield func(*state, T)) {
	for i := range rules {
		switch s.holdsAll(rules[i].when) {
		case no:
		case yes:
			yield(s, rules[i].want)
			return
		default:
			if t := s.clone(); t.assume(rules[i].when) {
				yield(t, rules[i].want)
			}
			s = s.clone()
			if !s.exclude(rules[i].when) {
				return
			}
		}
	}
	yield(s, otherwise)
}

// The terms of packets.

func is(f openflow.Field, v uint64) term { return term{variable(f), num(v), ones(f.Bits())} }

func bitsAre(v variable, value, mask uint64) term { return term{v, num(value), num(mask)} }

func isMAC(f openflow.Field, m fabric.MAC) term { return is(f, m.Uint64()) }

func isAddr(f openflow.Field, a netip.Addr) term {
	return term{variable(f), openflow.AddrValue(a), ones(f.Bits())}
}

func inPrefix(f openflow.Field, p netip.Prefix) term {
	m := openflow.Prefix(f, p)
	return term{variable(f), m.Value, m.Mask}
}

// and joins terms into a new cube.
func and(c cube, more ...term) cube {
	return append(append(make(cube, 0, len(c)+len(more)), c...), more...)
}

func (f family) any() term { return is(openflow.EthType, f.ether) }

func (f family) ofType(t uint64) cube {
	return cube{f.any(), is(openflow.IPProto, f.icmp), is(f.typ, t)}
}

func (f family) udp(field openflow.Field, port uint64) cube {
	return cube{f.any(), is(openflow.IPProto, protoUDP), is(field, port)}
}

var (
	linkLocal   = netip.MustParsePrefix("fe80::/10")
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	unspecified = netip.IPv4Unspecified()
)

// neverRouted are the packets of workloads that go no further than their own port, whoever they are for.
func neverRouted() []cube {
	v4, v6 := families()[0], families()[1]
	out := []cube{v4.udp(openflow.UDPSrc, 67), v6.udp(openflow.UDPSrc, 547), v4.udp(openflow.UDPDst, 67)}
	for _, t := range []uint64{133, 134, 135, 136, 137} {
		out = append(out, v6.ofType(t))
	}
	return out
}
