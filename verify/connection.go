package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// States: what was located at a port of this node is delivered if the connection tracker knows it as decided, or else
// if policy allows it; nothing else. The question is asked from TrackIn to the end, with policy left out: what policy
// is asked about is compared, and what it allows is followed. Pairs of classes of identities are few, because outside
// of the policy tables almost all identities are alike.

// judgement is what is to be done with a packet by what the connection tracker says.
type judgement uint8

const (
	discard judgement = iota + 1
	deliver
	decide     // by policy
	decideBack // by policy, about the connection that the packet replies to
)

// pair is a question: packets of the source's class for the destination's.
type pair struct {
	src, dst    class
	tunnel      bool
	f           family
	unknownPart bool // the source is whatever VNI of the network no identity has
}

// second says that both ends are local and of different networks.
func (p *pair) second() bool { return !p.tunnel && p.src.network != p.dst.network }

func (v *verifier) states() {
	classes := v.classesOf(classScope{tables: func(t uint8) bool { return t < tableEgress || t >= tableCommit-1 }})
	for i := range v.in.Plan.Networks {
		n := &v.in.Plan.Networks[i]
		for _, m := range v.reachable(n) {
			for _, f := range families() {
				v.pairsOf(n, m, f, classes)
			}
		}
	}
}

// pairsOf asks for all classes of two networks.
func (v *verifier) pairsOf(n *plan.Network, m fabric.NetworkID, f family, classes *classes) {
	local := func(net fabric.NetworkID) []class {
		return classes.of(v.localIdentities(net, f))
	}
	targets := local(m)
	if len(targets) == 0 {
		return
	}
	var remote []class
	if v.in.TunnelPort != 0 && slices.ContainsFunc(v.remote[n.ID], func(r plan.Route) bool { return f.has(r.Prefix.Addr()) }) {
		remote = classes.of(v.plannedIdentities(n.ID))
	}
	for _, dst := range targets {
		for _, src := range local(n.ID) {
			v.stateOf(&pair{src: src, dst: dst, f: f})
		}
		for _, src := range remote {
			v.stateOf(&pair{src: src, dst: dst, f: f, tunnel: true})
		}
		if remote != nil || v.in.TunnelPort != 0 && len(v.remote[n.ID]) > 0 {
			v.stateOf(&pair{src: class{network: n.ID}, dst: dst, f: f, tunnel: true, unknownPart: true})
		}
	}
}

// stateOf asks one question; between local ports it is three, by what the first zone has said.
func (v *verifier) stateOf(p *pair) {
	q := &question{v: v, pair: p}
	if p.tunnel {
		q.run(q.arrive(0))
		return
	}
	for _, known := range []cube{
		{bitsAre(firstAnswer, ctEstablished, ctEstablished)},
		{bitsAre(firstAnswer, ctRelated, ctEstablished|ctRelated|ctNew)},
	} {
		s := q.arrive(flagEstablished)
		if s.assume(known) {
			q.run(s)
		}
	}
	s := q.arrive(0)
	s.exclude(cube{bitsAre(firstAnswer, ctEstablished, ctEstablished)})
	s.exclude(cube{bitsAre(firstAnswer, ctRelated, ctEstablished|ctRelated|ctNew)})
	q.run(s)
}

// firstAnswer is the variable of what the connection tracker said in table Track; the label's follows it.
const firstAnswer = variable(fieldCount)

// question is a pair with what its answers need.
type question struct {
	v     *verifier
	pair  *pair
	known bool // the first zone knows the connection
}

// arrive returns what TrackIn is told about packets of the pair.
func (q *question) arrive(first uint64) *state {
	p := q.pair
	s := routed(p.src.network, p.f, p.tunnel)
	id := identityOf(p.tunnel)
	switch {
	case p.unknownPart:
		q.v.unknownVNI(s, p.src.network)
	default:
		s.assume(cube{{id, num(uint64(p.src.id)), ones(32)}})
	}
	if !p.tunnel {
		flags := first
		if p.second() {
			flags |= flagSecondZone
		}
		free := num(flagHasIPv4)
		s.put(regFlags, cell{value: num(flags), known: not(free), from: variable(regFlags)})
	}
	q.known = first != 0
	s.setNum(regDstNet, uint64(p.dst.network))
	s.setNum(regDstID, uint64(p.dst.id))
	port := s.free(regPort)
	s.assume(cube{{port, word{}, num(0xffff0000)}})
	s.exclude(cube{{port, word{}, ones(32)}})
	return s
}

