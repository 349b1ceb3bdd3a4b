package openflow_test

import (
	"context"
	"testing"
	"time"

	. "github.com/weftfabric/weft/wire/openflow"
)

// TestFlowMonitor: what others change is told, at once; what this connection changes is not.
func TestFlowMonitor(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx := context.Background()
	if err := c.MonitorFlows(ctx); err != nil {
		t.Fatal(err)
	}
	var mods []Mod
	for i := range 1000 {
		mods = append(mods, FlowMod{Command: Add, Flow: Flow{Table: 1, Priority: uint16(i + 1), Cookie: 7}})
	}
	for range 2 { // added, and modified
		if err := c.Bundle(ctx, mods); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.FlowChanges():
		t.Error("the connection's own changes are told")
	default:
	}
	for _, others := range [][]string{
		{"add-flow", "table=2,priority=5,actions=drop"}, {"mod-flows", "table=1,actions=NORMAL"}, {"del-flows", "table=1,cookie=7/-1"},
	} {
		start := time.Now()
		s.ofctl(others[0], others[1:]...)
		select {
		case <-c.FlowChanges():
			t.Logf("%s: told after %v, the process of ovs-ofctl included", others[0], time.Since(start))
		case <-time.After(5 * time.Second):
			t.Errorf("%s is not told", others[0])
		}
		if err := c.Barrier(ctx); err != nil { // what is still on its way
			t.Fatal(err)
		}
		select {
		case <-c.FlowChanges():
		default:
		}
	}
	if flows, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables}); err != nil || len(flows) != 1 {
		t.Error(flows, err)
	}
}
