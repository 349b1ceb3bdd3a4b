package reach

import (
	"cmp"
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
	Family  Family
	Allowed bool
	// Src and Dst are sets of address atoms; nil stands for all addresses of the class in the family.
	Src, Dst Set
	Services Set // of points of the service line
	// Egress and Ingress are the deciding rules. Ingress is nil when Egress denies, and either is nil for an end
	// outside the fabric, for an unknown one, and where no rule decides, which denies.
	Egress, Ingress *firewall.Rule
}

// Engine answers for tables and classes. It remembers what it computed, and belongs to one goroutine.
type Engine struct {
	Atoms    *Atoms
	classes  []Class
	networks map[fabric.NetworkID]*table
	sides    []side // of each class
	all      [IPv6 + 1]Set
	outcomes []outcome
	plain    map[plainOutcome]int32
	pairs    map[pairKey][]Part
	slab     []Part // where the next parts go: many small lists are one block of memory
	scratch  scratch
}

// scratch is memory that each decision uses anew.
type scratch struct {
	open, rest []region
	out        outcome
}

// maxPairs bounds the results that are remembered.
const maxPairs = 1 << 18

// slabSize is how many parts are allocated at once.
const slabSize = 4096

// side is a class as the engine sees it.
type side struct {
	addresses [IPv6 + 1]Set
	families  uint8                       // a bit per family that the class has
	subject   [firewall.Egress + 1]*group // what governs the class; nil without a table
}

// pairKey is what a pair's parts depend on: the outcomes of the directions in each family.
type pairKey struct {
	egress4, ingress4, egress6, ingress6 int32
}

// of returns the outcomes' numbers in a family.
func (k *pairKey) of(f Family) (egress, ingress *int32) {
	if f == IPv4 {
		return &k.egress4, &k.ingress4
	}
	return &k.egress6, &k.ingress6
}

// plainOutcome is an outcome of one verdict for everything: those are alike for many groups of subjects.
type plainOutcome struct {
	family  Family
	allowed bool
	rule    *firewall.Rule
}

// noOutcome is the number of the outcome in a family that a pair doesn't share, or of a direction that isn't asked.
const noOutcome int32 = 0

// Input is what an engine answers for.
type Input struct {
	Tables  map[fabric.NetworkID]firewall.Table
	Classes []Class
	// Cuts are further addresses at which atoms are cut: engines with the same tables' and classes' addresses among their
	// cuts number their atoms alike.
	Cuts []Range
	// Joined says between which networks packets can pass at all; nil means all. Between others everything is denied, by no
	// rule, and nothing is computed.
	Joined func(a, b fabric.NetworkID) bool
}

// joined reports whether classes of a network can be peers of a table's subjects. The outside can.
func (in Input) joined(table, network fabric.NetworkID) bool {
	return in.Joined == nil || network == 0 || network == table || in.Joined(table, network)
}

// New returns an engine for networks that are all joined.
func New(tables map[fabric.NetworkID]firewall.Table, classes []Class, cuts ...Range) *Engine {
	return NewEngine(Input{Tables: tables, Classes: classes, Cuts: cuts})
}

