package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Routes: each destination leads to its own port or to the node that has it, everything else nowhere. The question
// is asked from table Route up to table TrackIn, once for each network and side that packets come from.

// hop is where a packet's destination is looked for, and how it gets there.
type hop struct {
	network fabric.NetworkID // 0: it is dropped
	lowers  bool             // the TTL
}

// target is where a destination is.
type target struct {
	local *Attachment
	vtep  netip.Addr // of the node that has it
	limit int        // the largest IP packet that goes there, if that is less than the fabric's MTU
}

func (v *verifier) routes() {
	type question struct {
		n      *plan.Network
		f      family
		tunnel bool
	}
	var all []question
	for i := range v.in.Plan.Networks {
		n := &v.in.Plan.Networks[i]
		here := slices.ContainsFunc(v.attachments, func(a Attachment) bool { return a.Network == n.ID })
		for _, f := range families() {
			if here {
				all = append(all, question{n, f, false})
			}
			if v.in.TunnelPort != 0 && len(v.remote[n.ID]) > 0 {
				all = append(all, question{n, f, true})
			}
		}
	}
	v.inParallel(len(all), func(w *verifier, i int) { w.route(all[i].n, all[i].f, all[i].tunnel) })
}

// routed returns what table Route is told: any packet of a family, from a network of any identity.
func routed(n fabric.NetworkID, f family, tunnel bool) *state {
	s := newState()
	s.assume(cube{f.any()})
	s.setNum(regSrcNet, uint64(n))
	if tunnel {
		s.setNum(regFlags, flagFromTunnel)
		for _, t := range []openflow.Field{openflow.TunSrc, openflow.TunDst, openflow.TunIPv6Src, openflow.TunIPv6Dst, openflow.TunID} {
			s.free(t)
		}
		s.assume(cube{{variable(openflow.TunID), word{}, without(ones(64), ones(24))}})
		s.put(regSrcID, cell{from: variable(openflow.TunID)})
		return s
	}
	s.free(regSrcID)
	s.put(regFlags, cell{known: not(num(flagEstablished | flagHasIPv4)), from: variable(regFlags)})
	answer, label := s.fresh(), s.fresh()
	s.put(openflow.CTState, trackedCell(answer))
	s.put(openflow.CTLabel, cell{from: label})
	s.put(openflow.CTMark, cell{opaque: true})
	s.setNum(openflow.CTZone, uint64(n))
	s.answers(answer)
	s.assume(cube{bitsAre(answer, 0, ctInvalid)})
	s.lookups = append(s.lookups, lookup{zone: cell{value: num(uint64(n)), known: ones(128)}, state: answer, label: label})
	return s
}

// identityOf returns the variable that the source's identity is: the VNI, or what Classify knows.
func identityOf(tunnel bool) variable {
	if tunnel {
		return variable(openflow.TunID)
	}
	return variable(regSrcID)
}

func (v *verifier) route(n *plan.Network, f family, tunnel bool) {
	s := routed(n.ID, f, tunnel)
	asked := len(s.lookups)
	hops := v.hops(n, f, tunnel)
	places := make(map[fabric.NetworkID][]rule[target])
	for _, h := range hops {
		if m := h.want.network; m != 0 && places[m] == nil {
			places[m] = v.places(m, f, tunnel)
		}
	}
	v.ask(s, tableRoute, int(tableTrackIn), func(leaf *state) {
		partition(leaf, hops, hop{}, func(part *state, h hop) {
			partition(part, places[h.network], target{}, func(part *state, t target) {
				if wrong := v.routedTo(part, n, tunnel, h, t, asked); wrong != "" || part.trouble != "" {
					v.lift(part, n.ID, f, tunnel, Finding{Kind: KindRoute, Region: routeRegion(n, tunnel), Want: t.String(), Got: wrong})
				}
			})
		})
	})
}

func routeRegion(n *plan.Network, tunnel bool) string {
	if tunnel {
		return fmt.Sprintf("from a tunnel, in network %s", n.Ref)
	}
	return fmt.Sprintf("from workloads of network %s", n.Ref)
}

func (t target) String() string {
	up := ""
	if t.limit != 0 {
		up = fmt.Sprintf(", up to %d bytes", t.limit)
	}
	switch {
	case t.local != nil:
		return fmt.Sprintf("to port %d (%s)%s", t.local.OFPort, t.local.Interface, up)
	case t.vtep.IsValid():
		return fmt.Sprintf("to peer %s%s", t.vtep, up)
	}
	return "dropped"
}

// hops says in which network a destination is looked for.
func (v *verifier) hops(n *plan.Network, f family, tunnel bool) []rule[hop] {
	var out []rule[hop]
	own := prefixesOf(n, f)
	for _, p := range own {
		out = append(out, rule[hop]{cube{inPrefix(f.src, p), inPrefix(f.dst, p)}, hop{network: n.ID}})
	}
	if !tunnel {
		out = append(out, rule[hop]{cube{{variable(openflow.IPTTL), word{}, num(0xfe)}}, hop{}})
	}
	for _, p := range own {
		out = append(out, rule[hop]{cube{inPrefix(f.dst, p)}, hop{n.ID, !tunnel}})
	}
	for _, id := range n.Peers {
		m := v.networks[id]
		if m == nil || id == n.ID || !slices.Contains(m.Peers, n.ID) {
			continue
		}
		for _, p := range prefixesOf(m, f) {
			out = append(out, rule[hop]{cube{inPrefix(f.dst, p)}, hop{id, !tunnel}})
		}
	}
	return out
}

