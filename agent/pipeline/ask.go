package pipeline

import (
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// Ask: what the agent has to answer goes to it as a packet-in, and nowhere else. Meters limit how many, so that no
// workload keeps the agent from answering the others: each port has one of a few meters, by its number, and each purpose
// has its own.

// The userdata of packet-ins that are questions.
const (
	// PurposeDHCPv4 says that the packet is a DHCPv4 request.
	PurposeDHCPv4 = "dhcp4"
	// PurposeTooLarge says that the packet is too large for the tunnel, and that its sender wants to know.
	PurposeTooLarge = "too-large"
	// PurposeND says that the packet is a neighbour solicitation for an address that the fabric answers for.
	PurposeND = "nd"
)

// Meters of questions: askers of each purpose, from a first number on.
const (
	askers            = 16 // a power of two
	dhcpMeter  uint32 = 0x100
	largeMeter uint32 = 0x200
	ndMeter    uint32 = 0x300
)

// What passes a meter: packets a second, and at once.
const (
	questionRate  = 50
	questionBurst = 50
)

// largeOctets is how much the agent needs of a packet that is too large: an ICMPv6 error has at most 1280 octets, and
// quotes as much as fits into them behind its own headers of 48 (RFC 4443, section 3.2); before that the Ethernet header.
const largeOctets = 14 + 1280 - 48

// Meters returns the meters that the flows name. They must be there before the flows.
func Meters() []openflow.MeterDesc {
	out := []openflow.MeterDesc{logMeter()}
	for _, first := range []uint32{dhcpMeter, largeMeter, ndMeter} {
		for i := range uint32(askers) {
			out = append(out, openflow.MeterDesc{ID: first + i, Packets: true, Stats: true, Rate: questionRate, Burst: questionBurst})
		}
	}
	return out
}

// IsQuestionMeter reports whether a meter limits questions.
func IsQuestionMeter(id uint32) bool {
	return slices.ContainsFunc([]uint32{dhcpMeter, largeMeter, ndMeter}, func(first uint32) bool { return id >= first && id < first+askers })
}

// askAgent hands a packet to the agent: table Ask knows what for.
func askAgent() []openflow.Action {
	return []openflow.Action{move(openflow.InPort, regScratch), to(TableAsk)}
}

// askBase are the rows that ask, one for each meter.
func askBase(o *flowsOf) {
	for _, q := range []struct {
		flag uint64
		ask  openflow.Controller
	}{
		{0, openflow.Controller{Userdata: []byte(PurposeDHCPv4), Meter: dhcpMeter}},
		{flagTooLarge, openflow.Controller{Userdata: []byte(PurposeTooLarge), Meter: largeMeter, MaxLen: largeOctets}},
	} {
		for i := range uint64(askers) {
			ask := q.ask
			ask.Meter += uint32(i)
			o.add(TableAsk, 100, when(flags(q.flag, flagTooLarge), openflow.Masked(regScratch, i, askers-1)), ask)
		}
	}
}

// TooLarge counts the packets that were dropped because no tunnel carries them.
func TooLarge(meters []openflow.MeterStats) (packets uint64) {
	for _, m := range meters {
		if m.ID >= largeMeter && m.ID < largeMeter+askers {
			packets += m.Packets
		}
	}
	return packets
}

// Questions counts, by what they are about, the packets that the switch has had for the agent, those that a meter kept
// back included.
func Questions(counts []FlowCount, meters []openflow.MeterStats) map[string]uint64 {
	out := make(map[string]uint64)
	for _, fc := range counts {
		if c, ok := ParseCookie(fc.Cookie); ok && c.Kind == KindQuestion && fc.Packets > 0 {
			out[PurposeDHCPv4] += fc.Packets
		}
	}
	if n := TooLarge(meters); n > 0 {
		out[PurposeTooLarge] = n
	}
	return out
}
