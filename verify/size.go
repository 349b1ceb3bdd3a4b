package verify

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Sizes: the length of a packet is looked at where its destination or the way there takes less than the fabric's MTU, when it
// is located, and again on its way to any peer. A set of packets is two from then on: those that fit, for which all other
// promises hold, and those that are larger, which nobody gets but the agent. The questions end and begin between the two.

// tooLarge is the userdata of packets that the agent answers because of their size.
const tooLarge = "too-large"

// etherHeader is the length of an Ethernet header, which the switch counts.
const etherHeader = 14

// size is what is known of the length of packets.
type size struct {
	limit  uint16 // what they were compared with; 0 if they weren't
	larger bool
}

// split leaves in s the packets that have at most as many octets as a asks for, and returns those that have more. It
// returns nil, and says so in s, where that isn't modelled.
func (s *state) split(a openflow.CheckLarger) *state {
	if s.size.limit != 0 || a.Octets == 0 {
		s.trouble = "a packet's size is looked at twice, or compared with 0"
		return nil
	}
	larger := s.clone()
	s.size, larger.size = size{limit: a.Octets}, size{limit: a.Octets, larger: true}
	if !s.deposit(a.Dst, cell{known: ones(1)}) || !larger.deposit(a.Dst, cell{value: num(1), known: ones(1)}) {
		s.trouble = fmt.Sprintf("the result of a comparison of sizes in %s", a.Dst)
		return nil
	}
	return larger
}

// sizedWrongly says in what packets to a peer differ from the promise because of their size, and if they may leave
// at all. mtu is the largest IP packet that the tunnel carries, 0 if that isn't known.
func (s *state) sizedWrongly(mtu int) (fits bool, wrong string) {
	want := mtu + etherHeader
	if mtu <= 0 || want > 0xffff {
		want = 0
	}
	if int(s.size.limit) != want {
		return true, fmt.Sprintf("limited to %d octets instead of %d", s.size.limit, want)
	}
	if !s.size.larger {
		return true, ""
	}
	return false, s.refusedWrongly()
}

// refusedWrongly says in what packets that are too large differ from the promise.
func (s *state) refusedWrongly() string {
	told := func(o out) bool {
		return o.agent && o.ask.ID == 0 && !o.ask.Pause && string(o.ask.Userdata) == tooLarge
	}
	if len(s.outs) != 1 || !slices.ContainsFunc(s.outs, told) || len(s.commits) > 0 {
		return s.sent()
	}
	return ""
}

// limit returns the largest IP packet of a network or a route that takes less than the fabric's MTU; 0 for all others.
func (v *verifier) limit(own int) int {
	if all := v.in.Plan.Settings.WorkloadMTU; own <= 0 || all > 0 && own >= all {
		return 0
	}
	return own
}

// limited reports whether anything in a network takes less than the fabric's MTU.
func (v *verifier) limited(n fabric.NetworkID) bool {
	return v.limit(v.networks[n].MTU) != 0 || slices.ContainsFunc(v.remote[n], func(r plan.Route) bool { return v.limit(r.MTU) != 0 })
}

// refusals asks from TrackIn to the end what becomes of packets that were found too large when they were located.
func (v *verifier) refusals() {
	const mayBe = flagFromTunnel | flagToTunnel | flagSecondZone | flagEstablished | flagHasIPv4
	for i := range v.in.Plan.Networks {
		n := &v.in.Plan.Networks[i]
		for _, m := range v.reachable(n) {
			if !v.limited(m) {
				continue
			}
			for _, f := range families() {
				s := routed(n.ID, f, false)
				s.put(regFlags, cell{value: num(flagTooLarge), known: not(num(mayBe)), from: variable(regFlags)})
				s.setNum(regDstNet, uint64(m))
				region := fmt.Sprintf("from network %s, found too large", n.Ref)
				v.ask(s, tableTrackIn, -1, func(leaf *state) {
					if wrong := leaf.refusedWrongly(); wrong != "" || leaf.trouble != "" {
						v.lift(leaf, n.ID, f, false, Finding{Kind: KindRoute, Region: region, Want: "to the agent and nowhere else", Got: wrong})
					}
				})
			}
		}
	}
}
