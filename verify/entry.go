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

// Entry: what enters by a port is what the plan knows of that port, or goes no further. The question is asked from
// table Classify up to table Route.

// fate is what becomes of a packet at its entry.
type fate uint8

const (
	fateDrop fate = iota + 1
	fateRoute
	fateARP   // answered
	fateND    // answered
	fateEcho  // answered
	fateAskND // handed to the agent, which answers
	fateDHCP  // the same
)

func (f fate) String() string {
	switch f {
	case fateRoute:
		return "classified and routed"
	case fateARP:
		return "answered by ARP"
	case fateND:
		return "answered by ND"
	case fateEcho:
		return "answered by echo reply"
	case fateAskND:
		return "handed to the agent for an answer by ND"
	case fateDHCP:
		return "handed to the agent for an answer by DHCP"
	}
	return "dropped"
}

// arrival is a fate with what Route must be told.
type arrival struct {
	fate    fate
	network fabric.NetworkID
	router  bool // the answer says that a router sends it
}

func (v *verifier) entry() {
	v.inParallel(len(v.attachments), func(w *verifier, i int) { w.enterPort(v.attachments[i]) })
	if v.in.TunnelPort != 0 {
		v.inParallel(len(v.in.Plan.Peers), func(w *verifier, i int) { w.enterPeer(v.in.Plan.Peers[i]) })
	}
	v.enterUnknown()
}

// enterPort asks about everything that the port of a workload can send.
func (v *verifier) enterPort(a Attachment) {
	s := newState()
	s.assume(cube{is(openflow.InPort, uint64(a.OFPort))})
	rules := v.portRules(a)
	v.ask(s, tableClassify, int(tableRoute), func(leaf *state) {
		ct := append([]lookup(nil), leaf.lookups...)
		if len(ct) == 0 {
			leaf = leaf.clone()
			ct = append(ct, lookup{state: leaf.fresh()})
		}
		partition(leaf, rules, arrival{fate: fateDrop}, func(part *state, want arrival) {
			if want.fate != fateRoute {
				v.checkEntry(part, a, want, false)
				return
			}
			answer := ct[0].state
			partition(part, []rule[string]{
				{cube{bitsAre(answer, ctInvalid, ctInvalid)}, "invalid"},
				{cube{bitsAre(answer, ctEstablished, ctEstablished)}, "known"},
				{cube{bitsAre(answer, ctRelated, ctRelated|ctNew)}, "known"},
			}, "", func(part *state, state string) {
				w := want
				if state == "invalid" {
					w.fate = fateDrop
				}
				v.checkEntry(part, a, w, state == "known")
			})
		})
	})
}