// unknownVNI leaves the VNIs of a network's blocks that no identity of the plan has.
func (v *verifier) unknownVNI(s *state, n fabric.NetworkID) {
	net := v.networks[n]
	if len(net.Blocks) == 1 {
		b := net.Blocks[0]
		s.assume(cube{{variable(openflow.TunID), num(uint64(b.Base)), num(uint64(b.Mask()))}})
	}
	for _, i := range v.in.Plan.Identities {
		if i.Network == n && i.ID != 0 {
			s.exclude(cube{is(openflow.TunID, uint64(i.ID))})
		}
	}
}

func (q *question) run(s *state) {
	p := q.pair
	asked := len(s.lookups)
	q.v.follow(&run{tables: q.v.tables, stop: -1, bridge: true, leaf: func(leaf *state) {
		answer, label := firstAnswer, firstAnswer+1
		if p.tunnel || p.second() {
			if len(leaf.lookups) > asked {
				answer, label = leaf.lookups[asked].state, leaf.lookups[asked].label
			} else {
				leaf = leaf.clone()
				answer, label = leaf.fresh(), leaf.fresh()
				leaf.answers(answer)
			}
		}
		partition(leaf, q.judgements(answer, label), discard, func(part *state, j judgement) {
			q.check(part, j, asked)
		})
	}}, s, tableTrackIn)
}

// judgements says what is to be done by the answer of the deciding zone.
func (q *question) judgements(answer, label variable) []rule[judgement] {
	pending := term{label, pendingBit, pendingBit}
	known := deliver
	if q.pair.second() && !q.known {
		known = decide // both zones must know it
	}
	return []rule[judgement]{
		{cube{bitsAre(answer, ctInvalid, ctInvalid)}, discard},
		{cube{pending, bitsAre(answer, ctEstablished|ctReply, ctEstablished|ctReply)}, decideBack},
		{cube{pending, bitsAre(answer, ctEstablished, ctEstablished)}, decide},
		{cube{bitsAre(answer, ctEstablished, ctEstablished)}, known},
		{cube{bitsAre(answer, ctRelated, ctRelated|ctNew)}, known},
		{cube{bitsAre(answer, ctNew, ctNew)}, decide},
	}
}

// check compares what became of packets with what was promised.
func (q *question) check(s *state, j judgement, asked int) {
	p := q.pair
	if (j == decide || j == decideBack) && (p.unknownPart || !q.v.known[p.src.id] || !q.v.known[p.dst.id]) {
		j = discard
	}
	if j == discard {
		q.complain(s, "denied", onlyIf(len(s.outs) > 0, s.sent()))
		return
	}
	if j == deliver {
		wrong := q.deliveredWrongly(s, false, asked)
		q.complain(s, "delivered", cmp.Or(wrong, onlyIf(s.asked != nil, "denied or delivered by policy, which had decided already")))
		return
	}
	if wrong := q.deliveredWrongly(s, true, asked); wrong != "" {
		q.complain(s, "delivered if policy allows", wrong)
		return
	}
	if s.asked == nil {
		q.complain(s, "delivered if policy allows", "delivered without asking policy")
		return
	}
	partition(s, transports(), nil, func(part *state, ports []openflow.Field) {
		if j == decide {
			q.complain(part, "policy is asked about the packet", q.askedWrongly(part, ports, false))
			return
		}
		partition(part, answers(p.f), -1, func(part *state, typ int) {
			wrong := q.askedWrongly(part, ports, true)
			c := part.asked[p.f.typ]
			if typ >= 0 && wrong == "" && !part.is(&c, num(uint64(typ)), 8) {
				wrong = "policy is asked about another ICMP type"
			}
			q.complain(part, "policy is asked about the connection that the packet replies to", wrong)
		})
	})
}

func onlyIf(when bool, text string) string {
	if when {
		return text
	}
	return ""
}

// transports are the protocols with ports.
func transports() []rule[[]openflow.Field] {
	return []rule[[]openflow.Field]{
		{cube{is(openflow.IPProto, protoTCP)}, []openflow.Field{openflow.TCPSrc, openflow.TCPDst}},
		{cube{is(openflow.IPProto, protoUDP)}, []openflow.Field{openflow.UDPSrc, openflow.UDPDst}},
		{cube{is(openflow.IPProto, protoSCTP)}, []openflow.Field{openflow.SCTPSrc, openflow.SCTPDst}},
	}
}

// answers are the ICMP types that answer others.
func answers(f family) []rule[int] {
	var out []rule[int]
	for _, t := range []uint64{0, 8, 13, 14, 128, 129} {
		if a := answerType(f, t); a != t {
			out = append(out, rule[int]{f.ofType(t), int(a)})
		}
	}
	return out
}

