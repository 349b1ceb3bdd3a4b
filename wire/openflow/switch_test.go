package openflow_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	. "github.com/weftfabric/weft/wire/openflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every sample is written to a real switch, and comes back equal; ovs-ofctl writes it as we do.
func TestSwitchReturnsFlowsEqual(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx := context.Background()
	if err := c.Bundle(ctx, []Mod{
		GroupMod{Add, GroupDesc{ID: 7, Type: GroupAll, Buckets: []Bucket{{Actions: []Action{Output{Port: 1}}}}}},
		MeterMod{Add, MeterDesc{ID: 3, Rate: 100}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, line := range sampleFlows(t) {
		want, err := ParseFlow(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Bundle(ctx, []Mod{FlowMod{Command: Add, Flow: want}}); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables})
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: dump: %v, %v", line, got, err)
		}
		if !got[0].Equal(want) {
			t.Errorf("the flow is not equal\n got %s\nwant %s", got[0].Flow, want)
		}
		if diff := cmp.Diff(want.Canonical().String(), got[0].Flow.Canonical().String()); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
		if text := strings.TrimSpace(lastLine(s.ofctl("dump-flows", "--no-stats"))); text != got[0].String() {
			t.Errorf("ovs-ofctl writes it differently\n got %s\nwant %s", got[0].Flow, text)
		}
		if err := c.Bundle(ctx, []Mod{FlowMod{Command: DeleteStrict, Flow: want}}); err != nil {
			t.Errorf("%s: delete: %v", line, err)
		}
	}
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndex(s, "\n")+1:]
}

func flowN(i int) Flow {
	a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return Flow{Table: 10, Priority: 100, Cookie: uint64(i), Match: NewMatch(Exact(EthType, 0x0800), Addr(IPv4Dst, a)), Actions: []Action{Set(Reg0, uint64(i)), Resubmit{20}}}
}

func TestBundleIsAtomic(t *testing.T) {
	c := startOVS(t).dial()
	ctx := context.Background()
	mods := func(bad Flow) []Mod {
		return []Mod{
			FlowMod{Command: Add, Flow: flowN(1)},
			FlowMod{Command: Add, Flow: flowN(2)},
			FlowMod{Command: Add, Flow: bad},
			FlowMod{Command: Add, Flow: flowN(3)},
		}
	}
	for _, tt := range []struct {
		name string
		bad  Flow
		want string
	}{
		{"refused when added: a prerequisite is missing", Flow{Priority: 1, Match: NewMatch(Exact(TCPDst, 80))},
			`the switch refused change 2, add flow "priority=1,tcp_dst=80 actions=drop": OFPBMC_BAD_PREREQ (OpenFlow error 4, 9)`},
		{"refused at commit: no such group", Flow{Priority: 1, Actions: []Action{Group{99}}},
			`the switch refused change 2, add flow "priority=1 actions=group:99": OFPBAC_BAD_OUT_GROUP (OpenFlow error 2, 9)`},
	} {
		err := c.Bundle(ctx, mods(tt.bad))
		var be *BundleError
		if !errors.As(err, &be) || be.Index != 2 {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if flows, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables}); err != nil || len(flows) != 0 {
			t.Errorf("%s: the switch has %v, %v", tt.name, flows, err)
		}
	}
	if err := c.Bundle(ctx, mods(flowN(4))); err != nil {
		t.Fatal(err)
	}
	// A mod that can't be encoded is refused here, and leaves the connection working.
	err := c.Bundle(ctx, mods(Flow{Actions: []Action{Resubmit{255}}}))
	var be *BundleError
	if !errors.As(err, &be) || be.Index != 2 || !strings.Contains(err.Error(), "can't be expressed") {
		t.Error(err)
	}
	if flows, err := c.DumpFlows(ctx, FlowFilter{Table: 10}); err != nil || len(flows) != 4 {
		t.Errorf("the switch has %v, %v", flows, err)
	}
}

