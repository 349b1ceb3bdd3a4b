package openflow_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "github.com/weftfabric/weft/wire/openflow"
)

// wholeOnly are the fields that Open vSwitch doesn't mask.
var wholeOnly = []Field{
	InPort, ConjID, CTZone, CTNwProto, EthType, IPProto, IPDSCP, IPECN, IPTTL, ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code,
	NDReserved, NDOptionsType, ARPOp,
}

// protocolFields are the fields that a protocol's match may have, with the match that allows them.
var protocolFields = []struct {
	match  string
	fields []Field
}{
	{"", []Field{EthType}},
	{"", []Field{VLANTCI}},
	{"ip", []Field{IPProto}},
	{"ip", []Field{IPv4Src, IPv4Dst, IPDSCP, IPECN, IPTTL, IPFrag}},
	{"ip,ct_state=+est+trk", []Field{CTNwSrc, CTNwDst}},
	{"ip,ct_state=+est+trk,ct_nw_proto=6", []Field{CTTpSrc, CTTpDst}},
	{"ipv6,ct_state=-new+rpl+trk", []Field{CTIPv6Src, CTIPv6Dst}},
	{"tcp", []Field{TCPSrc, TCPDst, TCPFlags}},
	{"udp", []Field{UDPSrc, UDPDst}},
	{"sctp", []Field{SCTPSrc, SCTPDst}},
	{"icmp", []Field{ICMPType, ICMPCode}},
	{"ipv6", []Field{IPv6Src, IPv6Dst, IPv6Label, IPDSCP, IPECN, IPTTL, IPFrag}},
	{"tcp6", []Field{TCPSrc, TCPDst, TCPFlags, IPv6Src}},
	{"icmp6", []Field{ICMPv6Type, ICMPv6Code}},
	{"icmp6,icmp_type=135,icmp_code=0", []Field{NDTarget, NDSLL, NDReserved, NDOptionsType}},
	{"icmp6,icmp_type=136,icmp_code=0", []Field{NDTarget, NDTLL, NDReserved, NDOptionsType}},
	{"arp", []Field{ARPOp, ARPSPA, ARPTPA, ARPSHA, ARPTHA}},
}

// genSwitchMatch draws a match that a switch takes.
func genSwitchMatch(t *rapid.T) Match {
	p := rapid.SampledFrom(protocolFields).Draw(t, "protocol")
	m, err := ParseMatch(p.match)
	if err != nil {
		t.Fatal(err)
	}
	var free []Field
	for f := InPort; f <= EthSrc; f++ {
		if f != XXReg0 && f != XXReg1 && f != XXReg2 && f != XXReg3 && !slices.ContainsFunc(m, func(fm FieldMatch) bool { return fm.Field == f }) {
			free = append(free, f)
		}
	}
	fields := append(rapid.SliceOfN(rapid.SampledFrom(free), 0, 6).Draw(t, "free"), rapid.SliceOfN(rapid.SampledFrom(p.fields), 0, 4).Draw(t, "fields")...)
	for _, f := range fields {
		fm := genField(t, f)
		if slices.Contains(wholeOnly, f) {
			fm = FieldMatch{Field: f, Value: genBits(t, f.Bits()), Mask: ones(f.Bits())}
		}
		switch f {
		case InPort:
			fm = Exact(InPort, uint64(rapid.Uint32Range(1, 0xfeff).Draw(t, "in_port")))
		case CTState:
			fm.Value = fm.Value.And(Num(0xef)) // what is invalid is not committed
		case ARPOp:
			fm.Value = fm.Value.And(Num(0xff))
		case EthType:
			fm.Value = Value{Lo: fm.Value.Lo | 0x0600}
		case VLANTCI: // the whole priority or none; an id only with the bit that says that there is a header
			fm = Masked(VLANTCI, genBits(t, 16).Lo|0x1000, 0x1000|genBits(t, 12).Lo|uint64(rapid.SampledFrom([]int{0, 0xe000}).Draw(t, "pcp")))
		}
		m = m.With(fm)
	}
	return m
}

