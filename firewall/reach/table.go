package reach

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// table is a firewall.Table prepared for questions.
type table struct {
	directions [firewall.Egress + 1]*ruleList
}

// ruleList holds the rules of one direction in the order in which they are asked.
type ruleList struct {
	direction firewall.Direction

	rules  []prepared
	peers  peers
	groups map[string]*group // by their rules

	bySubject  map[fabric.Identity][]int32 // the rules that name a subject by its identity; nil: they are searched
	anySubject []int32
}

// prepared is a rule with its sets made.
type prepared struct {
	rule      *firewall.Rule
	addresses Set
	services  [IPv6 + 1]Set
	// means lists the classes that the rule means as peers whatever their address, touches those of whose addresses it
	// means some only. Rules for anyone need neither.
	means, touches []int32
}

// group is the subjects that the same rules govern.
type group struct {
	list  *ruleList
	rules []int32
	// code numbers the peers by what the rules know of them: peers with one code have one outcome.
	code   []int32
	byCode [IPv6 + 1][]int32 // the outcomes' numbers; noOutcome when not computed yet
}

// peers are the classes that can be the other side of a table's subjects.
type peers struct {
	network fabric.NetworkID // of the table
	list    []int32          // in order
	local   []int32          // the place in list, by class; negative for others
	index   *peerIndex
}

// peerIndex finds classes for all tables.
type peerIndex struct {
	classes    []Class
	byIdentity map[fabric.Identity][]int32
	everyone   *peers
}

func newPeerIndex(classes []Class) *peerIndex {
	x := &peerIndex{classes: classes, byIdentity: make(map[fabric.Identity][]int32)}
	for i, c := range classes {
		if c.Identity != 0 {
			x.byIdentity[c.Identity] = append(x.byIdentity[c.Identity], int32(i))
		}
	}
	return x
}

// of returns the peers of a table.
func (x *peerIndex) of(in Input, table fabric.NetworkID) peers {
	if in.Joined == nil && x.everyone != nil {
		p := *x.everyone
		p.network = table
		return p
	}
	p := peers{network: table, local: make([]int32, len(x.classes)), index: x}
	networks := make(map[fabric.NetworkID]bool)
	for i, c := range x.classes {
		joined, known := networks[c.Network]
		if !known {
			joined = in.joined(table, c.Network)
			networks[c.Network] = joined
		}
		p.local[i] = -1
		if joined {
			p.local[i] = int32(len(p.list))
			p.list = append(p.list, int32(i))
		}
	}
	if in.Joined == nil {
		x.everyone = &p
	}
	return p
}

func newTable(t firewall.Table, e *Engine, p peers) *table {
	out := &table{}
	for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
		l := newRuleList(rulesOf(t, d), e, p, nil)
		l.direction = d
		out.directions[d] = l
	}
	return out
}

// rulesOf returns the rules of a direction as they are asked.
func rulesOf(t firewall.Table, d firewall.Direction) []*firewall.Rule {
	var rules []*firewall.Rule
	for i := range t.Rules {
		if r := &t.Rules[i]; r.Direction == d && r.Tier >= firewall.Platform && r.Tier <= firewall.Posture {
			rules = append(rules, r)
		}
	}
	sortRules(rules)
	return rules
}

// newRuleList prepares rules; known are those that were prepared before, by their ids.
func newRuleList(rules []*firewall.Rule, e *Engine, of peers, known map[firewall.RuleID]*prepared) *ruleList {
	l := &ruleList{rules: make([]prepared, 0, len(rules)), peers: of, groups: make(map[string]*group)}
	if known == nil { // else few subjects are asked for
		l.bySubject = make(map[fabric.Identity][]int32)
	}
	for i, r := range rules {
		p := prepared{rule: r}
		if old := known[r.ID]; old != nil && decidesAlike(old.rule, r) {
			p = *old
			p.rule = r
		} else {
			p.addresses = e.Atoms.setOfCIDRs(r.Peers.CIDRs)
			p.services[IPv4], p.services[IPv6] = ServicesOf(r.Services, IPv4), ServicesOf(r.Services, IPv6)
			if !r.Peers.Any {
				p.findPeers(e, of)
			}
		}
		l.rules = append(l.rules, p)
		if r.Subject.Any {
			l.anySubject = append(l.anySubject, int32(i))
			continue
		}
		if l.bySubject == nil {
			continue
		}
		for _, id := range r.Subject.IDs {
			own := l.bySubject[id]
			if id != 0 && (len(own) == 0 || own[len(own)-1] != int32(i)) {
				l.bySubject[id] = append(own, int32(i))
			}
		}
	}
	return l
}

// findPeers fills in means and touches.
func (p *prepared) findPeers(e *Engine, of peers) {
	meant := make(map[int32]bool)
	for _, id := range p.rule.Peers.IDs {
		for _, class := range of.index.byIdentity[id] {
			if of.local[class] >= 0 {
				meant[class] = true
			}
		}
	}
	if len(p.rule.Peers.Blocks) > 0 || len(p.addresses) > 0 {
		for _, class := range of.list {
			c := &e.classes[class]
			for _, b := range p.rule.Peers.Blocks {
				if c.Identity != 0 && b.Contains(c.Identity) {
					meant[class] = true
				}
			}
			if len(p.addresses) == 0 || meant[class] {
				continue
			}
			all, some := 0, 0 // families that the class has, and those of which the rule means all
			hit := false
			for f := IPv4; f <= IPv6; f++ {
				addresses := e.sides[class].addresses[f]
				if addresses.IsEmpty() {
					continue
				}
				all++
				switch both := addresses.Intersect(p.addresses); {
				case both.Equal(addresses):
					some, hit = some+1, true
				case !both.IsEmpty():
					hit = true
				}
			}
			switch {
			case !hit:
			case some == all:
				meant[class] = true
			default:
				p.touches = append(p.touches, class)
			}
		}
	}
	p.means = slices.Sorted(maps.Keys(meant))
}

