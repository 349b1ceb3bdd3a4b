package ovs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// database is the contract that DB and Fake share.
type database interface {
	Updates() <-chan ovs.State
	EnsureBridge(context.Context, ovs.BridgeSpec) error
	AddPort(context.Context, ovs.PortSpec) error
	SetExternalIDs(context.Context, string, map[string]string) error
	DeletePort(context.Context, string) error
}

func TestFakeConforms(t *testing.T) {
	f := ovs.NewFake("3.1.0")
	f.Missing = func(name string) bool { return name == "nosuchdevice" }
	conformance(t, f)
}

func TestDBConforms(t *testing.T) {
	server := ovstest.Start(t)
	conformance(t, startDB(t, server))
}

// startDB runs a driver until the test ends.
func startDB(t *testing.T, server *ovstest.Server) *ovs.DB {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	db := ovs.New(ovs.Config{Database: server.Database, Bridge: ovs.DefaultBridge, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			stacks := make([]byte, 1<<20)
			t.Fatalf("the driver doesn't stop:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		goleak.VerifyNone(t, leaks)
	})
	return db
}

// waitState reads states until one satisfies the condition.
func waitState(t *testing.T, db database, what string, ok func(ovs.State) bool) ovs.State {
	t.Helper()
	deadline := time.After(20 * time.Second)
	var last ovs.State
	for {
		select {
		case last = <-db.Updates():
			if ok(last) {
				return last
			}
		case <-deadline:
			t.Fatalf("waited for %s; the last state was %+v", what, last)
		}
	}
}

// numbered reports whether the switch has numbered all the ports.
func numbered(names ...string) func(ovs.State) bool {
	return func(s ovs.State) bool {
		for _, n := range names {
			if i, ok := s.Interface(n); !ok || i.OFPort == 0 {
				return false
			}
		}
		return len(s.Interfaces) == len(names)
	}
}

// conformance is the contract, told as one history.
func conformance(t *testing.T, db database) {
	ctx := t.Context()
	waitState(t, db, "a connection", func(s ovs.State) bool { return s.Connected })
	if err := db.AddPort(ctx, ovs.PortSpec{Name: "early", Type: "internal"}); err == nil || !strings.Contains(err.Error(), "no bridge") {
		t.Errorf("a port without a bridge: %v", err)
	}
	must(t, db.DeletePort(ctx, "missing"))

	spec := ovs.BridgeSpec{Datapath: ovs.Netdev, OtherConfig: map[string]string{"disable-in-band": "true"}}
	must(t, db.EnsureBridge(ctx, spec))
	s := waitState(t, db, "the bridge", func(s ovs.State) bool { return s.Bridge.DatapathID != "" })
	if s.Bridge.Name != ovs.DefaultBridge || s.Bridge.Datapath != ovs.Netdev || len(s.Interfaces) != 0 {
		t.Errorf("after EnsureBridge: %+v", s)
	}
	must(t, db.EnsureBridge(ctx, spec))

	options := map[string]string{"remote_ip": "flow", "local_ip": "192.0.2.1", "key": "flow", "dst_port": "4789"}
	must(t, db.AddPort(ctx, ovs.PortSpec{Name: "vx", Type: "vxlan", Options: options}))
	must(t, db.AddPort(ctx, ovs.PortSpec{Name: "p1", Type: "internal", ExternalIDs: map[string]string{"iface-id": "a/b", "mine": "1"}}))
	s = waitState(t, db, "two numbered ports", numbered("p1", "vx"))
	vx, _ := s.Interface("vx")
	p1, _ := s.Interface("p1")
	if vx.OFPort == p1.OFPort {
		t.Errorf("two ports have number %d", vx.OFPort)
	}
	if vx.Type != "vxlan" || !maps.Equal(vx.Options, options) {
		t.Errorf("vxlan port: %+v", vx)
	}

	must(t, db.AddPort(ctx, ovs.PortSpec{Name: "p1", Type: "internal", ExternalIDs: map[string]string{"mine": "2"}}))
	s = waitState(t, db, "changed ids", func(s ovs.State) bool { i, _ := s.Interface("p1"); return i.ExternalIDs["mine"] == "2" })
	if i, _ := s.Interface("p1"); i.ExternalIDs["iface-id"] != "a/b" || i.OFPort != p1.OFPort {
		t.Errorf("a second AddPort changed more than it should: %+v", i)
	}
	must(t, db.SetExternalIDs(ctx, "p1", map[string]string{"mine": "", "other": "x"}))
	must(t, db.SetExternalIDs(ctx, "missing", map[string]string{"other": "x"}))
	s = waitState(t, db, "set ids", func(s ovs.State) bool { i, _ := s.Interface("p1"); return i.ExternalIDs["other"] == "x" })
	if i, _ := s.Interface("p1"); !maps.Equal(i.ExternalIDs, map[string]string{"iface-id": "a/b", "other": "x"}) {
		t.Errorf("SetExternalIDs: %v", i.ExternalIDs)
	}

	must(t, db.AddPort(ctx, ovs.PortSpec{Name: "nosuchdevice"}))
	s = waitState(t, db, "an error", func(s ovs.State) bool { i, _ := s.Interface("nosuchdevice"); return i.Error != "" })
	if i, _ := s.Interface("nosuchdevice"); i.OFPort != 0 || !strings.Contains(i.Error, "No such device") {
		t.Errorf("a device that isn't there: %+v", i)
	}
	must(t, db.DeletePort(ctx, "nosuchdevice"))
	for _, name := range []string{"p2", "p3"} {
		must(t, db.AddPort(ctx, ovs.PortSpec{Name: name, Type: "internal", Number: 40000}))
		s = waitState(t, db, name, func(s ovs.State) bool { i, _ := s.Interface(name); return i.OFPort != 0 })
		if i, _ := s.Interface(name); (i.OFPort == 40000) != (name == "p2") || i.Requested != 40000 {
			t.Errorf("%s asked for number 40000 and has %d: %+v", name, i.OFPort, i)
		}
	}
	manyAtOnce(t, db)
	for _, name := range []string{"nosuchdevice", "p3", "p2", "vx", "p1", "p1"} {
		must(t, db.DeletePort(ctx, name))
	}
	waitState(t, db, "no ports", numbered())
}

// manyAtOnce makes changes from many goroutines. Each has its own result, also when others fail.
func manyAtOnce(t *testing.T, db database) {
	t.Helper()
	const n = 20
	each := func(what string, f func(name string) error) {
		t.Helper()
		errs := make(chan error, n)
		for i := range n {
			go func() { errs <- f(fmt.Sprintf("m%d", i)) }()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("m%d", i)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	each("add", func(name string) error {
		_ = db.AddPort(gone, ovs.PortSpec{Name: name, Type: "internal"}) // made or not
		return db.AddPort(t.Context(), ovs.PortSpec{Name: name, Type: "internal", ExternalIDs: map[string]string{"name": name}})
	})
	waitState(t, db, "all of them", numbered(slices.Concat(names, []string{"p1", "p2", "p3", "vx"})...))
	each("set", func(name string) error {
		return errors.Join(db.SetExternalIDs(t.Context(), name, map[string]string{"a": "1"}), db.SetExternalIDs(t.Context(), name, map[string]string{"b": "2"}))
	})
	waitState(t, db, "all ids", func(s ovs.State) bool {
		for _, name := range names {
			if i, _ := s.Interface(name); !maps.Equal(i.ExternalIDs, map[string]string{"name": name, "a": "1", "b": "2"}) {
				return false
			}
		}
		return true
	})
	each("delete", func(name string) error { return db.DeletePort(t.Context(), name) })
}

func TestDBReconnects(t *testing.T) {
	server := ovstest.Start(t)
	db := startDB(t, server)
	waitState(t, db, "a connection", func(s ovs.State) bool { return s.Connected })
	must(t, db.EnsureBridge(t.Context(), ovs.BridgeSpec{Datapath: ovs.Netdev}))
	waitState(t, db, "the bridge", func(s ovs.State) bool { return s.Bridge.Name != "" })

	server.StopDatabase(t)
	s := waitState(t, db, "a lost connection", func(s ovs.State) bool { return !s.Connected })
	if s.Problem == "" {
		t.Error("a lost connection has no reason")
	}
	if err := db.DeletePort(t.Context(), "x"); !errors.Is(err, ovs.ErrNotConnected) {
		t.Errorf("a write without a connection: %v", err)
	}
	server.StartDatabase(t)
	waitState(t, db, "the bridge again", func(s ovs.State) bool { return s.Connected && s.Bridge.Name != "" })
}

func TestDBLeavesOtherBridgesAlone(t *testing.T) {
	server := ovstest.Start(t)
	db := startDB(t, server)
	server.VSCtl(t, "add-br", "br-ul", "--", "set", "Bridge", "br-ul", "datapath_type=netdev", "--", "add-port", "br-ul", "nic", "--", "set", "Interface", "nic", "type=internal")
	must(t, eventually(t, db, func() error { return db.EnsureBridge(t.Context(), ovs.BridgeSpec{Datapath: ovs.Netdev}) }))
	err := db.AddPort(t.Context(), ovs.PortSpec{Name: "nic"})
	if err == nil || !strings.Contains(err.Error(), "bridge br-ul") {
		t.Errorf("a port of another bridge: %v", err)
	}
	must(t, db.DeletePort(t.Context(), "nic"))
	if got := server.VSCtl(t, "port-to-br", "nic"); strings.TrimSpace(got) != "br-ul" {
		t.Errorf("nic is on %q", got)
	}
	for column, want := range map[string]string{"fail_mode": "secure", "datapath_type": "netdev"} {
		if got := strings.TrimSpace(server.VSCtl(t, "get", "Bridge", "br-int", column)); got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
	if got := server.VSCtl(t, "get", "Bridge", "br-int", "protocols"); !strings.Contains(got, "OpenFlow15") {
		t.Errorf("protocols are %s", got)
	}
}

// eventually waits for the connection, then does f.
func eventually(t *testing.T, db database, f func() error) error {
	t.Helper()
	waitState(t, db, "a connection", func(s ovs.State) bool { return s.Connected })
	return f()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
