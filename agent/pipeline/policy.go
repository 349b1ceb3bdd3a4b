package pipeline

import (
	"slices"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Known, Identity, Turn, Swap and the policy tables: whether a new connection is allowed. Undecided is denied.

// stages returns the policy tables of a direction in the order in which they are asked.
func stages(d firewall.Direction) []Table {
	var out []Table
	for _, t := range []firewall.Tier{firewall.Platform, firewall.Tenant, firewall.Baseline, firewall.Posture} {
		out = append(out, policyTable(d, t))
	}
	return out
}

func policyBase(o *flowsOf, s Settings) {
	// One row for each label set serves both ends: look up the source, keep the answer, look up the destination.
	o.add(TableIdentity, 0, nil,
		move(regSrcIdentity, regScratch), to(TableKnown),
		openflow.Move{Src: openflow.Subfield{Field: regFlags, Offset: 5, Bits: 1}, Dst: openflow.Subfield{Field: regFlags, Offset: 6, Bits: 1}},
		openflow.SetMasked(regFlags, 0, flagKnown),
		move(regDstIdentity, regScratch), to(TableKnown), to(TableTurn))

	const both = flagKnown | flagSourceKnown
	o.add(TableTurn, 200, when(flags(both|flagTurned, both|flagTurned)), to(TableSwap), to(TablePlatformEgress))
	o.add(TableTurn, 100, when(flags(both, both)), to(TablePlatformEgress))
	o.drop(TableTurn, 0, DropUnknownIdentity)
	o.copyLast(s)
	swapBase(o)

	for _, d := range []firewall.Direction{firewall.Egress, firewall.Ingress} {
		tables := stages(d)
		for i, t := range tables[:len(tables)-1] {
			o.add(t, 0, nil, to(tables[i+1]))
		}
		o.drop(tables[len(tables)-1], 0, DropPostureDeny)
		o.copyLast(s)
	}
}

// swapBase exchanges the ends of a packet: registers, addresses, ports, and request and reply of ICMP. Doing it
// twice changes nothing. The table only rewrites: its callers go on behind it, so a drop here would drop nothing.
func swapBase(o *flowsOf) {
	ends := slices.Concat(swap(regSrcIdentity, regDstIdentity), swap(regSrcNetwork, regDstNetwork))
	for _, f := range families() {
		addrs := slices.Concat(ends, swap(f.src, f.dst))
		for _, l4 := range []struct {
			proto    uint64
			src, dst openflow.Field
		}{
			{protoTCP, openflow.TCPSrc, openflow.TCPDst},
			{protoUDP, openflow.UDPSrc, openflow.UDPDst},
			{protoSCTP, openflow.SCTPSrc, openflow.SCTPDst},
		} {
			o.add(TableSwap, 100, when(f.any(), openflow.Exact(openflow.IPProto, l4.proto)), slices.Concat(addrs, swap(l4.src, l4.dst))...)
		}
		for _, pair := range f.queries {
			o.add(TableSwap, 100, f.icmp(pair.request), append(slices.Clone(addrs), openflow.Set(f.typ, pair.reply))...)
			o.add(TableSwap, 100, f.icmp(pair.reply), append(slices.Clone(addrs), openflow.Set(f.typ, pair.request))...)
		}
		o.add(TableSwap, 50, when(f.any()), addrs...)
	}
}

// identityKnown lets policy decide for workloads with a known label set. 0 is never known.
func identityKnown(o *flowsOf, id plan.Identity) {
	if id.ID != 0 {
		o.add(TableKnown, 100, when(openflow.Exact(regScratch, uint64(id.ID))), setFlag(flagKnown))
	}
}

// policyFlows lowers a network's rules. Rows that are members of several conjunctions become one flow.
func policyFlows(t firewall.Table) []openflow.Flow {
	flows := tallyFlows(t)
	place := make(map[dataplane.Key]int)
	for _, e := range firewall.Compile(t) {
		for _, f := range entryFlows(e) {
			k := dataplane.KeyOf(f)
			i, seen := place[k]
			switch {
			case !seen:
				place[k] = len(flows)
				flows = append(flows, f)
			case e.Clause.Count > 0:
				flows[i].Actions = append(flows[i].Actions, f.Actions...)
			}
			// Else an equal plain row: all rows of a level do the same, and the first has its rule's name.
		}
	}
	return flows
}

// entryFlows returns the flows of one entry: one, or one for each IP family where a match needs to name it.
func entryFlows(e firewall.Entry) []openflow.Flow {
	cookie, actions := entryActions(e)
	side := sideOf(e.Direction)
	match := when(openflow.Exact(side.subjectNetwork, uint64(e.Network)))
	if id := e.Subject.Identity; id != 0 {
		match = append(match, openflow.Exact(side.subject, uint64(id)))
	}
	switch p := e.Peer; {
	case p.Identity != 0:
		match = append(match, openflow.Exact(side.peer, uint64(p.Identity)))
	case p.Block.Bits != 0:
		match = append(match, openflow.Masked(side.peer, uint64(p.Block.Base), uint64(p.Block.Mask())))
	}
	if e.Conjunction {
		match = append(match, openflow.Exact(openflow.ConjID, uint64(e.Rule)))
	}
	var out []openflow.Flow
	for _, family := range entryFamilies(e, side) {
		r := row{policyTable(e.Direction, e.Tier), e.Level, cookie, append(slices.Clone(match), family...), actions}
		out = append(out, r.flow())
	}
	return out
}

// side says where a direction's subject and peer are found.
type side struct {
	subject, peer, subjectNetwork openflow.Field
	peerAddr                      func(family) openflow.Field
}

func sideOf(d firewall.Direction) side {
	if d == firewall.Ingress {
		return side{regDstIdentity, regSrcIdentity, regDstNetwork, func(f family) openflow.Field { return f.src }}
	}
	return side{regSrcIdentity, regDstIdentity, regSrcNetwork, func(f family) openflow.Field { return f.dst }}
}

// entryFamilies returns the matches that need an IP family, a list for each family: none at all where neither the
// peer's prefix nor the service does.
func entryFamilies(e firewall.Entry, s side) [][]openflow.FieldMatch {
	prefix, proto := e.Peer.Prefix, uint64(e.Service.Protocol)
	if !prefix.IsValid() && proto == 0 {
		return [][]openflow.FieldMatch{nil}
	}
	var out [][]openflow.FieldMatch
	for _, f := range families() {
		if prefix.IsValid() && familyOf(prefix.Addr()).ether != f.ether {
			continue
		}
		other := proto == protoICMP || proto == protoICMPv6
		if other && proto != f.proto {
			continue
		}
		match := when(f.any())
		if prefix.IsValid() {
			match = append(match, openflow.Prefix(s.peerAddr(f), prefix))
		}
		out = append(out, append(match, serviceMatch(f, e.Service)...))
	}
	return out
}

// serviceMatch matches protocol, destination port and ICMP type and code.
func serviceMatch(f family, s firewall.ServiceMatch) []openflow.FieldMatch {
	if s.Protocol == 0 {
		return nil
	}
	match := when(openflow.Exact(openflow.IPProto, uint64(s.Protocol)))
	switch s.Protocol {
	case firewall.TCP:
		match = append(match, openflow.Masked(openflow.TCPDst, uint64(s.Port), uint64(s.PortMask)))
	case firewall.UDP:
		match = append(match, openflow.Masked(openflow.UDPDst, uint64(s.Port), uint64(s.PortMask)))
	case firewall.SCTP:
		match = append(match, openflow.Masked(openflow.SCTPDst, uint64(s.Port), uint64(s.PortMask)))
	case firewall.ICMP, firewall.ICMPv6:
		if s.Type >= 0 {
			match = append(match, openflow.Exact(f.typ, uint64(s.Type)))
		}
		if s.Code >= 0 {
			match = append(match, openflow.Exact(f.code, uint64(s.Code)))
		}
	}
	return match
}

// entryActions returns what a row does, and its cookie. A row that decides notes its rule, has it counted, and goes on;
// one that denies goes nowhere.
func entryActions(e firewall.Entry) (Cookie, []openflow.Action) {
	if e.Clause.Count > 0 {
		return Cookie{Kind: KindClause, Object: uint32(e.Network)},
			[]openflow.Action{openflow.Conjunction{ID: uint32(e.Rule), Clause: e.Clause.Index, Count: e.Clause.Count}}
	}
	rule := Cookie{Kind: KindRule, Object: uint32(e.Rule)}
	counted := []openflow.Action{openflow.Set(ruleRegister(e.Direction), uint64(e.Rule)), to(TableTally)}
	switch {
	case e.Action == firewall.Allow && e.Direction == firewall.Egress:
		return rule, append(counted, to(TablePlatformIngress))
	case e.Action == firewall.Allow:
		return rule, append(counted, to(TableCommit))
	case e.Action == firewall.Pass && e.Tier < firewall.Posture:
		return rule, append(counted, to(policyTable(e.Direction, e.Tier+1)))
	case e.Tier == firewall.Posture:
		return Cookie{Drop: DropPostureDeny, Object: uint32(e.Rule)}, counted
	}
	return Cookie{Drop: DropPolicyDeny, Object: uint32(e.Rule)}, counted
}