// portRules says what becomes of the packets of a workload.
func (v *verifier) portRules(a Attachment) []rule[arrival] {
	var out []rule[arrival]
	own := cube{{variable(openflow.VLANTCI), word{}, num(0x1000)}, isMAC(openflow.EthSrc, a.MAC)}
	add := func(f fate, terms ...term) {
		out = append(out, rule[arrival]{and(own, terms...), arrival{fate: f, network: a.Network}})
	}
	vmac := v.in.Plan.Settings.VirtualMAC
	net := v.networks[a.Network]
	if net == nil {
		net = &plan.Network{}
	}
	v4, v6 := families()[0], families()[1]
	var addr4, addr6 netip.Addr
	for _, x := range a.Addresses {
		if x.Is4() {
			addr4 = x
		} else {
			addr6 = x
		}
	}
	drop := func(c cube) { add(fateDrop, c...) }

	drop(v4.udp(openflow.UDPSrc, 67))
	drop(v6.udp(openflow.UDPSrc, 547))
	drop(v6.ofType(134))
	drop(v6.ofType(137))
	drop(v6.ofType(133))
	drop(v6.ofType(136))

	asks := v4.udp(openflow.UDPDst, 67)
	if addr4.IsValid() {
		add(fateDHCP, and(asks, isAddr(openflow.IPv4Src, unspecified), isAddr(openflow.IPv4Dst, broadcast))...)
		add(fateDHCP, and(asks, isAddr(openflow.IPv4Src, addr4), isAddr(openflow.IPv4Dst, broadcast))...)
		for _, sn := range net.Subnets {
			if sn.Gateway4.IsValid() && !vmac.IsZero() {
				add(fateDHCP, and(asks, isAddr(openflow.IPv4Src, addr4), isAddr(openflow.IPv4Dst, sn.Gateway4))...)
			}
		}
	}
	drop(asks)

	arp := cube{is(openflow.EthType, etherARP)}
	drop(and(arp, isAddr(openflow.ARPSPA, unspecified)))
	if addr4.IsValid() {
		claim := and(arp, isAddr(openflow.ARPSPA, addr4), isMAC(openflow.ARPSHA, a.MAC))
		drop(and(claim, isAddr(openflow.ARPTPA, addr4)))
		for _, sn := range net.Subnets {
			if sn.IPv4.IsValid() && !vmac.IsZero() {
				add(fateARP, and(claim, is(openflow.ARPOp, 1), inPrefix(openflow.ARPTPA, sn.IPv4))...)
			}
		}
	}
	drop(arp)

	v.solicitations(a, addr6, net, &out, own)
	drop(v6.ofType(135))

	for _, f := range families() {
		var sources []term
		if src := map[bool]netip.Addr{false: addr4, true: addr6}[f.v6]; src.IsValid() {
			sources = append(sources, isAddr(f.src, src))
		}
		routed := len(sources) > 0
		if f.v6 {
			sources = append(sources, inPrefix(f.src, linkLocal))
		}
		if vmac.IsZero() {
			continue
		}
		gateways := v.gateways(net, f)
		echoed := gateways
		if f.v6 {
			echoed = append(slices.Clone(gateways), vmac.LinkLocal())
		}
		for _, src := range sources {
			for _, gw := range echoed {
				add(fateEcho, and(f.ofType(f.echo), src, is(f.code, 0), bitsAre(variable(openflow.IPFrag), 0, 3), isMAC(openflow.EthDst, vmac), isAddr(f.dst, gw))...)
			}
		}
		for _, gw := range gateways {
			drop(cube{f.any(), isAddr(f.dst, gw)})
		}
		if routed {
			add(fateRoute, f.any(), sources[0], isMAC(openflow.EthDst, vmac))
		}
	}
	return out
}

// solicitations adds the neighbour solicitations that are answered.
func (v *verifier) solicitations(a Attachment, own netip.Addr, net *plan.Network, out *[]rule[arrival], from cube) {
	vmac, f := v.in.Plan.Settings.VirtualMAC, families()[1]
	if vmac.IsZero() {
		return
	}
	answered := fateND
	if v.in.AgentND {
		answered = fateAskND
	}
	options := []term{is(openflow.NDSLL, 0)}
	sources := []term{inPrefix(f.src, linkLocal)}
	if own.IsValid() {
		options = append(options, isMAC(openflow.NDSLL, a.MAC))
		sources = append(sources, isAddr(f.src, own))
	}
	for _, option := range options {
		for _, src := range sources {
			add := func(target term, router bool) {
				*out = append(*out, rule[arrival]{and(and(from, f.ofType(135)...), option, src, target), arrival{fate: answered, network: a.Network, router: router}})
			}
			add(isAddr(openflow.NDTarget, vmac.LinkLocal()), true)
			for _, gw := range v.gateways(net, f) {
				add(isAddr(openflow.NDTarget, gw), true)
			}
			for _, sn := range net.Subnets {
				if sn.IPv6.IsValid() {
					add(inPrefix(openflow.NDTarget, sn.IPv6), false)
				}
			}
		}
	}
}

func (v *verifier) gateways(n *plan.Network, f family) []netip.Addr {
	var out []netip.Addr
	for _, s := range n.Subnets {
		for _, gw := range []netip.Addr{s.Gateway4, s.Gateway6} {
			if f.has(gw) {
				out = append(out, gw)
			}
		}
	}
	return out
}