// NewEngine returns an engine.
func NewEngine(in Input) *Engine {
	tables, classes := in.Tables, in.Classes
	ranges := slices.Clone(in.Cuts)
	for _, c := range classes {
		ranges = append(ranges, c.Addresses...)
	}
	ranges = append(ranges, RangesOf(tables)...)
	e := &Engine{
		Atoms: newAtoms(ranges), classes: classes, networks: make(map[fabric.NetworkID]*table),
		outcomes: make([]outcome, noOutcome+1), plain: make(map[plainOutcome]int32), pairs: make(map[pairKey][]Part),
	}
	e.all[IPv4], e.all[IPv6] = AllServices(IPv4), AllServices(IPv6)
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
	peers := newPeerIndex(classes)
	for id, t := range tables {
		e.networks[id] = newTable(t, e, peers.of(in, id))
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
	known := (src.Network == 0 || src.Identity != 0) && (dst.Network == 0 || dst.Identity != 0) && src.Network|dst.Network != 0
	common := e.sides[from].families & e.sides[to].families
	var key pairKey
	for f := IPv4; f <= IPv6; f++ {
		egress, ingress := key.of(f)
		switch {
		case common>>f&1 == 0:
		case !known:
			*egress = e.number(f, outcome{e.everything(f, false)})
		default:
			if *egress = e.direction(firewall.Egress, f, from, to); e.outcomes[*egress].allows() {
				*ingress = e.direction(firewall.Ingress, f, to, from)
			}
		}
	}
	parts, ok := e.pairs[key]
	if !ok {
		if len(e.pairs) >= maxPairs {
			clear(e.pairs) // they are quickly made again
		}
		parts = e.product(key)
		e.pairs[key] = parts
	}
	return parts
}

// product joins the directions. Egress verdicts speak of destination addresses, ingress verdicts of sources.
func (e *Engine) product(key pairKey) []Part {
	most := 0
	for f := IPv4; f <= IPv6; f++ {
		egress, ingress := key.of(f)
		most += len(e.outcomes[*egress]) * max(len(e.outcomes[*ingress]), 1)
	}
	if cap(e.slab)-len(e.slab) < most {
		e.slab = make([]Part, 0, max(slabSize, most))
	}
	first := len(e.slab)
	for f := IPv4; f <= IPv6; f++ {
		egress, ingress := key.of(f)
		e.productIn(f, e.outcomes[*egress], e.outcomes[*ingress])
	}
	return e.slab[first:len(e.slab):len(e.slab)]
}

// productIn adds the parts of a family.
func (e *Engine) productIn(f Family, egress, ingress outcome) {
	for i := range egress {
		eg := &egress[i]
		if !eg.allowed {
			e.slab = append(e.slab, Part{Family: f, Dst: eg.addresses, Services: eg.services, Egress: eg.rule})
			continue
		}
		for j := range ingress {
			in := &ingress[j]
			if both := eg.services.Intersect(in.services); !both.IsEmpty() {
				e.slab = append(e.slab, Part{
					Family: f, Allowed: in.allowed, Src: in.addresses, Dst: eg.addresses, Services: both, Egress: eg.rule, Ingress: in.rule,
				})
			}
		}
	}
}

// everything is one verdict for all packets of a family, by no rule: for an end outside, which no table governs, and for one
// of which nothing is known.
func (e *Engine) everything(f Family, allowed bool) verdict {
	return verdict{region: region{services: e.all[f]}, allowed: allowed}
}

// direction returns the number of the outcome for a subject and a peer.
func (e *Engine) direction(d firewall.Direction, f Family, subject, peer int) int32 {
	if e.classes[subject].Network == 0 {
		return e.number(f, outcome{e.everything(f, true)})
	}
	g := e.sides[subject].subject[d]
	if g == nil {
		return e.number(f, outcome{e.everything(f, false)})
	}
	local := g.list.peers.local[peer]
	if local < 0 {
		return e.number(f, outcome{e.everything(f, false)}) // not joined
	}
	byCode := g.outcomes() // before the code is looked at
	known := &byCode[f][g.code[local]]
	if *known == noOutcome {
		*known = e.number(f, g.decide(e, f, peer))
	}
	return *known
}

// number returns the number of an outcome; plain ones that are equal have one number.
func (e *Engine) number(f Family, o outcome) int32 {
	isPlain := len(o) == 1 && o[0].addresses == nil && o[0].services.Equal(e.all[f])
	var key plainOutcome
	if isPlain {
		key = plainOutcome{f, o[0].allowed, o[0].rule}
		if n, ok := e.plain[key]; ok {
			return n
		}
	}
	n := int32(len(e.outcomes))
	e.outcomes = append(e.outcomes, o)
	if isPlain {
		e.plain[key] = n
	}
	return n
}

// sortRules orders rules as they are asked: by tier, then by place; the table's order stands among equals.
func sortRules(rules []*firewall.Rule) {
	slices.SortStableFunc(rules, func(a, b *firewall.Rule) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), a.Order.Compare(b.Order))
	})
}