// groupOf returns the group of the subjects with an identity.
func (l *ruleList) groupOf(id fabric.Identity) *group {
	rules := slices.Concat(l.anySubject, l.bySubject[id])
	for i := range l.rules {
		if s := &l.rules[i].rule.Subject; l.bySubject == nil && !s.Any && slices.Contains(s.IDs, id) {
			rules = append(rules, int32(i))
		}
	}
	slices.Sort(rules)
	buf := make([]byte, 0, 4*len(rules))
	for _, r := range rules {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(r))
	}
	g := l.groups[string(buf)]
	if g == nil {
		g = &group{list: l, rules: rules}
		l.groups[string(buf)] = g
	}
	return g
}

// outcomes returns the outcomes by family and code. It numbers the peers first, rule by rule: those that a rule means part from
// those that it doesn't. A peer of whose addresses a rule means some has a number of its own.
func (g *group) outcomes() *[IPv6 + 1][]int32 {
	if g.code != nil {
		return &g.byCode
	}
	local := g.list.peers.local
	g.code = make([]int32, len(g.list.peers.list))
	next := int32(1)
	var moved []int32 // by old code, the new one, or 0
	for _, i := range g.rules {
		moved = append(moved[:0], make([]int32, next)...)
		for _, class := range g.list.rules[i].means {
			to := &moved[g.code[local[class]]]
			if *to == 0 {
				*to = next
				next++
			}
			g.code[local[class]] = *to
		}
		for _, class := range g.list.rules[i].touches {
			g.code[local[class]] = next
			next++
		}
	}
	for f := IPv4; f <= IPv6; f++ {
		g.byCode[f] = make([]int32, next)
	}
	return &g.byCode
}

// region is a set of packets of one family as one direction sees them: the peer's addresses, nil for all that it has, and
// services.
type region struct {
	addresses Set
	services  Set
}

// verdict is what a direction decides for a region.
type verdict struct {
	region
	allowed bool
	rule    *firewall.Rule // nil: no rule decided
}

// outcome is what a direction decides for all packets of a family.
type outcome []verdict

// allows reports whether anything at all is allowed.
func (o outcome) allows() bool {
	for i := range o {
		if o[i].allowed {
			return true
		}
	}
	return false
}

// decide asks the rules of a group for all packets of a peer in a family at once, tier by tier.
func (g *group) decide(e *Engine, f Family, peer int) outcome {
	open, rest, out := e.scratch.open[:0], e.scratch.rest, e.scratch.out[:0]
	open = append(open, region{services: e.all[f]})
	var passed []region
	tier := firewall.Platform
	for _, i := range g.rules {
		p := &g.list.rules[i]
		if p.rule.Tier != tier {
			open, passed, tier = append(open, passed...), nil, p.rule.Tier
		}
		if len(open) == 0 && len(passed) == 0 {
			break
		}
		means := p.rule.Peers.Any || contains(p.means, peer)
		if !means && !contains(p.touches, peer) {
			continue
		}
		ask := question{e, f, peer, p, means}
		rest = rest[:0]
		for _, r := range open {
			var taken region
			if taken, rest = ask.split(r, rest); taken.services.IsEmpty() {
				continue
			}
			if p.rule.Action == firewall.Pass {
				passed = append(passed, taken)
			} else {
				out = append(out, verdict{taken, p.rule.Action == firewall.Allow, p.rule})
			}
		}
		open, rest = rest, open
	}
	for _, r := range append(open, passed...) {
		out = append(out, verdict{region: r})
	}
	e.scratch = scratch{open, rest, out}
	return slices.Clone(out)
}

// question is what one rule has to say about a peer. means says that the rule takes every address.
type question struct {
	e     *Engine
	f     Family
	peer  int
	p     *prepared
	means bool
}

// split returns the part of a region that the rule takes, without services if it takes nothing, and appends what it leaves.
func (q *question) split(r region, left []region) (taken region, rest []region) {
	services := r.services.Intersect(q.p.services[q.f])
	if services.IsEmpty() {
		return region{}, append(left, r)
	}
	taken = region{r.addresses, services}
	if !q.means {
		all := q.e.Addresses(q.peer, q.f, r.addresses)
		hit := all.Intersect(q.p.addresses)
		if hit.IsEmpty() {
			return region{}, append(left, r)
		}
		if other := all.Subtract(hit); !other.IsEmpty() {
			taken.addresses = hit
			left = append(left, region{other, r.services})
		}
	}
	if other := r.services.Subtract(services); !other.IsEmpty() {
		left = append(left, region{taken.addresses, other})
	}
	return taken, left
}

func contains(sorted []int32, class int) bool {
	_, found := slices.BinarySearch(sorted, int32(class))
	return found
}
