package verify

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Verdicts: the policy tables decide as firewall.Decide does. The question is asked from the first table of a
// direction to the one behind its last, once for each pair of classes of identities one of which is here: the tables
// decide what reaches a port of this node, and, about replies of peers, what its workloads opened.

// verdictPair is a question: connections from the source's class to the destination's.
type verdictPair struct {
	direction firewall.Direction
	src, dst  class
	f         family
}

// roles are the classes of one direction, by what identities are as source and as destination.
type roles struct{ src, dst *classes }

func (v *verifier) verdicts() {
	v.indexSubjects()
	var pairs []verdictPair
	for _, d := range []firewall.Direction{firewall.Egress, firewall.Ingress} {
		first := tableEgress
		if d == firewall.Ingress {
			first = tableIngress
		}
		scope := classScope{tables: func(t uint8) bool { return t >= first && t < first+4 }, direction: d}
		src, dst := scope, scope
		src.but, src.subjects, src.peers = regDstID, d == firewall.Egress, d == firewall.Ingress
		dst.but, dst.subjects, dst.peers = regSrcID, d == firewall.Ingress, d == firewall.Egress
		r := roles{v.classesOf(src), v.classesOf(dst)}
		for i := range v.in.Plan.Networks {
			n := &v.in.Plan.Networks[i]
			for _, m := range v.reachable(n) {
				for _, f := range families() {
					pairs = append(pairs, v.verdictPairs(d, n.ID, m, f, r)...)
				}
			}
		}
	}
	v.inParallel(len(pairs), func(w *verifier, i int) { w.verdict(&pairs[i]) })
}

// verdictPairs returns all pairs of two networks.
func (v *verifier) verdictPairs(d firewall.Direction, n, m fabric.NetworkID, f family, r roles) (pairs []verdictPair) {
	ends := func(id fabric.NetworkID) (all, here []fabric.Identity) {
		here = slices.DeleteFunc(v.localIdentities(id, f), func(i fabric.Identity) bool { return !v.known[i] })
		all = here
		if v.in.TunnelPort != 0 && slices.ContainsFunc(v.remote[id], func(r plan.Route) bool { return f.has(r.Prefix.Addr()) }) {
			all = v.plannedIdentities(id)
		}
		return all, here
	}
	sources, localSources := ends(n)
	targets, localTargets := ends(m)
	any := func(c class, ids []fabric.Identity) bool {
		return slices.ContainsFunc(c.members, func(i fabric.Identity) bool { _, ok := slices.BinarySearch(ids, i); return ok })
	}
	for _, src := range r.src.of(sources) {
		for _, dst := range r.dst.of(targets) {
			if any(src, localSources) || any(dst, localTargets) {
				pairs = append(pairs, verdictPair{d, src, dst, f})
			}
		}
	}
	return pairs
}

func (v *verifier) verdict(p *verdictPair) {
	v.report.Classes++
	v.report.Pairs += len(p.src.members) * len(p.dst.members)
	s := newState()
	s.assume(cube{p.f.any()})
	for f := openflow.Field(1); f < openflow.EthDst; f++ { // whatever else the packet carries
		if f != openflow.ConjID && !wide(f) {
			s.free(f)
		}
	}
	for f, x := range map[openflow.Field]uint64{
		regSrcID: uint64(p.src.id), regDstID: uint64(p.dst.id), regSrcNet: uint64(p.src.network), regDstNet: uint64(p.dst.network),
	} {
		*s.know.change(variable(f)) = knowledge{num(x), ones(32)}
	}
	rules := v.allowed(p.direction, firewall.Endpoint{Network: p.src.network, Identity: p.src.id}, firewall.Endpoint{Network: p.dst.network, Identity: p.dst.id}, p.f)
	first, behind, mark := tableEgress, tableIngress, openflow.Reg6
	if p.direction == firewall.Ingress {
		first, behind, mark = tableIngress, tableCommit, openflow.Reg7
	}
	v.ask(s, first, int(behind), func(leaf *state) {
		partition(leaf, rules, false, func(part *state, allowed bool) {
			want, wrong := "denied", ""
			switch {
			case allowed:
				want = "allowed"
				wrong = part.passedWrongly(mark)
			case part.stopped:
				wrong = "allowed"
			case len(part.outs) > 0:
				wrong = part.sent()
			}
			if wrong == "" && (len(part.commits) > 0 || len(part.lookups) > 0) {
				wrong = "handed to the connection tracker"
			}
			if wrong != "" || part.trouble != "" {
				v.liftVerdict(part, p, Finding{Kind: KindVerdict, Region: v.verdictRegion(p), Want: want, Got: wrong})
			}
		})
	})
}

func (v *verifier) verdictRegion(p *verdictPair) string {
	direction := "egress"
	if p.direction == firewall.Ingress {
		direction = "ingress"
	}
	return fmt.Sprintf("%s of %s to %s", direction, v.name(p.src), v.name(p.dst))
}

// passedWrongly says how packets differ from those that a direction allows: nothing but its mark may be written.
func (s *state) passedWrongly(mark openflow.Field) string {
	if !s.stopped {
		if len(s.outs) == 0 {
			return "denied"
		}
		return s.sent()
	}
	if len(s.outs) > 0 {
		return s.sent()
	}
	for f := openflow.InPort; f < openflow.EthDst; f++ {
		if f == mark || f == openflow.ConjID || wide(f) {
			continue
		}
		if !s.same(s.cells, f, variable(f)) {
			return fmt.Sprintf("allowed with %s rewritten", f)
		}
	}
	return s.changed(s.cells)
}

// liftVerdict reports a finding of the policy tables, if there are workloads between which it shows.
func (v *verifier) liftVerdict(s *state, p *verdictPair, f Finding) {
	if s.empty() {
		return
	}
	for _, tunnel := range []bool{false, true} {
		for _, id := range p.src.members {
			for _, src := range v.sources(p.src.network, p.f, tunnel) {
				if !tunnel && src.identity != id {
					continue
				}
				t := s.clone()
				*t.know.change(variable(regSrcID)), *t.know.change(variable(openflow.TunID)) = knowledge{num(uint64(id)), ones(32)}, knowledge{num(uint64(id)), ones(64)}
				if !tunnel {
					*t.know.change(variable(openflow.TunID)) = knowledge{}
				}
				f.CT = []string{"trk,new"}
				if !tunnel && p.src.network != p.dst.network {
					f.CT = []string{"trk,new", "trk,new"}
				}
				if places := v.placesOf(p, src, tunnel); len(places) > 0 && v.liftFrom(t, src, p.f, f, places...) {
					return
				}
			}
		}
	}
}

// placesOf returns where a source can reach the destination's class: at ports of this node, and, from ports of this
// node, at peers. About the latter the tables decide when the first reply arrives.
func (v *verifier) placesOf(p *verdictPair, src source, tunnel bool) []cube {
	var out []cube
	for _, a := range v.attachments {
		if a.Network != p.dst.network || a.OFPort == src.port || !p.dst.holds(a.Identity) {
			continue
		}
		for _, addr := range a.Addresses {
			if p.f.has(addr) {
				out = append(out, cube{isAddr(p.f.dst, addr)})
			}
		}
	}
	if !tunnel {
		for _, r := range v.remote[p.dst.network] {
			if p.f.has(r.Prefix.Addr()) && slices.ContainsFunc(p.dst.members, func(i fabric.Identity) bool { return v.known[i] }) {
				out = append(out, cube{inPrefix(p.f.dst, r.Prefix)})
			}
		}
	}
	return out
}
