package openflow_test

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	. "github.com/weftfabric/weft/wire/openflow"
)

// allFields are the fields of the package.
func allFields() []Field {
	var out []Field
	for f := Field(1); f.Valid(); f++ {
		out = append(out, f)
	}
	return out
}

func ones(n int) Value {
	if n >= 64 {
		return Value{Hi: 1<<(n-64) - 1, Lo: ^uint64(0)}
	}
	return Value{Lo: 1<<n - 1}
}

func genBits(t *rapid.T, width int) Value {
	v := Value{Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
	return v.And(ones(width))
}

// genField draws a value and a mask of a field, often the whole of it.
func genField(t *rapid.T, f Field) FieldMatch {
	mask := ones(f.Bits())
	if rapid.Bool().Draw(t, "masked") && f != InPort {
		if m := genBits(t, f.Bits()); !m.IsZero() {
			mask = m
		}
	}
	if f == InPort {
		return Exact(InPort, uint64(genPort(t)))
	}
	return FieldMatch{Field: f, Value: genBits(t, f.Bits()).And(mask), Mask: mask}
}

func genPort(t *rapid.T) uint32 {
	return rapid.OneOf(rapid.Uint32Range(1, 0xfeff), rapid.SampledFrom([]uint32{PortInPort, PortLocal, PortNormal})).Draw(t, "port")
}

// genMatch draws a match without regard to prerequisites; each field has its meaning without them.
func genMatch(t *rapid.T) Match {
	var ms []FieldMatch
	for _, f := range rapid.SliceOfN(rapid.SampledFrom(allFields()), 0, 12).Draw(t, "fields") {
		ms = append(ms, genField(t, f))
	}
	return NewMatch(ms...)
}

func genSubfield(t *rapid.T, bits int) Subfield {
	fields := allFields()
	f := rapid.SampledFrom(fields).Filter(func(f Field) bool { return f.Bits() >= bits }).Draw(t, "field")
	off := rapid.IntRange(0, f.Bits()-bits).Draw(t, "offset")
	return Subfield{Field: f, Offset: uint8(off), Bits: uint8(bits)}
}

func genSetField(t *rapid.T) SetField {
	return SetField(genField(t, rapid.SampledFrom(allFields()).Draw(t, "field")))
}

func genMove(t *rapid.T) Move {
	bits := rapid.IntRange(1, 64).Draw(t, "bits")
	return Move{Src: genSubfield(t, bits), Dst: genSubfield(t, bits)}
}

func genNAT(t *rapid.T) *NAT {
	switch rapid.IntRange(0, 2).Draw(t, "nat") {
	case 0:
		return nil
	case 1:
		return &NAT{}
	}
	n := &NAT{Src: rapid.Bool().Draw(t, "src")}
	n.Dst = !n.Src
	b := rapid.Byte().Draw(t, "addr")
	lo, hi := netip.AddrFrom4([4]byte{10, 0, 0, b}), netip.AddrFrom4([4]byte{10, 0, 1, b})
	if rapid.Bool().Draw(t, "v6") {
		lo, hi = netip.MustParseAddr(fmt.Sprintf("fd00::%x", b)), netip.MustParseAddr(fmt.Sprintf("fd00::1:%x", b))
	}
	if !rapid.Bool().Draw(t, "range") {
		return n
	}
	n.AddrMin = lo.String()
	if rapid.Bool().Draw(t, "to") {
		n.AddrMax = hi.String()
	}
	if rapid.Bool().Draw(t, "ports") {
		n.PortMin = rapid.Uint16Range(1, 1000).Draw(t, "port")
		if rapid.Bool().Draw(t, "portrange") {
			n.PortMax = n.PortMin + rapid.Uint16Range(1, 1000).Draw(t, "more")
		}
	}
	return n
}

func genAction(t *rapid.T) Action {
	switch rapid.IntRange(0, 14).Draw(t, "kind") {
	case 0:
		return Output{Port: genPort(t)}
	case 1:
		return OutputReg{Src: genSubfield(t, rapid.IntRange(1, 32).Draw(t, "bits"))}
	case 2:
		return genMove(t)
	case 3:
		return Push{Src: genSubfield(t, rapid.IntRange(1, 128).Draw(t, "bits"))}
	case 4:
		return Pop{Dst: genSubfield(t, rapid.IntRange(1, 128).Draw(t, "bits"))}
	case 5:
		return Resubmit{Table: rapid.Uint8Range(0, 254).Draw(t, "table")}
	case 6:
		return CTClear{}
	case 7:
		n := rapid.Uint8Range(2, 64).Draw(t, "count")
		return Conjunction{ID: rapid.Uint32().Draw(t, "id"), Count: n, Clause: rapid.Uint8Range(1, n).Draw(t, "clause")}
	case 8:
		return DecTTL{}
	case 9:
		return Controller{
			MaxLen: rapid.Uint16Range(0, 0xfffe).Draw(t, "max"), ID: rapid.Uint16().Draw(t, "id"),
			Userdata: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "userdata"), Pause: rapid.Bool().Draw(t, "pause"),
			Meter: rapid.Uint32Range(0, 10).Draw(t, "meter"),
		}
	case 10:
		return Group{ID: rapid.Uint32().Draw(t, "id")}
	case 11:
		return Meter{ID: rapid.Uint32().Draw(t, "id")}
	case 12:
		return genCT(t)
	case 13:
		return CheckLarger{Octets: rapid.Uint16().Draw(t, "octets"), Dst: genSubfield(t, 1)}
	}
	return genSetField(t)
}

func genCT(t *rapid.T) CT {
	c := CT{Commit: rapid.Bool().Draw(t, "commit"), Recirc: rapid.Bool().Draw(t, "recirc"), NAT: genNAT(t)}
	c.Force = c.Commit && rapid.Bool().Draw(t, "force")
	if c.Recirc {
		c.Table = rapid.Uint8Range(0, 254).Draw(t, "table")
	}
	if rapid.Bool().Draw(t, "zonesrc") {
		c.ZoneSrc = genSubfield(t, 16)
	} else {
		c.Zone = rapid.Uint16().Draw(t, "zone")
	}
	if c.Commit {
		for range rapid.IntRange(0, 3).Draw(t, "exec") {
			if rapid.Bool().Draw(t, "move") {
				c.Exec = append(c.Exec, genMove(t))
			} else {
				c.Exec = append(c.Exec, genSetField(t))
			}
		}
	}
	return c
}

func genActions(t *rapid.T) []Action {
	var out []Action
	for range rapid.IntRange(0, 6).Draw(t, "actions") {
		out = append(out, genAction(t))
	}
	return out
}
