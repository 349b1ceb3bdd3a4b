package openflow_test

import (
	"testing"

	. "github.com/weftfabric/weft/wire/openflow"
)

func TestFlowEqual(t *testing.T) {
	base := Flow{Table: 1, Priority: 5, Cookie: 7}
	match := func(ms ...FieldMatch) Flow { f := base; f.Match = ms; return f }
	act := func(as ...Action) Flow { f := base; f.Actions = as; return f }
	for _, tt := range []struct {
		name string
		a, b Flow
		want bool
	}{
		{"empty lists", match(), Flow{Table: 1, Priority: 5, Cookie: 7, Match: Match{}, Actions: []Action{}}, true},
		{"order of a match", match(Exact(EthType, 0x800), Exact(Reg0, 1)), match(Exact(Reg0, 1), Exact(EthType, 0x800)), true},
		{"bits outside of the mask", match(FieldMatch{Reg0, Num(0xff), Num(0xf)}), match(Masked(Reg0, 0xf, 0xf)), true},
		{"an empty mask", match(FieldMatch{Field: Reg0}), match(), true},
		{"wide registers", match(FieldMatch{XXReg0, Value{1 << 32, 5}, Value{0xffffffff << 32, 0xffffffff}}), match(Exact(Reg0, 1), Exact(Reg3, 5)), true},
		{"the state has 8 bits", match(Exact(CTState, 0x21)), match(Masked(CTState, 0x21, 0xff)), true},
		{"another value", match(Exact(Reg0, 1)), match(Exact(Reg0, 2)), false},
		{"another mask", match(Exact(Reg0, 0)), match(Masked(Reg0, 0, 1)), false},
		{"the whole packet", act(Output{PortController}), act(Controller{MaxLen: 65535}), true},
		{"empty userdata", act(Controller{ID: 1, Userdata: []byte{}}), act(Controller{ID: 1}), true},
		{"addresses of nat", act(CT{NAT: &NAT{Src: true, AddrMin: "FD00:0::1", AddrMax: "fd00::1", PortMin: 5, PortMax: 5}}), act(CT{NAT: &NAT{Src: true, AddrMin: "fd00::1", PortMin: 5}}), true},
		{"a zone beside its source", act(CT{Zone: 5, ZoneSrc: Subfield{Reg0, 0, 16}}), act(CT{ZoneSrc: Subfield{Reg0, 0, 16}}), true},
		{"a table without recirculation", act(CT{Table: 5}), act(CT{}), true},
		{"nat or none", act(CT{NAT: &NAT{}}), act(CT{}), false},
		{"order of actions", act(Set(Reg0, 1), Set(Reg1, 1)), act(Set(Reg1, 1), Set(Reg0, 1)), false},
		{"another cookie", base, Flow{Table: 1, Priority: 5, Cookie: 8}, false},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%s: equal: %t\n%s\n%s", tt.name, got, tt.a.Canonical(), tt.b.Canonical())
		}
		if !tt.a.Canonical().Equal(tt.a) || !tt.b.Canonical().Equal(tt.b) {
			t.Errorf("%s: the canonical form is another flow", tt.name)
		}
	}
}

// A canonical flow shares nothing with the flow that it was made of.
func TestCanonicalIsACopy(t *testing.T) {
	nat := &NAT{Src: true, AddrMin: "10.0.0.1"}
	f := Flow{Match: Match{Exact(Reg0, 1)}, Actions: []Action{Controller{Userdata: []byte{1}}, CT{Commit: true, NAT: nat, Exec: []Action{Set(CTMark, 1)}}}}
	text := f.String()
	c := f.Canonical()
	c.Match[0] = Exact(Reg0, 2)
	c.Actions[0].(Controller).Userdata[0] = 2
	c.Actions[1].(CT).NAT.AddrMin = "10.0.0.2"
	c.Actions[1].(CT).Exec[0] = Set(CTMark, 2)
	c.Actions[1] = DecTTL{}
	if f.String() != text {
		t.Errorf("%s became %s", text, f)
	}
}