// enterPeer asks about everything that comes from a peer: the source must be where the plan places that peer.
func (v *verifier) enterPeer(p plan.Peer) {
	if !p.VTEP.IsValid() {
		return
	}
	s := v.tunnelled()
	s.assume(cube{isAddr(familyOf(p.VTEP).tunSrc, p.VTEP)})
	if other := openflow.TunIPv6Src; p.VTEP.Is4() {
		s.set(other, word{})
	} else {
		s.set(openflow.TunSrc, word{})
	}
	untagged := term{variable(openflow.VLANTCI), word{}, num(0x1000)}
	var rules []rule[arrival]
	here := func(r plan.Route) bool { return r.Node != v.in.Plan.Name && r.VTEP == p.VTEP }
	var routes []plan.Route // leases of others don't count: what is around them decides
	for _, r := range v.in.Plan.Routes {
		if here(r) || !r.Lease {
			routes = append(routes, r)
		}
	}
	slices.SortStableFunc(routes, func(a, b plan.Route) int { return -cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()) })
	for _, n := range v.in.Plan.Networks {
		for _, from := range v.vnis(p, n) {
			for _, r := range routes {
				if r.Network != n.ID {
					continue
				}
				f, want := familyOf(r.Prefix.Addr()), arrival{fate: fateDrop, network: n.ID}
				if here(r) {
					want.fate = fateRoute
				}
				rules = append(rules, rule[arrival]{cube{untagged, f.any(), from, inPrefix(f.src, r.Prefix)}, want})
			}
		}
	}
	v.ask(s, tableClassify, int(tableRoute), func(leaf *state) {
		partition(leaf, rules, arrival{fate: fateDrop}, func(part *state, want arrival) { v.checkTunnelled(part, p, want) })
	})
}

// vnis returns the VNIs of a network that a peer may send: all, or those of the identities that are placed on it.
func (v *verifier) vnis(p plan.Peer, n plan.Network) []term {
	var out []term
	for _, b := range n.Blocks {
		if !v.in.Plan.Settings.StrictIdentity {
			out = append(out, term{variable(openflow.TunID), num(uint64(b.Base)), num(uint64(b.Mask()))})
			continue
		}
		for _, placed := range v.in.Plan.Placements {
			if placed.Node == p.Name && b.Contains(placed.Identity) {
				out = append(out, is(openflow.TunID, uint64(placed.Identity)))
			}
		}
	}
	return out
}

// tunnelled returns all packets that can come out of the tunnel port: VNIs have 24 bits.
func (v *verifier) tunnelled() *state {
	s := newState()
	s.assume(cube{is(openflow.InPort, uint64(v.in.TunnelPort))})
	for _, f := range []openflow.Field{openflow.TunSrc, openflow.TunDst, openflow.TunIPv6Src, openflow.TunIPv6Dst, openflow.TunID} {
		s.free(f)
	}
	s.assume(cube{{variable(openflow.TunID), word{}, without(ones(64), ones(24))}})
	return s
}

// enterUnknown asks about ports that nobody knows, and tunnel packets of unknown peers: nothing goes anywhere.
func (v *verifier) enterUnknown() {
	// Ports have numbers up to 0xfeff, and the bridge's own one (OpenFlow 1.5.1, section 7.2.1; ovs-fields(7), in_port).
	s, own := newState(), newState()
	s.assume(cube{bitsAre(variable(openflow.InPort), 0, 0xffff0000)})
	s.exclude(cube{bitsAre(variable(openflow.InPort), 0xff00, 0xff00)})
	s.exclude(cube{is(openflow.InPort, 0)})
	for _, a := range v.attachments {
		s.exclude(cube{is(openflow.InPort, uint64(a.OFPort))})
	}
	if v.in.TunnelPort != 0 {
		s.exclude(cube{is(openflow.InPort, uint64(v.in.TunnelPort))})
	}
	own.assume(cube{is(openflow.InPort, uint64(openflow.PortLocal))})
	for _, s := range []*state{s, own} {
		v.ask(s, tableClassify, int(tableRoute), func(leaf *state) { v.mustDrop(leaf, regionNobody) })
	}
	if v.in.TunnelPort == 0 {
		return
	}
	s = v.tunnelled()
	for _, p := range v.in.Plan.Peers {
		if p.VTEP.IsValid() {
			s.exclude(cube{isAddr(familyOf(p.VTEP).tunSrc, p.VTEP)})
		}
	}
	v.ask(s, tableClassify, int(tableRoute), func(leaf *state) { v.mustDrop(leaf, "from a tunnel of an unknown peer") })
}

func (v *verifier) mustDrop(leaf *state, region string) {
	if got := leaf.arrived(); got != "dropped" || leaf.trouble != "" {
		v.judge(leaf, Finding{Kind: KindEntry, Region: region, Want: "dropped", Got: got})
	}
}

