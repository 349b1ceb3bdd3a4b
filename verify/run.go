package verify

import (
	"fmt"

	"github.com/weftfabric/weft/wire/openflow"
)

// run sends sets of packets through the tables.
type run struct {
	tables *tables
	// stop is the table where packets leave the run; none if negative.
	stop int
	// bridge leads packets for the policy tables to the table where allowed ones go on; each state remembers what it
	// asked.
	bridge bool
	// leaf receives the parts of the set as they end.
	leaf    func(*state)
	scratch []uint64
	// steps counts lookups.
	steps int
}

// The limits of Open vSwitch (ofproto/ofproto-dpif-xlate.c): nested and total resubmits of one packet.
const (
	maxDepth   = 64
	maxLookups = 8 // of one packet by the connection tracker; the layout needs two
)

// resubmit looks s up in a table, and follows all of its packets to their ends.
func (r *run) resubmit(s *state, number uint8) {
	if r.bridge && number == tableEgress {
		if s.asked != nil || s.frames != nil {
			s.trouble = "policy is asked twice, or something follows behind its answer"
			r.leaf(s)
			return
		}
		s.asked, s.shared, number = s.cells, true, tableCommit
	}
	if int(number) == r.stop {
		if s.frames != nil || len(s.pending) > 0 {
			s.trouble = fmt.Sprintf("something follows behind the packet's way to table %d", number)
		}
		s.stopped = true
		r.leaf(s)
		return
	}
	if s.depth++; s.depth > maxDepth || len(s.lookups) > maxLookups {
		s.trouble = "tables that call each other without end"
		r.leaf(s)
		return
	}
	r.steps++
	r.find(s, number, func(t *state, f *flow) {
		if f == nil {
			r.next(t)
			return
		}
		t.path = &step{f, t.path}
		if t.trouble != "" {
			r.leaf(t)
			return
		}
		r.act(t, f.does)
	})
}

// next goes on where a list of actions has ended.
func (r *run) next(s *state) {
	if f := s.frames; f != nil {
		s.frames, s.depth = f.next, f.depth
		r.act(s, f.actions)
		return
	}
	if len(s.pending) > 0 {
		c := s.pending[0]
		s.pending = s.pending[1:]
		s.cells, s.shared, s.depth = &c.cells, true, 0
		r.resubmit(s, c.table)
		return
	}
	r.leaf(s)
}

// act carries out actions.
func (r *run) act(s *state, actions []openflow.Action) {
	for i, a := range actions {
		switch a := a.(type) {
		case openflow.Resubmit:
			if rest := actions[i+1:]; len(rest) > 0 {
				s.frames = &frame{rest, s.frames, s.depth}
			}
			r.resubmit(s, a.Table)
			return
		case openflow.CheckLarger:
			larger := s.split(a)
			if larger == nil {
				r.leaf(s)
				return
			}
			r.act(larger, actions[i+1:])
		case openflow.DecTTL:
			if !r.decTTL(s) {
				r.next(s)
				return
			}
		default:
			if s.trouble = s.apply(a); s.trouble != "" {
				r.leaf(s)
				return
			}
		}
	}
	r.next(s)
}

// decTTL lowers the TTL. Packets that have none left end this list of actions; it reports false if all do.
func (r *run) decTTL(s *state) bool {
	c := s.cells[openflow.IPTTL]
	if c.opaque {
		s.trouble = "the TTL is lowered twice"
		return true
	}
	expired, t := s.test(&c, word{}, num(0xfe))
	switch expired {
	case yes:
		return false
	case some:
		if e := s.clone(); e.assume(cube{t}) {
			r.next(e)
		}
		if !s.exclude(cube{t}) {
			return false
		}
	}
	s.put(openflow.IPTTL, cell{from: c.from, shift: c.shift, value: c.value, known: c.known, opaque: true})
	return true
}

// apply carries out an action that neither branches nor looks up. It returns what isn't modelled.
func (s *state) apply(a openflow.Action) string {
	switch a := a.(type) {
	case openflow.Output:
		return s.output(cell{value: num(uint64(a.Port)), known: ones(128)})
	case openflow.OutputReg:
		c, ok := s.extract(a.Src)
		if !ok {
			return "output to a port that isn't modelled"
		}
		return s.output(c)
	case openflow.Controller:
		s.shared = true
		s.outs = append(s.outs, out{agent: true, ask: a, cells: s.cells})
	case openflow.SetField:
		return s.setField(a)
	case openflow.Move:
		c, ok := s.extract(a.Src)
		if !ok || !s.deposit(a.Dst, c) {
			return fmt.Sprintf("move from %s to %s", a.Src.Field, a.Dst.Field)
		}
	case openflow.Push:
		c, ok := s.extract(a.Src)
		if !ok {
			return fmt.Sprintf("push of %s", a.Src.Field)
		}
		s.stack = append(s.stack[:len(s.stack):len(s.stack)], c)
	case openflow.Pop:
		if len(s.stack) == 0 {
			return "pop from an empty stack"
		}
		c := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if !s.deposit(a.Dst, c) {
			return fmt.Sprintf("pop to %s", a.Dst.Field)
		}
	case openflow.CT:
		return s.track(a)
	case openflow.CTClear:
		s.forget()
	default:
		return fmt.Sprintf("action %s", openflow.FormatActions([]openflow.Action{a}))
	}
	return ""
}

