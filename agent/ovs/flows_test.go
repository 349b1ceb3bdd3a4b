package ovs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/wire/openflow"
)

// flows is the contract that Flows and FakeFlows share.
type flows interface {
	Ports(context.Context) (map[uint32]string, error)
	Dump(context.Context) ([]ovs.Flow, error)
	Apply(context.Context, []dataplane.Op) error
	Next(context.Context) (ovs.Question, error)
	Reply(ctx context.Context, port uint32, frame []byte) error
	Done() <-chan struct{}
	Close() error
}

func TestFakeFlowsConform(t *testing.T) {
	sw := ovs.NewFakeSwitch()
	sw.Refuse = func(op dataplane.Op) error {
		if len(op.Flow.Match) == 1 && op.Flow.Match[0].Field == openflow.IPv4Dst { // without its prerequisite
			return errors.New("OFPBMC_BAD_PREREQ")
		}
		return nil
	}
	conn, err := sw.Connect(t.Context())
	must(t, err)
	flowsConform(t, conn)
}

func TestFlowsConform(t *testing.T) {
	server := ovstest.Start(t)
	db := startDB(t, server)
	must(t, eventually(t, db, func() error { return db.EnsureBridge(t.Context(), ovs.BridgeSpec{Datapath: ovs.Netdev}) }))
	waitState(t, db, "the bridge", func(s ovs.State) bool { return s.Bridge.DatapathID != "" })
	conn, err := ovs.Dialer{RunDir: server.Dir, Bridge: ovs.DefaultBridge}.Connect(t.Context())
	must(t, err)
	flowsConform(t, conn)
}

func flowsConform(t *testing.T, conn flows) {
	ctx := t.Context()
	flow := func(port uint64, actions ...openflow.Action) openflow.Flow {
		return openflow.Flow{Table: 10, Priority: 100, Match: openflow.NewMatch(openflow.Exact(openflow.InPort, port)), Cookie: 0x77 << 56, Actions: actions}
	}
	dump := func() (out []openflow.Flow) {
		t.Helper()
		got, err := conn.Dump(ctx)
		must(t, err)
		for _, f := range got {
			out = append(out, f.Flow)
		}
		dataplane.SortFlows(out)
		return out
	}
	check := func(what string, want ...openflow.Flow) {
		t.Helper()
		if diff := cmp.Diff(want, dump()); diff != "" {
			t.Errorf("%s: -want +got\n%s", what, diff)
		}
	}
	// A flow without a match is in every new switch's table 0 unless it fails secure; ours does.
	check("a new switch")
	one, two := flow(1, openflow.Output{Port: 2}), flow(2)
	must(t, conn.Apply(ctx, []dataplane.Op{{Kind: dataplane.Add, Flow: one}, {Kind: dataplane.Add, Flow: two}}))
	check("two flows", one, two)
	changed := flow(1)
	must(t, conn.Apply(ctx, []dataplane.Op{{Kind: dataplane.Add, Flow: changed}, {Kind: dataplane.Delete, Flow: two}, {Kind: dataplane.Delete, Flow: two}}))
	check("one changed, one deleted twice", changed)

	bad := openflow.Flow{Table: 10, Priority: 5, Match: openflow.Match{openflow.Exact(openflow.IPv4Dst, 7)}}
	err := conn.Apply(ctx, []dataplane.Op{{Kind: dataplane.Add, Flow: two}, {Kind: dataplane.Add, Flow: bad}, {Kind: dataplane.Delete, Flow: changed}})
	var refused *ovs.RefusedError
	if !errors.As(err, &refused) || refused.Index != 1 && refused.Index != -1 {
		t.Errorf("a bad flow: %v", err)
	}
	check("a refused list changes nothing", changed)
	must(t, conn.Apply(ctx, nil))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := conn.Dump(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a dump that is cancelled: %v", err)
	}
	if _, err := conn.Next(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait for questions that is cancelled: %v", err)
	}
	must(t, conn.Close())
	if _, err := conn.Next(ctx); err == nil {
		t.Error("a closed connection still asks")
	}
	if _, err := conn.Dump(ctx); err == nil {
		t.Error("a closed connection still answers")
	}
}