// arrived says in words what became of a set of packets up to table Route.
func (s *state) arrived() string {
	switch {
	case s.stopped && len(s.outs) == 0:
		return "classified and routed"
	case len(s.outs) == 0:
		return "dropped"
	case len(s.outs) == 1 && s.outs[0].agent:
		return "handed to the agent"
	}
	return s.sent()
}

// checkEntry compares a part of what a workload sends with what is promised.
func (v *verifier) checkEntry(s *state, a Attachment, want arrival, established bool) {
	wrong := ""
	switch want.fate {
	case fateDrop:
		if s.stopped || len(s.outs) > 0 {
			wrong = s.arrived()
		}
	case fateRoute:
		wrong = s.routedWrongly(a, want, established)
	case fateAskND:
		wrong = s.askedWrongly(solicited())
	case fateDHCP:
		wrong = s.askedWrongly(dhcpv4())
	default:
		wrong = s.answeredWrongly(want, v.in.Plan.Settings.VirtualMAC)
	}
	if wrong == "" && len(s.commits) > 0 {
		wrong = "remembered as a connection"
	}
	if wrong != "" || s.trouble != "" {
		v.judge(s, Finding{Kind: KindEntry, Region: fmt.Sprintf("from port %d (%s)", a.OFPort, a.Interface), Want: want.fate.String(), Got: wrong})
	}
}

// routedWrongly compares what Route is told with the attachment.
func (s *state) routedWrongly(a Attachment, want arrival, established bool) string {
	if !s.stopped || len(s.outs) > 0 {
		return s.arrived()
	}
	flags := uint64(0)
	if slices.ContainsFunc(a.Addresses, netip.Addr.Is4) {
		flags |= flagHasIPv4
	}
	if established {
		flags |= flagEstablished
	}
	for _, r := range []struct {
		name  string
		field openflow.Field
		want  uint64
	}{
		{"identity", regSrcID, uint64(a.Identity)}, {"network", regSrcNet, uint64(want.network)}, {"flags", regFlags, flags},
		{"destination identity", regDstID, 0}, {"destination network", regDstNet, 0}, {"output port", regPort, 0},
	} {
		if got, ok := s.number(r.field); !ok || got != r.want {
			return fmt.Sprintf("routed with %s %#x instead of %#x", r.name, got, r.want)
		}
	}
	if len(s.lookups) != 1 || !s.is(&s.lookups[0].zone, num(uint64(want.network)), 16) {
		return "routed, tracked in another zone than the network's"
	}
	return s.changed(s.cells)
}

// changed names a field of the packet that isn't what it was.
func (s *state) changed(c *cells, but ...openflow.Field) string {
	for f := openflow.EthDst; int(f) < fieldCount; f++ {
		if packetField(f) && !slices.Contains(but, f) && !s.same(c, f, variable(f)) {
			return fmt.Sprintf("sent with %s rewritten", f)
		}
	}
	return ""
}

// checkTunnelled compares a part of what a peer sends with what is promised.
func (v *verifier) checkTunnelled(s *state, p plan.Peer, want arrival) {
	wrong := ""
	switch {
	case want.fate == fateDrop:
		if s.stopped || len(s.outs) > 0 {
			wrong = s.arrived()
		}
	case !s.stopped || len(s.outs) > 0:
		wrong = s.arrived()
	default:
		id, net, flags := s.cells[regSrcID], s.cells[regSrcNet], s.cells[regFlags]
		vni := id.from == variable(openflow.TunID) && id.shift == 0 && id.known.And(ones(32)).IsZero()
		if x, ok := s.number(openflow.TunID); ok && !vni {
			vni = s.is(&id, num(x), 32)
		}
		switch {
		case !vni:
			wrong = "routed with an identity that isn't the VNI"
		case !s.is(&net, num(uint64(want.network)), 32):
			wrong = "routed in another network"
		case !s.is(&flags, num(flagFromTunnel), 32):
			wrong = "routed with other flags"
		case len(s.lookups) > 0:
			wrong = "tracked before it is routed"
		default:
			wrong = s.changed(s.cells)
		}
	}
	if wrong == "" && len(s.commits) > 0 {
		wrong = "remembered as a connection"
	}
	if wrong != "" || s.trouble != "" {
		v.judge(s, Finding{Kind: KindEntry, Region: fmt.Sprintf("from peer %s", p.Name), Want: want.fate.String(), Got: wrong})
	}
}
