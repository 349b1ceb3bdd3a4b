package openflow

import (
	"cmp"
	"reflect"
	"slices"
)

// Canonical returns the flow in the form in which the switch returns it: two flows that mean the same to the
// switch have the same canonical form. It shares nothing with f that can be changed.
func (f Flow) Canonical() Flow {
	f.Match = f.Match.Canonical()
	f.Actions = canonicalActions(f.Actions)
	return f
}

// Equal reports whether two flows are the same entry with the same body, whatever their form.
func (f Flow) Equal(g Flow) bool {
	return f.Table == g.Table && f.Priority == g.Priority && f.Cookie == g.Cookie &&
		f.IdleTimeout == g.IdleTimeout && f.HardTimeout == g.HardTimeout &&
		slices.Equal(f.Match.Canonical(), g.Match.Canonical()) &&
		reflect.DeepEqual(canonicalActions(f.Actions), canonicalActions(g.Actions))
}

// Compare orders flows by table, falling priority and match; entries of one switch never compare as equal.
func (f Flow) Compare(g Flow) int {
	return cmp.Or(cmp.Compare(f.Table, g.Table), -cmp.Compare(f.Priority, g.Priority),
		slices.CompareFunc(f.Match, g.Match, func(a, b FieldMatch) int {
			return cmp.Or(cmp.Compare(a.Field, b.Field), a.Value.compare(b.Value), a.Mask.compare(b.Mask))
		}))
}

func (v Value) compare(w Value) int {
	return cmp.Or(cmp.Compare(v.Hi, w.Hi), cmp.Compare(v.Lo, w.Lo))
}

// FlowKey names a flow entry: no two entries of a switch have the same.
type FlowKey struct {
	Table    uint8
	Priority uint16
	Match    string
}

// Key returns the flow's name, which is comparable; Match is the text of the canonical match.
func (f Flow) Key() FlowKey {
	return FlowKey{f.Table, f.Priority, f.Match.Canonical().String()}
}

// Canonical returns the match as the switch returns it: in order, without bits that the switch ignores, and
// with the wide registers xxreg as registers.
func (m Match) Canonical() Match {
	out := make([]FieldMatch, 0, len(m))
	for _, fm := range m {
		fm.Mask = fm.Mask.And(significant(fm.Field))
		switch fm.Field {
		case VLANTCI: // the priority doesn't count without a VLAN header and an id
			if fm.Value.Lo&(vlanVID|vlanPresent)&fm.Mask.Lo == 0 {
				fm.Mask.Lo &^= vlanPCP
			}
		case XXReg0, XXReg1, XXReg2, XXReg3:
			for i := range Field(4) {
				shift := 96 - 32*int(i)
				r := Reg0 + 4*(fm.Field-XXReg0) + i
				mask := fm.Mask.shr(shift).And(ones(32))
				out = append(out, FieldMatch{r, fm.Value.shr(shift).And(mask), mask})
			}
			continue
		}
		fm.Value = fm.Value.And(fm.Mask)
		out = append(out, fm)
	}
	return NewMatch(out...)
}

// significant returns the bits of a field that the switch has: 8 of the 32 bits of CTState.
func significant(f Field) Value {
	if f == CTState {
		return ones(8)
	}
	return ones(f.Bits())
}

func canonicalActions(actions []Action) []Action {
	if len(actions) == 0 {
		return nil
	}
	out := make([]Action, len(actions))
	for i, a := range actions {
		out[i] = canonicalAction(a)
	}
	return out
}

func canonicalAction(a Action) Action {
	switch a := a.(type) {
	case Output:
		if a.Port == PortController {
			return Controller{}
		}
	case SetField:
		a.Mask = a.Mask.And(significant(a.Field))
		a.Value = a.Value.And(a.Mask)
		return a
	case Controller:
		a.MaxLen = maxLenOf(a.MaxLen)
		a.Userdata = append([]byte(nil), a.Userdata...)
		return a
	case CT:
		if a.ZoneSrc.Field != 0 {
			a.Zone = 0
		} else {
			a.ZoneSrc = Subfield{}
		}
		if !a.Recirc {
			a.Table = 0
		}
		if a.NAT != nil {
			n := a.NAT.canonical()
			a.NAT = &n
		}
		a.Exec = canonicalActions(a.Exec)
		return a
	}
	return a
}

func (n NAT) canonical() NAT {
	lo, hi, err := n.addrs()
	if err != nil {
		return n
	}
	n.AddrMin, n.AddrMax = "", ""
	if lo.IsValid() {
		n.AddrMin = lo.String()
	}
	if hi.IsValid() {
		n.AddrMax = hi.String()
	}
	if n.PortMax == n.PortMin {
		n.PortMax = 0
	}
	return n
}
