package verify

import (
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

const fieldCount = int(openflow.ARPTHA) + 1

// variable numbers something that a packet brings along: the first are the fields of the packet itself, by their
// number; what the connection tracker answers comes behind them. 0 is none.
type variable int16

// cell is what a field holds at one point of the tables: bits that are known, the others those of a variable, bit i
// of the field being bit i+shift of the variable. An opaque cell holds something that isn't modelled.
type cell struct {
	value, known word
	shift        int16
	from         variable
	opaque       bool
}

// term says that the bits of mask of a variable have a value.
type term struct {
	v           variable
	value, mask word
}

// cube is a conjunction of terms.
type cube []term

// cells are the fields of a packet at one point of the tables.
type cells [fieldCount]cell

// state is a set of packets at one point of the tables: those that know describes, without those in any of except.
type state struct {
	cells  *cells
	shared bool // cells belongs to another state too
	know   beliefs
	except exceptions
	stack  []cell

	frames  *frame
	pending []clone // copies of the packet that the connection tracker will return
	depth   int

	asked *cells // what policy was asked about, where the run leaves policy out

	outs    []out
	commits []commit
	lookups []lookup
	path    *step
	size    size
	trouble string // what isn't modelled
	stopped bool   // it reached the table where the run ends
}

// frame is what is to be done when a list of actions ends.
type frame struct {
	actions []openflow.Action
	next    *frame
	depth   int
}

// clone is a packet on its way through the connection tracker.
type clone struct {
	cells cells
	table uint8
}

// out is a packet that left the tables.
type out struct {
	port  cell
	cells *cells
	agent bool
	ask   openflow.Controller // what the agent is told with it
}

// commit is a connection that was remembered.
type commit struct {
	zone    cell
	pending cell // the label's pending bit
}

// lookup is a question to the connection tracker, with the variables of its answer.
type lookup struct {
	zone         cell
	state, label variable
}

// step is a flow that the packets met.
type step struct {
	flow *flow
	prev *step
}

// newState returns the set of all packets.
func newState() *state {
	s := &state{cells: new(cells), know: newBeliefs(fieldCount)}
	for f := openflow.Field(1); int(f) < fieldCount; f++ {
		if packetField(f) {
			s.cells[f] = cell{from: variable(f)}
		} else {
			s.cells[f] = cell{known: ones(128)}
		}
	}
	return s
}

// packetField reports whether a packet brings the field along; the others are zero at first.
func packetField(f openflow.Field) bool {
	switch {
	case f == openflow.InPort, f >= openflow.EthDst && (f < openflow.CTNwProto || f > openflow.CTTpDst):
		return true
	}
	return false
}

func (s *state) clone() *state {
	s.shared = true
	s.know.own = 0
	s.except.share()
	t := *s
	t.outs = s.outs[:len(s.outs):len(s.outs)]
	t.commits = s.commits[:len(s.commits):len(s.commits)]
	t.lookups = s.lookups[:len(s.lookups):len(s.lookups)]
	t.stack = s.stack[:len(s.stack):len(s.stack)]
	t.pending = s.pending[:len(s.pending):len(s.pending)]
	return &t
}

// put writes a field.
func (s *state) put(f openflow.Field, c cell) {
	if s.shared {
		n := *s.cells
		s.cells, s.shared = &n, false
	}
	s.cells[f] = c
}

// set gives a field a known value.
func (s *state) set(f openflow.Field, v word) { s.put(f, cell{value: v, known: ones(128)}) }

func (s *state) setNum(f openflow.Field, v uint64) { s.set(f, num(v)) }

// fresh makes a variable of which nothing is known.
func (s *state) fresh() variable {
	return s.know.more()
}

// free makes a field hold anything.
func (s *state) free(f openflow.Field) variable {
	v := variable(f)
	s.put(f, cell{from: v})
	return v
}

// read returns the bits of a cell that are known.
func (s *state) read(c *cell) (value, known word) {
	if c.from == 0 {
		return c.value, c.known
	}
	k := s.know.of(c.from)
	more := without(shift(k.known, -int(c.shift)), c.known)
	return or(c.value, shift(k.value, -int(c.shift)).And(more)), or(c.known, more)
}

// number returns the value of a field all of whose bits are known.
func (s *state) number(f openflow.Field) (uint64, bool) {
	v, known := s.read(&s.cells[f])
	return v.Lo, without(ones(f.Bits()), known).IsZero()
}

// truth is whether packets of a set match.
type truth uint8

const (
	no truth = iota + 1
	yes
	some
)

// test compares the bits of mask of a cell with value. For some, t says which packets match.
func (s *state) test(c *cell, value, mask word) (truth, term) {
	v, known := s.read(c)
	if d := xor(v, value).And(mask).And(known); !d.IsZero() {
		return no, term{}
	}
	rest := without(mask, known)
	if rest.IsZero() {
		return yes, term{}
	}
	return some, term{c.from, shift(value.And(rest), int(c.shift)), shift(rest, int(c.shift))}
}

// holds compares what is known with a term.
func (s *state) holds(t *term) truth {
	k := s.know.of(t.v)
	if !xor(k.value, t.value).And(t.mask).And(k.known).IsZero() {
		return no
	}
	if without(t.mask, k.known).IsZero() {
		return yes
	}
	return some
}

func (s *state) holdsAll(c cube) truth {
	result := yes
	for i := range c {
		switch s.holds(&c[i]) {
		case no:
			return no
		case some:
			result = some
		}
	}
	return result
}

// assume keeps the packets of c. It reports false if none is left; packets may be none although it reports true.
func (s *state) assume(c cube) bool {
	for i := range c {
		t := &c[i]
		k := s.know.of(t.v)
		if !xor(k.value, t.value).And(t.mask).And(k.known).IsZero() {
			return false
		}
		if without(t.mask, k.known).IsZero() {
			continue
		}
		k = s.know.change(t.v)
		k.value = or(k.value, without(t.value, k.known))
		k.known = or(k.known, t.mask)
	}
	return s.settle()
}

// settle reports false if an exception covers all. Exceptions that can't hold any more are dropped when they are many.
func (s *state) settle() bool {
	dead := 0
	for c := range s.except.all {
		switch s.holdsAll(c) {
		case yes:
			return false
		case no:
			dead++
		}
	}
	if 2*dead > s.except.count {
		s.compact()
	}
	return true
}

// compact drops the exceptions that can't hold any more.
func (s *state) compact() {
	var kept exceptions
	for c := range s.except.all {
		if s.holdsAll(c) != no {
			kept.add(c)
		}
	}
	s.except = kept
}

// exclude drops the packets of c, of which some may be in s.
func (s *state) exclude(c cube) bool {
	switch s.holdsAll(c) {
	case yes:
		return false
	case no:
		return true
	}
	var only *term
	for i := range c {
		if s.holds(&c[i]) == some {
			if only != nil {
				only = nil
				break
			}
			only = &c[i]
		}
	}
	if only != nil {
		if rest := without(only.mask, s.know.of(only.v).known); count(rest) == 1 {
			return s.assume(cube{{only.v, xor(only.value, rest).And(rest), rest}})
		}
	}
	s.except.add(c)
	return true
}

// solveBudget is how many decisions the search for one packet may take.
const solveBudget = 20000

// solve narrows s to a set without exceptions. It reports false when s is empty, and undecided when it would take
// too long to find out.
func (s *state) solve() (found *state, undecided bool) {
	budget := solveBudget
	found = s.clone().search(&budget)
	return found, found == nil && budget <= 0
}

// empty reports whether s is known to have no packet.
func (s *state) empty() bool {
	one, undecided := s.solve()
	return one == nil && !undecided
}

func (s *state) search(budget *int) *state {
	if *budget--; *budget < 0 || !s.settle() {
		return nil
	}
	if s.compact(); s.except.count == 0 {
		return s
	}
	// The exception with the fewest free bits leaves the fewest choices.
	var best cube
	bits := 1 << 30
	for c := range s.except.all {
		n := 0
		for j := range c {
			n += count(without(c[j].mask, s.know.of(c[j].v).known))
		}
		if n < bits {
			best, bits = c, n
		}
	}
	// Disjoint parts of what is outside of the exception: the first bits as it says, the next one different.
	inside := s.clone()
	for _, t := range best {
		for rest := without(t.mask, s.know.of(t.v).known); !rest.IsZero(); {
			bit := top(rest)
			rest = without(rest, bit)
			part := inside.clone()
			if part.assume(cube{{t.v, xor(t.value, bit).And(bit), bit}}) {
				if r := part.search(budget); r != nil {
					return r
				}
			}
			k := inside.know.change(t.v)
			k.value, k.known = or(k.value, t.value.And(bit)), or(k.known, bit)
		}
	}
	return nil
}

// same reports whether a field still holds what the variable brought along.
func (s *state) same(c *cells, f openflow.Field, v variable) bool {
	width := ones(f.Bits())
	x := c[f]
	if x.opaque {
		return false
	}
	if x.from == v && x.shift == 0 && x.known.And(width).IsZero() {
		return true
	}
	a, ka := s.read(&x)
	k := s.know.of(v)
	return without(width, ka).IsZero() && without(width, k.known).IsZero() && xor(a, k.value).And(width).IsZero()
}

// is reports whether a cell of width bits is known to be v.
func (s *state) is(c *cell, v word, width int) bool {
	x, known := s.read(c)
	w := ones(width)
	return !c.opaque && without(w, known).IsZero() && xor(x, v).And(w).IsZero()
}

func (s *state) flows() []*flow {
	var out []*flow
	for p := s.path; p != nil; p = p.prev {
		out = append(out, p.flow)
	}
	slices.Reverse(out)
	return out
}
