package reach

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Class is a set of workloads that policy treats alike: one network and one identity. Network 0 lies outside the
// fabric.
type Class struct {
	Network  fabric.NetworkID
	Identity fabric.Identity
	// Addresses are where the addresses of its workloads may lie.
	Addresses []Range
}

// Part is a set of connections from one class to another with one decision: each source address with each
// destination address of the same family and each service.
type Part struct {
	Family Family
	// Src and Dst are sets of address atoms; nil stands for all addresses of the class in the family.
	Src, Dst Set
	Services Set // of points of the service line
	Allowed  bool
	// Egress and Ingress are the deciding rules. Ingress is nil when Egress denies, and either is nil for an end
	// outside the fabric, for an unknown one, and where no rule decides, which denies.
	Egress, Ingress *firewall.Rule
}

// Engine answers for tables and classes. It remembers what it computed, and belongs to one goroutine.
type Engine struct {
	Atoms      *Atoms
	classes    []Class
	networks   map[fabric.NetworkID]*table
	sides      []side // of each class
	all        [IPv6 + 1]Set
	outcomes   []outcome
	byOutcome  map[string]int32
	ruleNumber map[*firewall.Rule]uint32
	pairs      map[pairKey][]Part
}

// side is a class as the engine sees it.
type side struct {
	addresses [IPv6 + 1]Set
	families  uint8                       // a bit per family that the class has
	subject   [firewall.Egress + 1]*group // what governs the class; nil without a table
}

// pairKey is what a pair's parts depend on: the outcomes of the directions, and the families of both sides.
type pairKey struct {
	egress, ingress int32
	families        uint8
}

// The outcomes that every engine has: everything is allowed, because no table governs the end, and everything is
// denied, because nothing is known of it.
const (
	ungoverned int32 = iota
	unknown
)

// New returns an engine. cuts are further addresses at which atoms are cut: engines with the same tables' and
// classes' addresses among their cuts number their atoms alike.
func New(tables map[fabric.NetworkID]firewall.Table, classes []Class, cuts ...Range) *Engine {
	ranges := slices.Clone(cuts)
	for _, c := range classes {
		ranges = append(ranges, c.Addresses...)
	}
	ranges = append(ranges, RangesOf(tables)...)
	e := &Engine{
		Atoms: newAtoms(ranges), classes: classes, networks: make(map[fabric.NetworkID]*table),
		byOutcome: make(map[string]int32), pairs: make(map[pairKey][]Part), ruleNumber: make(map[*firewall.Rule]uint32),
	}
	e.all[IPv4], e.all[IPv6] = AllServices(IPv4), AllServices(IPv6)
	for _, allowed := range []bool{ungoverned: true, unknown: false} {
		var o outcome
		for _, f := range []Family{IPv4, IPv6} {
			o = append(o, verdict{region: region{family: f, services: e.all[f]}, allowed: allowed})
		}
		e.intern(o)
	}
	for _, c := range classes {
		s := side{}
		addresses := e.Atoms.setOfRanges(c.Addresses)
		for _, f := range []Family{IPv4, IPv6} {
			if s.addresses[f] = addresses.Intersect(e.Atoms.all(f)); !s.addresses[f].IsEmpty() {
				s.families |= 1 << f
			}
		}
		e.sides = append(e.sides, s)
	}
	for id, t := range tables {
		e.networks[id] = newTable(t, e)
	}
	for i, c := range classes {
		if t := e.networks[c.Network]; t != nil && c.Identity != 0 {
			for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
				e.sides[i].subject[d] = t.directions[d].groupOf(c.Identity)
			}
		}
	}
	return e
}

// Addresses returns the addresses of a part's side: all of the class's where the set is nil.
func (e *Engine) Addresses(class int, f Family, s Set) Set {
	if s == nil {
		return e.sides[class].addresses[f]
	}
	return s
}

// Services returns every packet of a family.
func (e *Engine) Services(f Family) Set { return e.all[f] }