func TestModifyAndDeleteByCookie(t *testing.T) {
	c := startOVS(t).dial()
	ctx := context.Background()
	foreign := Flow{Cookie: 5, Priority: 1}
	ours := flowN(9)
	ours.Cookie = 0x7701 << 48
	changed := ours
	changed.Actions = []Action{Output{1}}
	const mask = 0xff << 56
	steps := []struct {
		name string
		mod  FlowMod
		want []Flow
	}{
		{"add ours", FlowMod{Command: Add, Flow: ours}, []Flow{foreign, ours}},
		{"modify strictly", FlowMod{Command: ModifyStrict, Flow: changed}, []Flow{foreign, changed}},
		{"delete by cookie", FlowMod{Command: Delete, Flow: Flow{Table: AllTables, Cookie: 0x77 << 56}, CookieMask: mask}, []Flow{foreign}},
	}
	if err := c.Bundle(ctx, []Mod{FlowMod{Command: Add, Flow: foreign}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := c.Bundle(ctx, []Mod{s.mod}); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		stats, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables})
		if err != nil || len(stats) != len(s.want) {
			t.Fatalf("%s: %v, %v", s.name, stats, err)
		}
		for i := range stats {
			if !stats[i].Equal(s.want[i]) {
				t.Errorf("%s: got %s, want %s", s.name, stats[i].Flow, s.want[i])
			}
		}
	}
	if flows, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables, Cookie: 0x77 << 56, CookieMask: mask}); err != nil || len(flows) != 0 {
		t.Errorf("by cookie: %v, %v", flows, err)
	}
}

