package verify

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Leaving: what was located at a peer leaves by the tunnel, with its identity as VNI, to that peer, and a new
// connection is remembered as pending; policy isn't asked, the peer does. What is too large for the tunnel goes to the
// agent alone. The question is asked from TrackIn to the end.

func (v *verifier) leaving() {
	for i := range v.in.Plan.Networks {
		n := &v.in.Plan.Networks[i]
		if !slices.ContainsFunc(v.attachments, func(a Attachment) bool { return a.Network == n.ID }) {
			continue
		}
		for _, m := range v.reachable(n) {
			for _, f := range families() {
				if slices.ContainsFunc(v.remote[m], func(r plan.Route) bool { return f.has(r.Prefix.Addr()) }) {
					v.leave(n, m, f)
				}
			}
		}
	}
}

// reachable returns the network itself and those peered with it.
func (v *verifier) reachable(n *plan.Network) []fabric.NetworkID {
	out := []fabric.NetworkID{n.ID}
	for _, id := range n.Peers {
		if m := v.networks[id]; m != nil && id != n.ID && slices.Contains(m.Peers, n.ID) {
			out = append(out, id)
		}
	}
	return out
}

func (v *verifier) leave(n *plan.Network, m fabric.NetworkID, f family) {
	s := routed(n.ID, f, false)
	answer := s.lookups[0].state
	flags := flagToTunnel
	if m != n.ID {
		flags |= flagSecondZone
	}
	free := flagEstablished | flagHasIPv4
	s.put(regFlags, cell{value: num(flags), known: not(num(free)), from: variable(regFlags)})
	s.setNum(regDstNet, uint64(m))
	for _, t := range families() {
		s.free(t.tunDest)
	}
	region := fmt.Sprintf("from network %s to peers", n.Ref)
	v.ask(s, tableTrackIn, -1, func(leaf *state) {
		partition(leaf, []rule[string]{
			{cube{bitsAre(answer, ctEstablished, ctEstablished)}, "known"}, {cube{bitsAre(answer, ctRelated, ctRelated|ctNew)}, "known"},
			{and(unknownAnswer(f), bitsAre(answer, ctNew, ctNew)), "answer"}, {cube{bitsAre(answer, ctNew, ctNew)}, "new"},
		}, "", func(part *state, connection string) {
			want := "into the tunnel"
			fits, wrong := part.sizedWrongly(v.in.Plan.Settings.WorkloadMTU)
			switch {
			case !fits:
				want = "too large: to the agent and nowhere else"
			case wrong != "":
				want = "into the tunnel, or too large"
			case connection == "" || v.in.TunnelPort == 0:
				want = "dropped"
				if len(part.outs) > 0 {
					wrong = part.sent()
				}
			default:
				if connection == "answer" && len(part.commits) > 0 {
					connection = "new"
				}
				wrong = part.tunnelledWrongly(v.in.TunnelPort, n.ID, connection == "new")
			}
			if wrong != "" || part.trouble != "" {
				v.lift(part, n.ID, f, false, Finding{Kind: KindTunnel, Region: region, Want: want, Got: wrong})
			}
		})
	})
}

// unknownAnswer are TCP segments of a service in the middle of a connection. A tracker that has forgotten the connection
// calls them new; they may leave without being remembered.
func unknownAnswer(f family) cube {
	return cube{f.any(), is(openflow.IPProto, protoTCP), bitsAre(variable(openflow.TCPFlags), 0, 2),
		bitsAre(variable(openflow.TCPSrc), 0, 0x8000), bitsAre(variable(openflow.TCPDst), 0x8000, 0x8000)}
}

// tunnelledWrongly says in what a packet into the tunnel differs from the promise.
func (s *state) tunnelledWrongly(port uint32, zone fabric.NetworkID, fresh bool) string {
	if len(s.outs) != 1 || !s.is(&s.outs[0].port, num(uint64(port)), 32) {
		return s.sent()
	}
	c := s.outs[0].cells
	vni := c[openflow.TunID]
	x, ok := s.number(regSrcID)
	moved := vni.from == variable(regSrcID) && vni.shift == 0 && vni.value.And(ones(64)).IsZero() && vni.known.And(ones(32)).IsZero()
	if !moved && (!ok || !s.is(&vni, num(x), 64)) {
		return "into the tunnel with another VNI than its identity"
	}
	for _, f := range families() {
		if !s.same(c, f.tunDest, variable(f.tunDest)) {
			return "into the tunnel to another peer"
		}
	}
	if wrong := s.remembered(fresh, pendingBit, zone); wrong != "" {
		return "into the tunnel, " + wrong
	}
	return s.changed(c)
}

// remembered compares what the connection tracker was told with what it should be told: nothing, or one connection
// in each of zones, with the label's pending bit as given.
func (s *state) remembered(expected bool, pending word, zones ...fabric.NetworkID) string {
	if !expected {
		zones = nil
	}
	if len(s.commits) != len(zones) {
		return fmt.Sprintf("remembered %d times instead of %d", len(s.commits), len(zones))
	}
	for i, z := range zones {
		c := &s.commits[i]
		if !s.is(&c.zone, num(uint64(z)), 16) {
			return "remembered in another zone"
		}
		if !pendingBit.And(c.pending.known).IsZero() && c.pending.value.And(pendingBit) == pending {
			continue
		}
		return "remembered with the pending bit wrong"
	}
	return ""
}
