package pipeline

import "github.com/weftfabric/weft/wire/openflow"

// Fit: a packet that is larger than what takes it at its destination, or on the way there, is not sent, and its sender learns
// the size that fits, from the agent (RFC 1191, section 4; RFC 4443, section 3.2). The switch can't see IPv4's "don't
// fragment": the agent answers where it is set, and packets without it are dropped like the others, because the fabric
// doesn't fragment.
//
// Locate compares with what is less than the fabric's MTU: what a network's workloads have, or what the way to a peer
// carries. TrackIn compares what leaves to a peer with the fabric's MTU, which all other ways carry.

// etherHeader is the length of an untagged Ethernet header, which counts as part of the packet here.
const etherHeader = 14

// checkSize compares a packet with a size below the fabric's MTU; 0 asks for nothing.
func checkSize(s Settings, mtu int) []openflow.Action {
	if mtu <= 0 || mtu > 0xffff-etherHeader || s.MTU > 0 && mtu >= s.MTU {
		return nil
	}
	return []openflow.Action{larger(mtu)}
}

// larger sets flagTooLarge as the packet is larger than mtu, or not.
func larger(mtu int) openflow.Action {
	return openflow.CheckLarger{Octets: uint16(mtu + etherHeader), Dst: openflow.Subfield{Field: regFlags, Offset: 8, Bits: 1}}
}

// toFit leads packets for peers on, through table Fit where their largest size is known.
func toFit(s Settings) []openflow.Action {
	if s.MTU <= 0 || s.MTU > 0xffff-etherHeader {
		return []openflow.Action{to(TableState)}
	}
	return []openflow.Action{larger(s.MTU), to(TableFit)}
}

func fitBase(o *flowsOf) {
	o.add(TableTrackIn, 300, when(flags(flagTooLarge, flagTooLarge)), to(TableFit)) // by what Locate has found
	// This row is no drop with a reason, because the switch counts packets of either size for both rows: it prepares both
	// ways at once. The meters of table Ask count what was really too large.
	o.add(TableFit, 100, when(flags(flagTooLarge, flagTooLarge)), askAgent()...)
	o.add(TableFit, 0, nil, to(TableState))
}