func prefixesOf(n *plan.Network, f family) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.Subnets {
		for _, p := range []netip.Prefix{s.IPv4, s.IPv6} {
			if p.IsValid() && f.has(p.Addr()) {
				out = append(out, p)
			}
		}
	}
	return out
}

// places says where the addresses of a network are: at a port of this node, or by the longest prefix.
func (v *verifier) places(n fabric.NetworkID, f family, tunnel bool) []rule[target] {
	var out []rule[target]
	for i := range v.attachments {
		a := &v.attachments[i]
		for _, addr := range a.Addresses {
			if a.Network == n && f.has(addr) {
				out = append(out, rule[target]{cube{isAddr(f.dst, addr)}, target{local: a, limit: v.limit(v.networks[n].MTU)}})
			}
		}
	}
	var routes []plan.Route
	for _, r := range v.in.Plan.Routes {
		if r.Network == n && f.has(r.Prefix.Addr()) && !tunnel { // never from a tunnel into a tunnel
			routes = append(routes, r)
		}
	}
	slices.SortStableFunc(routes, func(a, b plan.Route) int { return -cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()) })
	for _, r := range routes {
		var t target
		if r.Node != v.in.Plan.Name {
			t = target{vtep: r.VTEP, limit: v.limit(r.MTU)}
		}
		out = append(out, rule[target]{cube{inPrefix(f.dst, r.Prefix)}, t})
	}
	return out
}

// routedTo compares what TrackIn is told with what was promised.
func (v *verifier) routedTo(s *state, n *plan.Network, tunnel bool, h hop, t target, asked int) string {
	if t == (target{}) {
		if s.stopped || len(s.outs) > 0 {
			return s.located()
		}
		return ""
	}
	if !s.stopped || len(s.outs) > 0 {
		return s.located()
	}
	flags := uint64(0)
	free := flagEstablished | flagHasIPv4
	if tunnel {
		flags, free = flagFromTunnel, 0
	} else if h.network != n.ID {
		flags |= flagSecondZone
	}
	wants := map[openflow.Field]word{regSrcNet: num(uint64(n.ID)), regDstNet: num(uint64(h.network))}
	rewritten := []openflow.Field{openflow.IPTTL}
	if t.local != nil {
		wants[regDstID], wants[regPort] = num(uint64(t.local.Identity)), num(uint64(t.local.OFPort))
		wants[openflow.EthSrc], wants[openflow.EthDst] = num(v.in.Plan.Settings.VirtualMAC.Uint64()), num(t.local.MAC.Uint64())
		rewritten = append(rewritten, openflow.EthSrc, openflow.EthDst)
	} else {
		flags |= flagToTunnel
		wants[regDstID], wants[regPort] = word{}, word{}
		wants[familyOf(t.vtep).tunDest] = openflow.AddrValue(t.vtep)
	}
	for field := openflow.InPort; int(field) < fieldCount; field++ {
		if want, ok := wants[field]; ok && !s.is(&s.cells[field], want, field.Bits()) {
			return fmt.Sprintf("%s, with another %s than promised", s.located(), field)
		}
	}
	want := 0
	if t.limit != 0 {
		want = t.limit + etherHeader
	}
	if s.size.larger {
		flags |= flagTooLarge
	}
	ttl := s.cells[openflow.IPTTL]
	lowered := ttl.opaque || !s.same(s.cells, openflow.IPTTL, variable(openflow.IPTTL))
	switch {
	case int(s.size.limit) != want:
		return fmt.Sprintf("%s, limited to %d octets instead of %d", s.located(), s.size.limit, want)
	case !s.flagsAre(flags, free):
		return fmt.Sprintf("%s, with other flags than promised", s.located())
	case lowered != h.lowers:
		return fmt.Sprintf("%s, the TTL lowered: %v", s.located(), lowered)
	case !s.same(s.cells, regSrcID, identityOf(tunnel)):
		return fmt.Sprintf("%s, with another source identity", s.located())
	case len(s.lookups) != asked || len(s.commits) > 0:
		return fmt.Sprintf("%s, by the connection tracker", s.located())
	}
	return s.changed(s.cells, rewritten...)
}

// flagsAre reports whether the flags register holds flags, and still what it brought along in the bits of free.
func (s *state) flagsAre(flags, free uint64) bool {
	c := s.cells[regFlags]
	v, known := s.read(&c)
	fixed := num(^free & 0xffffffff)
	return !c.opaque && xor(v, num(flags)).And(fixed).IsZero() && without(fixed, known).IsZero() &&
		c.known.And(num(free)).IsZero() && (free == 0 || c.from == variable(regFlags) && c.shift == 0)
}

// located says in words where a set of packets was led to.
func (s *state) located() string {
	if !s.stopped {
		return s.arrived()
	}
	flags, _ := s.number(regFlags)
	if port, ok := s.number(regPort); ok && port != 0 {
		return fmt.Sprintf("to port %d", port)
	}
	if flags&flagToTunnel != 0 {
		for _, f := range families() {
			if v, _ := s.read(&s.cells[f.tunDest]); !v.IsZero() {
				return fmt.Sprintf("to peer %s", addrOf(v, f.v6))
			}
		}
		return "to a tunnel without a peer"
	}
	return "to no port"
}
