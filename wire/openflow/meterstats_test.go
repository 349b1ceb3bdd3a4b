package openflow_test

import (
	"context"
	"testing"

	. "github.com/weftfabric/weft/wire/openflow"
)

// A meter counts what it sees and what it drops, and a flow that replaces another one goes on with its count.
func TestCountersOfCopies(t *testing.T) {
	ctx := context.Background()
	s := startOVS(t)
	c := s.dial()
	copies := Flow{Table: 68, Priority: 1, Actions: []Action{Controller{Userdata: []byte("copy"), MaxLen: 64, Meter: 7}}}
	err := c.Bundle(ctx, []Mod{
		MeterMod{Add, MeterDesc{ID: 7, Packets: true, Stats: true, Rate: 1, Burst: 2}},
		FlowMod{Command: Add, Flow: Flow{Priority: 1, Actions: []Action{Resubmit{68}, Output{2}}}},
		FlowMod{Command: Add, Flow: copies},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		s.appctl("netdev-dummy/receive", "p1", "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=10.1.0.2,dst=10.1.0.3,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)")
	}
	s.appctl("revalidator/wait")
	stats, err := c.MeterStats(ctx)
	if err != nil || len(stats) != 1 || stats[0].ID != 7 || stats[0].Packets != 6 || stats[0].Dropped < 3 || stats[0].Dropped == 6 {
		t.Errorf("meter: %+v, %v", stats, err)
	}
	count := func() uint64 {
		flows, err := c.DumpFlows(ctx, FlowFilter{Table: 68})
		if err != nil || len(flows) != 1 {
			t.Fatalf("flows %v, %v", flows, err)
		}
		return flows[0].Packets
	}
	if got := count(); got != 6 {
		t.Errorf("%d packets are counted", got)
	}
	copies.Actions = nil
	if err := c.Bundle(ctx, []Mod{FlowMod{Command: Add, Flow: copies}}); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 6 {
		t.Errorf("%d packets are counted after the flow was replaced", got)
	}
}