// RangesOf returns every address range that rules name.
func RangesOf(tables map[fabric.NetworkID]firewall.Table) []Range {
	var out []Range
	seen := make(map[netip.Prefix]bool)
	for _, t := range tables {
		for i := range t.Rules {
			for _, c := range t.Rules[i].Peers.CIDRs {
				for _, p := range append([]netip.Prefix{c.Prefix}, c.Except...) {
					if p.IsValid() && !seen[p] {
						seen[p] = true
						out = append(out, RangeOf(p))
					}
				}
			}
		}
	}
	slices.SortFunc(out, Range.Compare)
	return out
}

// Between returns what policy decides for connections from one class to another, by their places in the classes that
// New was given. The parts are disjoint, cover each pair of addresses of one family, and must not be changed.
// They are ordered by family, then as their rules are asked.
func (e *Engine) Between(from, to int) []Part {
	src, dst := e.classes[from], e.classes[to]
	key := pairKey{egress: unknown, ingress: unknown, families: e.sides[from].families & e.sides[to].families}
	if (src.Network == 0 || src.Identity != 0) && (dst.Network == 0 || dst.Identity != 0) && src.Network|dst.Network != 0 {
		key.egress = e.direction(firewall.Egress, from, to)
		if !e.outcomes[key.egress].deniesAll() {
			key.ingress = e.direction(firewall.Ingress, to, from)
		}
	}
	parts, ok := e.pairs[key]
	if !ok {
		parts = e.product(key)
		e.pairs[key] = parts
	}
	return parts
}

// product joins the two directions. Egress verdicts speak of destination addresses, ingress verdicts of sources.
func (e *Engine) product(key pairKey) []Part {
	var out []Part
	for _, eg := range e.outcomes[key.egress] {
		switch {
		case key.families>>eg.family&1 == 0:
		case !eg.allowed:
			out = append(out, Part{Family: eg.family, Dst: eg.addresses, Services: eg.services, Egress: eg.rule})
		default:
			for _, in := range e.outcomes[key.ingress] {
				if in.family != eg.family {
					continue
				}
				if both := eg.services.Intersect(in.services); !both.IsEmpty() {
					out = append(out, Part{
						Family: eg.family, Src: in.addresses, Dst: eg.addresses, Services: both,
						Allowed: in.allowed, Egress: eg.rule, Ingress: in.rule,
					})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Part) int { return cmp.Compare(a.Family, b.Family) })
	return out
}

// direction returns the number of the outcome for a subject and a peer.
func (e *Engine) direction(d firewall.Direction, subject, peer int) int32 {
	if e.classes[subject].Network == 0 {
		return ungoverned
	}
	g := e.sides[subject].subject[d]
	if g == nil {
		return unknown
	}
	code := g.codes(e)[peer]
	if n := g.outcomes[code]; n >= 0 {
		return n
	}
	n := e.intern(g.decide(e, peer))
	g.outcomes[code] = n
	return n
}

// intern numbers outcomes; equal ones have one number.
func (e *Engine) intern(o outcome) int32 {
	buf := make([]byte, 0, 256)
	number := func(x uint32) { buf = binary.LittleEndian.AppendUint32(buf, x) }
	for _, v := range o {
		kind := uint32(v.family) << 1
		if v.allowed {
			kind |= 1
		}
		number(kind)
		if v.rule != nil {
			if e.ruleNumber[v.rule] == 0 {
				e.ruleNumber[v.rule] = uint32(len(e.ruleNumber) + 1)
			}
			number(e.ruleNumber[v.rule])
		} else {
			number(0)
		}
		for _, s := range []Set{v.addresses, v.services} {
			number(uint32(len(s)))
			for _, span := range s {
				number(span.First)
				number(span.Last)
			}
		}
	}
	n, ok := e.byOutcome[string(buf)]
	if !ok {
		n = int32(len(e.outcomes))
		e.byOutcome[string(buf)] = n
		e.outcomes = append(e.outcomes, o)
	}
	return n
}

// sortRules orders rules as they are asked: by tier, then by place; the table's order stands among equals.
func sortRules(rules []*firewall.Rule) {
	slices.SortStableFunc(rules, func(a, b *firewall.Rule) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), a.Order.Compare(b.Order))
	})
}
