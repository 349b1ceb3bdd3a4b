package pipeline

import "github.com/weftfabric/weft/wire/openflow"

// Fit: a packet that is larger than what the tunnel carries is not sent, and its sender learns the size that fits, from
// the agent (RFC 1191, section 4; RFC 4443, section 3.2). The switch can't see IPv4's "don't fragment": the agent answers
// where it is set, and packets without it are dropped like the others, because the fabric doesn't fragment.

// etherHeader is the length of an untagged Ethernet header, which counts as part of the packet here.
const etherHeader = 14

// toFit leads packets for peers on, through table Fit where their largest size is known.
func toFit(s Settings) []openflow.Action {
	if s.MTU <= 0 || s.MTU > 0xffff-etherHeader {
		return []openflow.Action{to(TableState)}
	}
	larger := openflow.CheckLarger{Octets: uint16(s.MTU + etherHeader), Dst: openflow.Subfield{Field: regFlags, Offset: 8, Bits: 1}}
	return []openflow.Action{larger, to(TableFit)}
}

func fitBase(o *flowsOf) {
	// This row is no drop with a reason, because the switch counts packets of either size for both rows: it prepares both
	// ways at once. The meters of table Ask count what was really too large.
	o.add(TableFit, 100, when(flags(flagTooLarge, flagTooLarge)), askAgent()...)
	o.add(TableFit, 0, nil, to(TableState))
}