// What a switch takes, it returns: flows of random matches and actions are equal after the round trip, so a
// restarted agent adopts them.
func TestSwitchReturnsRandomFlowsEqual(t *testing.T) {
	c := startOVS(t).dial()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		flows := make(map[uint64]Flow)
		mods := []Mod{FlowMod{Command: Delete, Flow: Flow{Table: AllTables}}}
		for i := range uint64(8) {
			f := Flow{Table: 1, Priority: uint16(i), Cookie: i, Match: genSwitchMatch(t), Actions: []Action{genRegisterAction(t), genSwitchCT(t)}}
			if _, ok := f.Actions[1].(CT); ok && !slices.ContainsFunc(f.Match, func(fm FieldMatch) bool {
				return fm.Field == EthType && (fm.Value.Lo == 0x800 || fm.Value.Lo == 0x86dd)
			}) {
				f.Actions = f.Actions[:1]
			}
			flows[i] = f
			mods = append(mods, FlowMod{Command: Add, Flow: f})
		}
		if err := c.Bundle(ctx, mods); err != nil {
			t.Fatal(err)
		}
		got, err := c.DumpFlows(ctx, FlowFilter{Table: 1})
		if err != nil || len(got) != len(flows) {
			t.Fatal(len(got), err)
		}
		for _, g := range got {
			if want := flows[g.Cookie]; !g.Equal(want) || g.Key() != want.Key() {
				t.Fatalf("the flow is not equal\n got %s\nwant %s", g.Flow, want.Canonical())
			} else if diff := cmp.Diff(want.Canonical(), g.Flow); diff != "" {
				t.Fatalf("the switch doesn't return the canonical form: %s", diff)
			}
		}
	})
}

// genRegisterAction draws an action that needs no prerequisite.
func genRegisterAction(t *rapid.T) Action {
	reg := rapid.Custom(func(t *rapid.T) Field {
		return rapid.SampledFrom([]Field{Reg0, Reg7, Reg15, XXReg1, EthDst, EthSrc, TunID, TunSrc, TunIPv6Dst, Metadata, PktMark}).Draw(t, "field")
	})
	bits := rapid.IntRange(1, 32).Draw(t, "bits")
	sub := func() Subfield {
		f := reg.Draw(t, "register")
		return Subfield{Field: f, Offset: uint8(rapid.IntRange(0, f.Bits()-bits).Draw(t, "offset")), Bits: uint8(bits)}
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return SetField(genField(t, reg.Draw(t, "register")))
	case 1:
		return Move{Src: sub(), Dst: sub()}
	case 2:
		return Push{Src: sub()}
	case 3:
		return OutputReg{Src: sub()}
	case 4:
		return Controller{MaxLen: rapid.Uint16().Draw(t, "max"), ID: rapid.Uint16().Draw(t, "id"), Userdata: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "userdata")}
	}
	return Output{Port: rapid.SampledFrom([]uint32{1, 2, PortInPort, PortLocal, PortController, PortNormal, PortFlood, PortAll}).Draw(t, "port")}
}

// genSwitchCT draws a ct that a switch takes.
func genSwitchCT(t *rapid.T) Action {
	c := CT{Commit: rapid.Bool().Draw(t, "commit"), Recirc: rapid.Bool().Draw(t, "recirc"), Zone: rapid.Uint16().Draw(t, "zone")}
	if rapid.Bool().Draw(t, "zonesrc") {
		c.ZoneSrc = Subfield{Field: Reg3, Offset: uint8(rapid.IntRange(0, 16).Draw(t, "offset")), Bits: 16}
	}
	c.Table = rapid.Uint8Range(0, 254).Draw(t, "table")
	if c.Commit {
		c.Force = rapid.Bool().Draw(t, "force")
		for range rapid.IntRange(0, 3).Draw(t, "exec") {
			c.Exec = append(c.Exec, SetField(genField(t, rapid.SampledFrom([]Field{CTMark, CTLabel}).Draw(t, "field"))))
		}
	}
	return c
}

// The samples leave out no field and no type of action.
func TestSamplesAreComplete(t *testing.T) {
	missing := make(map[string]bool)
	for _, f := range allFields() {
		missing[f.String()] = true
	}
	for _, a := range []Action{Output{}, OutputReg{}, SetField{}, Move{}, Push{}, Pop{}, Resubmit{}, CT{}, CTClear{}, Conjunction{}, DecTTL{}, CheckLarger{}, Controller{}, Group{}, Meter{}} {
		missing[fmt.Sprintf("%T", a)] = true
	}
	for f := range allFields() {
		if f >= int(Reg0) && f <= int(XXReg3) {
			delete(missing, Field(f).String()) // some of each kind will do
		}
	}
	for _, line := range sampleFlows(t) {
		flow, err := ParseFlow(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, fm := range flow.Match {
			delete(missing, fm.Field.String())
		}
		for _, a := range flow.Actions {
			delete(missing, reflect.TypeOf(a).String())
		}
	}
	for name := range missing {
		t.Errorf("no sample has %s", name)
	}
}
