package openflow_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "github.com/weftfabric/weft/wire/openflow"
)

func TestMatchBinaryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genMatch(t)
		b, err := MarshalMatch(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalMatch(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestActionsBinaryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genActions(t)
		b, err := MarshalActions(want)
		if err != nil {
			t.Fatal(err)
		}
		if len(b)%8 != 0 {
			t.Fatalf("%d octets are not aligned", len(b))
		}
		got, err := UnmarshalActions(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestActionsTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Flow{Actions: genActions(t)}
		got, err := ParseActions(FormatActions(want.Actions))
		if err != nil {
			t.Fatal(err)
		}
		if !want.Equal(Flow{Actions: got}) {
			t.Fatal(cmp.Diff(want.Actions, got))
		}
	})
}

// A field by itself, with the prerequisites that give generic names their meaning, survives the text.
func TestMatchTextRoundTrip(t *testing.T) {
	prerequisites := map[Field]string{
		TCPSrc: "tcp", TCPDst: "tcp", UDPSrc: "udp", UDPDst: "udp6", SCTPSrc: "sctp", SCTPDst: "sctp6", TCPFlags: "tcp",
		ICMPType: "icmp", ICMPCode: "icmp", ICMPv6Type: "icmp6", ICMPv6Code: "icmp6", IPv4Src: "ip", IPv4Dst: "ip",
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(allFields()).Draw(t, "field")
		base, err := ParseMatch(prerequisites[f])
		if err != nil {
			t.Fatal(err)
		}
		fm := genField(t, f)
		switch f {
		case ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code, IPDSCP, VLANTCI:
			fm = FieldMatch{Field: f, Value: genBits(t, f.Bits()), Mask: ones(f.Bits())}
		}
		want := base.With(fm).Canonical()
		got, err := ParseMatch(want.String())
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if diff := cmp.Diff(want, got.Canonical()); diff != "" {
			t.Fatalf("%s: %s", want, diff)
		}
	})
}

func TestMarshalErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		mod  Mod
		want string
	}{
		{"value outside of mask", FlowMod{Command: Add, Flow: Flow{Match: Match{{Reg0, Num(3), Num(1)}}}}, "match: reg0: value 0x3 has bits outside of its mask 0x1"},
		{"mask too wide", FlowMod{Command: Add, Flow: Flow{Match: Match{Masked(EthType, 0, 0x1ffff)}}}, "match: eth_type: mask 0x1ffff has more than 16 bits"},
		{"empty mask", FlowMod{Command: Add, Flow: Flow{Match: Match{{Field: Reg0}}}}, "match: reg0: the mask selects no bit"},
		{"unequal move", FlowMod{Command: Add, Flow: Flow{Actions: []Action{Move{Whole(Reg0), Whole(EthDst)}}}}, `action "move:NXM_NX_REG0[]->NXM_OF_ETH_DST[]": the source has 32 bits and the destination 48`},
		{"subfield outside", FlowMod{Command: Add, Flow: Flow{Actions: []Action{Push{Subfield{Reg0, 30, 4}}}}}, `action "push:NXM_NX_REG0[30..33]": bits 30 to 33 are not within the 32 bits of reg0`},
		{"clause 0", FlowMod{Command: Add, Flow: Flow{Actions: []Action{Conjunction{1, 0, 2}}}}, `action "conjunction(1,0/2)": clause 0 of 2: a conjunction has 2 to 64 clauses, numbered from 1`},
		{"exec without commit", FlowMod{Command: Add, Flow: Flow{Actions: []Action{CT{Exec: []Action{Set(CTMark, 1)}}}}}, `action "ct(exec(set_field:0x1->ct_mark))": exec needs commit`},
		{"no command", FlowMod{}, "flows have no invalid command"},
		{"group without type", GroupMod{Add, GroupDesc{ID: 1}}, "group 1: its type is missing"},
		{"meter 0", MeterMod{Add, MeterDesc{}}, "meter 0x0: numbers go from 1 to 0xffff0000"},
	} {
		_, err := MarshalMod(tt.mod, 1)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// A mod that was decoded is encoded to the same octets again, unless it was refused.
func FuzzUnmarshalActions(f *testing.F) {
	for _, line := range sampleFlows(f) {
		flow, err := ParseFlow(line)
		if err != nil {
			f.Fatal(err)
		}
		b, err := MarshalActions(flow.Actions)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		actions, err := UnmarshalActions(b)
		if err != nil {
			return
		}
		again, err := MarshalActions(actions)
		if err != nil {
			return // the switch may hold what we would not write, such as a mask without bits
		}
		twice, err := UnmarshalActions(again)
		if err != nil || !(Flow{Actions: actions}).Equal(Flow{Actions: twice}) {
			t.Fatalf("%x -> %s -> %s, %v", b, FormatActions(actions), FormatActions(twice), err)
		}
	})
}

func FuzzUnmarshalMatch(f *testing.F) {
	for _, line := range sampleFlows(f) {
		flow, err := ParseFlow(line)
		if err != nil {
			f.Fatal(err)
		}
		b, err := MarshalMatch(flow.Match)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := UnmarshalMatch(b)
		if err != nil {
			return
		}
		again, err := MarshalMatch(m)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := UnmarshalMatch(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, twice); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzReplies feeds the decoders of whole structures; they must refuse or accept, and never panic.
func FuzzReplies(f *testing.F) {
	group, err := MarshalMod(GroupMod{Add, GroupDesc{ID: 1, Type: GroupSelect, Buckets: []Bucket{{Weight: 1, Actions: []Action{Output{1}}}}}}, 1)
	if err != nil {
		f.Fatal(err)
	}
	stats, err := hex.DecodeString("00700000040000640000000000000000" + "0000000000000005" + "0001000a80000a02080000000000" + "0000" + "00000024800200080000000100000002800208080000000000000001800" + "20a08000000000000004000000000" + "0004001800000000000000100000000100000000000000000000")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stats)
	f.Add(bytes.Clone(group[8:]))
	f.Add([]byte{0, 24, 0, 1, 0, 0, 0, 1, 0, 1, 0, 16, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x00\x00\x23\x20\x00\x00\x00\x1e\x00\x00\x00\x08abcd\x00\x07\x00\x05\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = DecodeFlowStats(b)
		_, _ = DecodeGroup(b)
		_, _ = DecodeMeter(b)
		_, _ = DecodePacketIn(b)
	})
}

func FuzzParseFlow(f *testing.F) {
	for _, line := range sampleFlows(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, s string) {
		flow, err := ParseFlow(s)
		if err != nil {
			return
		}
		text := flow.String()
		again, err := ParseFlow(text)
		if err != nil || again.String() != text || !again.Equal(flow) {
			t.Fatalf("%q -> %q -> %q, %v", s, text, again, err)
		}
	})
}
