package openflow_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/weftfabric/weft/wire/openflow"
)

// printedFlowMod is how ovs-ofctl writes a flow_mod that adds f.
func printedFlowMod(f Flow) string {
	s := "ADD"
	if f.Table != 0 {
		s += fmt.Sprintf(" table:%d", f.Table)
	}
	s += " "
	match := f.Match.String()
	if f.Priority != DefaultPriority {
		match = strings.TrimSuffix(fmt.Sprintf("priority=%d,%s", f.Priority, match), ",")
	}
	if match != "" {
		s += match + " "
	}
	if f.Cookie != 0 {
		s += fmt.Sprintf("cookie:0x%x ", f.Cookie)
	}
	if f.IdleTimeout != 0 {
		s += fmt.Sprintf("idle:%d ", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		s += fmt.Sprintf("hard:%d ", f.HardTimeout)
	}
	return s + "actions=" + FormatActions(f.Actions)
}

// oracleForm is the flow as ovs-ofctl writes it, which has registers in place of wide ones.
func oracleForm(tb testing.TB, line string) Flow {
	tb.Helper()
	f, err := ParseFlow(line)
	if err != nil {
		tb.Fatal(err)
	}
	f.Match = f.Match.Canonical()
	return f
}

// ovs-ofctl reads our text and means the same by it.
func TestOracleReadsText(t *testing.T) {
	needOVS(t, "ovs-ofctl")
	lines := sampleFlows(t)
	file := filepath.Join(t.TempDir(), "flows")
	var want []string
	var text strings.Builder
	for _, line := range lines {
		f := oracleForm(t, line)
		want = append(want, printedFlowMod(f))
		text.WriteString(f.String() + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(run(t, "ovs-ofctl", "-O", "OpenFlow15", "-F", "OXM-OpenFlow15", "parse-flows", file)) {
		if _, mod, ok := strings.Cut(strings.TrimRight(line, "\n"), "): "); ok {
			got = append(got, mod)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// ovs-ofctl reads our octets and means the same by them.
func TestOracleReadsOctets(t *testing.T) {
	needOVS(t, "ovs-ofctl")
	var octets []byte
	var want strings.Builder
	for i, line := range sampleFlows(t) {
		f := oracleForm(t, line)
		b, err := MarshalMod(FlowMod{Command: Add, Flow: f}, uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		octets = append(octets, b...)
		fmt.Fprintf(&want, "OFPT_FLOW_MOD (OF1.5) (xid=0x%x): %s\n", i, printedFlowMod(f))
	}
	file := filepath.Join(t.TempDir(), "octets")
	if err := os.WriteFile(file, octets, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), run(t, "ovs-ofctl", "ofp-parse", file)); diff != "" {
		t.Error(diff)
	}
}

func TestOracleReadsGroupsAndMeters(t *testing.T) {
	for _, tt := range []struct {
		mod  Mod
		want string
	}{
		{GroupMod{Add, GroupDesc{ID: 7, Type: GroupSelect, Buckets: []Bucket{{ID: 1, Weight: 5, Actions: []Action{Output{1}}}}}},
			"OFPT_GROUP_MOD (OF1.5) (xid=0x1):\n ADD group_id=7,type=select,bucket=bucket_id:1,weight:5,actions=output:1"},
		{GroupMod{Delete, GroupDesc{ID: 7}}, "OFPT_GROUP_MOD (OF1.5) (xid=0x1):\n DEL group_id=7"},
		{MeterMod{Add, MeterDesc{ID: 3, Packets: true, Stats: true, Rate: 5, Burst: 6}},
			"OFPT_METER_MOD (OF1.5) (xid=0x1): ADD meter=3 pktps burst stats bands=\ntype=drop rate=5 burst_size=6"},
		{MeterMod{Delete, MeterDesc{ID: 3}}, "OFPT_METER_MOD (OF1.5) (xid=0x1): DEL meter=3"},
	} {
		b, err := MarshalMod(tt.mod, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(run(t, "ovs-ofctl", "ofp-print", hex.EncodeToString(b)))
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