// output sends the packet to a port; the switch never sends one back by naming the port that it came from.
func (s *state) output(port cell) string {
	in := s.cells[openflow.InPort]
	switch v, known := s.read(&port); {
	case !without(ones(32), known).IsZero():
	case uint32(v.Lo) == openflow.PortInPort:
	case s.is(&in, v.And(ones(32)), 32):
		return ""
	}
	s.shared = true
	s.outs = append(s.outs, out{port: port, cells: s.cells})
	return ""
}

// wide reports whether a field is another name for others.
func wide(f openflow.Field) bool { return f >= openflow.XXReg0 && f <= openflow.XXReg3 }

func (s *state) setField(a openflow.SetField) string {
	if wide(a.Field) {
		return fmt.Sprintf("set_field of %s", a.Field)
	}
	c := s.cells[a.Field]
	mask := a.Mask.And(ones(a.Field.Bits()))
	if mask == ones(a.Field.Bits()) {
		s.set(a.Field, a.Value)
		return ""
	}
	if c.opaque {
		return fmt.Sprintf("set_field of a part of %s", a.Field)
	}
	c.value = or(without(c.value, mask), a.Value.And(mask))
	c.known = or(c.known, mask)
	s.put(a.Field, c)
	return ""
}

// extract returns a subfield as a cell whose upper bits are zero.
func (s *state) extract(f openflow.Subfield) (cell, bool) {
	c := s.cells[f.Field]
	if c.opaque || wide(f.Field) {
		return cell{}, false
	}
	low := ones(int(f.Bits))
	v, known := s.read(&c)
	v, known = shift(v, -int(f.Offset)).And(low), shift(known, -int(f.Offset)).And(low)
	out := cell{value: v, known: or(known, not(low))}
	if known != low {
		out.from, out.shift = c.from, c.shift+int16(f.Offset)
		// Bits that are known through the variable stay its bits, so that the field is still recognised as a whole.
		own := shift(c.known, -int(f.Offset)).And(low)
		out.value, out.known = v.And(own), or(own, not(low))
	}
	return out, true
}

// deposit writes a cell of extract into a subfield.
func (s *state) deposit(f openflow.Subfield, c cell) bool {
	if wide(f.Field) {
		return false
	}
	all, low := ones(f.Field.Bits()), ones(int(f.Bits))
	mask := shift(low, int(f.Offset)).And(all)
	old := s.cells[f.Field]
	moved := cell{value: shift(c.value.And(low), int(f.Offset)), known: shift(c.known.And(low), int(f.Offset)), from: c.from, shift: c.shift - int16(f.Offset)}
	if mask == all {
		moved.known = or(moved.known, not(all))
		s.put(f.Field, moved)
		return true
	}
	if old.opaque {
		return false
	}
	v, known := s.read(&old)
	switch {
	case moved.known == mask: // all new bits are known
		old.value, old.known = or(without(old.value, mask), moved.value), or(old.known, mask)
		s.put(f.Field, old)
		return true
	case without(all, or(known, mask)).IsZero(): // all old ones are
		moved.value, moved.known = or(moved.value, without(v, mask)), or(moved.known, not(mask))
		s.put(f.Field, moved)
		return true
	}
	return false
}

// forget clears what the connection tracker has said.
func (s *state) forget() {
	for _, f := range []openflow.Field{openflow.CTState, openflow.CTZone, openflow.CTMark, openflow.CTLabel} {
		s.setNum(f, 0)
	}
}

// track is the action ct: it remembers the connection, or asks for it, or both.
func (s *state) track(a openflow.CT) string {
	if a.NAT != nil {
		return "NAT"
	}
	zone := cell{value: num(uint64(a.Zone)), known: ones(128)}
	if a.ZoneSrc.Field != 0 {
		c, ok := s.extract(a.ZoneSrc)
		if !ok {
			return "a conntrack zone that isn't modelled"
		}
		zone = c
	}
	if a.Commit {
		c := commit{zone: zone}
		for _, e := range a.Exec {
			if set, ok := e.(openflow.SetField); ok && set.Field == openflow.CTLabel && !set.Mask.And(pendingBit).IsZero() {
				c.pending = cell{value: set.Value.And(pendingBit), known: pendingBit}
			}
		}
		s.commits = append(s.commits, c)
	}
	if a.Recirc {
		c := clone{cells: *s.cells, table: a.Table}
		l := lookup{zone: zone, state: s.fresh(), label: s.fresh()}
		c.cells[openflow.CTState] = trackedCell(l.state)
		c.cells[openflow.CTLabel] = cell{from: l.label}
		c.cells[openflow.CTMark] = cell{opaque: true}
		c.cells[openflow.CTZone] = zone
		for f := openflow.CTNwProto; f <= openflow.CTTpDst; f++ {
			c.cells[f] = cell{opaque: true}
		}
		s.answers(l.state)
		s.lookups = append(s.lookups, l)
		s.pending = append(s.pending[:len(s.pending):len(s.pending)], c)
	}
	s.forget()
	return ""
}

// trackedCell is ct_state after the connection tracker: tracked, not translated, the rest as it says.
func trackedCell(v variable) cell {
	free := num(ctNew | ctEstablished | ctRelated | ctReply | ctInvalid)
	return cell{value: num(ctTracked), known: not(free), from: v}
}

// answers excludes what the connection tracker never says: new and established at once, new for a reply, and
// anything beside invalid.
func (s *state) answers(v variable) {
	for _, never := range []uint64{ctNew | ctEstablished, ctNew | ctReply, ctInvalid | ctNew, ctInvalid | ctEstablished, ctInvalid | ctRelated, ctInvalid | ctReply} {
		s.except.add(cube{{v, num(never), num(never)}})
	}
}