func TestGroupsAndMeters(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx := context.Background()
	groups := []GroupDesc{
		{ID: 1, Type: GroupAll, Buckets: []Bucket{{ID: 0, Actions: []Action{Output{1}}}, {ID: 1, Actions: []Action{Set(Reg0, 5), Output{2}}}}},
		{ID: 2, Type: GroupSelect, Buckets: []Bucket{{ID: 3, Weight: 10, Actions: []Action{CT{Commit: true, Recirc: true, Table: 5, NAT: &NAT{Dst: true, AddrMin: "10.0.0.1", PortMin: 80}}}}, {ID: 4, Weight: 20, Actions: []Action{Output{2}}}}},
		{ID: 3, Type: GroupIndirect, Buckets: []Bucket{{ID: 0, Actions: []Action{Output{1}}}}},
		{ID: 4, Type: GroupFastFailover, Buckets: []Bucket{{ID: 0, WatchPort: 1, Actions: []Action{Output{1}}}, {ID: 1, WatchPort: 2, Actions: []Action{Output{2}}}}},
		{ID: 5, Type: GroupSelect, Selection: Selection{Method: "hash", Fields: Match{{Field: EthDst, Mask: Num(0xff)}, Exact(IPv4Src, 0xffffffff)}}, Buckets: []Bucket{{ID: 0, Weight: 1, Actions: []Action{Output{1}}}}},
		{ID: 6, Type: GroupSelect, Selection: Selection{Method: "dp_hash", Param: 1}, Buckets: []Bucket{{ID: 0, Weight: 1, Actions: []Action{Output{1}}}}},
	}
	meters := []MeterDesc{{ID: 1, Rate: 1000}, {ID: 2, Packets: true, Stats: true, Rate: 10, Burst: 5}}
	var mods, deletes []Mod
	for _, g := range groups {
		mods = append(mods, GroupMod{Add, g})
		deletes = append(deletes, GroupMod{Delete, GroupDesc{ID: g.ID}})
	}
	for _, m := range meters {
		mods = append(mods, MeterMod{Add, m})
		deletes = append(deletes, MeterMod{Delete, MeterDesc{ID: m.ID}})
	}
	if err := c.Bundle(ctx, mods); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		gotGroups, err := c.Groups(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var want []GroupDesc
		for _, g := range groups {
			want = append(want, g.Canonical())
		}
		if diff := cmp.Diff(want, gotGroups); diff != "" {
			t.Error(diff)
		}
		gotMeters, err := c.Meters(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(meters, gotMeters); diff != "" {
			t.Error(diff)
		}
	}
	check()
	text := s.ofctl("dump-groups")
	for _, g := range groups {
		if !strings.Contains(text, g.String()+"\n") {
			t.Errorf("ovs-ofctl writes it differently: %s\n%s", g, text)
		}
	}
	err := c.Bundle(ctx, []Mod{MeterMod{Add, meters[0]}})
	if be := (*BundleError)(nil); !errors.As(err, &be) || !strings.Contains(err.Error(), "OFPMMFC_METER_EXISTS") {
		t.Error(err)
	}
	meters[0].Rate = 2000
	groups[0].Buckets = groups[0].Buckets[:1]
	groups[2].Buckets[0].Actions = []Action{Output{2}}
	if err := c.Bundle(ctx, []Mod{MeterMod{Modify, meters[0]}, GroupMod{Modify, groups[0]}, GroupMod{AddOrModify, groups[2]}}); err != nil {
		t.Fatal(err)
	}
	check()
	groups, meters = nil, nil
	if err := c.Bundle(ctx, deletes); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestPacketOutAndIn(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx := context.Background()
	flow := Flow{Table: 3, Cookie: 0x77, Actions: []Action{Set(Reg3, 42), Controller{Userdata: []byte{1, 2, 3}}}}
	first := Flow{Actions: []Action{Resubmit{3}, Output{2}}}
	if err := c.Bundle(ctx, []Mod{FlowMod{Command: Add, Flow: flow}, FlowMod{Command: Add, Flow: first}}); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 64)
	copy(packet, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5hello")
	if err := c.PacketOut(ctx, PacketOut{Packet: packet, InPort: 1, Actions: []Action{Output{PortTable}}}); err != nil {
		t.Fatal(err)
	}
	var got PacketIn
	select {
	case got = <-c.PacketIns():
	case <-time.After(10 * time.Second):
		t.Fatal("no packet-in")
	}
	want := PacketIn{Packet: packet, FullLen: 64, Table: 3, Cookie: 0x77, Userdata: []byte{1, 2, 3}, Metadata: NewMatch(Exact(InPort, 1), Exact(Reg3, 42))}
	got.Metadata = got.Metadata.Canonical()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.await("counters", func() bool {
		flows, err := c.DumpFlows(ctx, FlowFilter{Table: 3})
		return err == nil && len(flows) == 1 && flows[0].Packets == 1 && flows[0].Bytes == 64 && flows[0].Duration > 0
	})
	tables, err := c.TableStats(ctx)
	if err != nil || len(tables) != 2 || tables[1].Table != 3 || tables[1].Flows != 1 || tables[1].Lookups != 1 || tables[1].Misses != 0 {
		t.Errorf("table counters: %+v, %v", tables, err)
	}
	ports, err := c.PortDescs(ctx)
	if err != nil || len(ports) != 3 || ports[0].Number != 1 || ports[0].Name != "p1" || !ports[0].Up || ports[0].MAC.IsZero() || ports[2].Number != PortLocal {
		t.Errorf("ports: %+v, %v", ports, err)
	}
	s.await("port counters", func() bool {
		stats, err := c.PortStats(ctx)
		return err == nil && len(stats) == 3 && stats[1].Number == 2 && stats[1].TxPackets == 1 && stats[1].TxBytes == 64
	})
}

func TestForeignFlowIsReported(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	s.ofctl("add-flow", "table=4,priority=9,cookie=0x5,actions=note:00.01")
	s.ofctl("add-flow", "table=5,priority=9,actions=drop")
	flows, err := c.DumpFlows(context.Background(), FlowFilter{Table: AllTables})
	var f *ForeignFlowError
	if !errors.As(err, &f) || f.Table != 4 || f.Priority != 9 || f.Cookie != 5 {
		t.Errorf("%v", err)
	}
	if len(flows) != 1 || flows[0].Table != 5 {
		t.Errorf("%v", flows)
	}
}

func TestLargeBundleAndDump(t *testing.T) {
	c := startOVS(t).dial()
	ctx := context.Background()
	const n = 10_000
	mods := make([]Mod, n)
	for i := range mods {
		mods[i] = FlowMod{Command: Add, Flow: flowN(i)}
	}
	if err := c.Bundle(ctx, mods); err != nil {
		t.Fatal(err)
	}
	flows, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables})
	if err != nil || len(flows) != n {
		t.Fatalf("%d flows, %v", len(flows), err)
	}
	for i, f := range flows {
		if !f.Equal(flowN(i)) {
			t.Fatalf("flow %d is %s", i, f.Flow)
		}
	}
}

func TestDisconnect(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	s.vsctl("del-br", "br0")
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection outlives the bridge")
	}
	if err := c.Barrier(context.Background()); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-c.PacketIns(); open {
		t.Error("the channel of packet-ins is open")
	}
	if _, err := Dial(context.Background(), s.mgmt()); err == nil {
		t.Error("no bridge, but a connection")
	} else if !strings.Contains(err.Error(), "br0.mgmt") {
		t.Error(fmt.Errorf("the error doesn't name the socket: %w", err))
	}
}