// askedWrongly compares what policy was asked about with the packet, or with its reverse.
func (q *question) askedWrongly(s *state, ports []openflow.Field, back bool) string {
	p := q.pair
	fields := append([]openflow.Field{p.f.src, p.f.dst}, ports...)
	for i, f := range fields {
		from := f
		if back {
			from = fields[i^1]
		}
		if !s.same(s.asked, f, variable(from)) {
			return fmt.Sprintf("policy is asked about another %s", f)
		}
	}
	if !back && (!s.same(s.asked, p.f.typ, variable(p.f.typ)) || !s.same(s.asked, p.f.code, variable(p.f.code))) {
		return "policy is asked about another ICMP type"
	}
	ends := [4]uint64{uint64(p.src.id), uint64(p.dst.id), uint64(p.src.network), uint64(p.dst.network)}
	if back {
		ends = [4]uint64{ends[1], ends[0], ends[3], ends[2]}
	}
	for i, f := range []openflow.Field{regSrcID, regDstID, regSrcNet, regDstNet} {
		if c := s.asked[f]; !s.is(&c, num(ends[i]), 32) {
			return fmt.Sprintf("policy is asked about other ends (%s)", f)
		}
	}
	for _, f := range []openflow.Field{openflow.EthType, openflow.IPProto} {
		if !s.same(s.asked, f, variable(f)) {
			return "policy is asked about another protocol"
		}
	}
	return ""
}

// complain reports what is wrong, if anything is.
func (q *question) complain(s *state, want, wrong string) {
	if wrong != "" || s.trouble != "" {
		q.lift(s, Finding{Kind: KindVerdict, Region: q.region(), Want: want, Got: wrong})
	}
}

// deliveredWrongly says how packets differ from those that are delivered, and remembered if decided.
func (q *question) deliveredWrongly(s *state, decided bool, asked int) string {
	p := q.pair
	if len(s.outs) != 1 || s.outs[0].agent {
		return s.sent()
	}
	o := &s.outs[0]
	port := o.port
	if port.from != variable(regPort) || port.shift != 0 || !port.known.And(num(0xffff)).IsZero() {
		if k := s.know.of(variable(regPort)); !without(num(0xffff), k.known).IsZero() || !s.is(&port, k.value, 32) {
			return s.sent()
		}
	}
	zones := []fabric.NetworkID{p.dst.network}
	if p.second() {
		zones = []fabric.NetworkID{p.src.network, p.dst.network}
	}
	if wrong := s.remembered(decided, word{}, zones...); wrong != "" {
		return wrong
	}
	if (p.tunnel || p.second()) && (len(s.lookups) != asked+1 || !s.is(&s.lookups[asked].zone, num(uint64(p.dst.network)), 16)) {
		return "delivered without the connection tracker's answer"
	}
	return s.changed(o.cells)
}

// lift reports the finding if workloads of both classes can send and receive such packets.
func (q *question) lift(s *state, f Finding) {
	if s.empty() {
		return
	}
	p := q.pair
	for _, src := range q.v.sources(p.src.network, p.f, p.tunnel) {
		var targets []cube
		for _, a := range q.v.attachments {
			if a.Network != p.dst.network || a.OFPort == src.port || !p.dst.holds(a.Identity) {
				continue
			}
			for _, addr := range a.Addresses {
				if p.f.has(addr) {
					targets = append(targets, cube{isAddr(p.f.dst, addr), {variable(regPort), num(uint64(a.OFPort)), ones(32)}})
				}
			}
		}
		if len(targets) == 0 || !p.tunnel && !p.src.holds(src.identity) {
			continue
		}
		t := s.clone()
		if !p.tunnel { // any member of the class stands for all: the state names one of them
			*t.know.change(variable(regSrcID)) = knowledge{num(uint64(src.identity)), ones(32)}
		}
		if q.v.liftFrom(t, src, p.f, f, targets...) {
			return
		}
	}
}

func (q *question) region() string {
	p := q.pair
	from := "local"
	if p.tunnel {
		from = "remote"
	}
	return fmt.Sprintf("%s %s to %s", from, q.v.name(p.src), q.v.name(p.dst))
}

// name describes a class by one of its identities.
func (v *verifier) name(c class) string {
	ref := fmt.Sprint(c.network)
	if n := v.networks[c.network]; n != nil {
		ref = n.Ref.String()
	}
	for _, i := range v.in.Plan.Identities {
		if i.ID == c.id {
			return fmt.Sprintf("%s{%s}", ref, i.Labels)
		}
	}
	return ref + " (unknown label set)"
}
