package overlay_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/agent/wireguard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Manager on a private Open vSwitch. The device's UDP socket is the machine's own, and never used.
type rig struct {
	*ovstest.Server
	t        *testing.T
	manager  *overlay.Manager
	database *ovs.DB
	host     *host.Host
	dir      string
	device   string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := ovstest.Start(t)
	r := &rig{Server: s, t: t, host: host.New(s.Namespace), dir: t.TempDir()}
	r.device = "wo" + strings.TrimPrefix(filepath.Base(s.Namespace), "weft-test-")
	r.database = ovs.New(ovs.Config{Database: s.Database, Bridge: overlay.DefaultBridge, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.database.Run(ctx) }) // it never fails
	t.Cleanup(func() { cancel(); wg.Wait() })
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	r.manager, err = overlay.New(overlay.Config{
		Device: r.device, Bridge: overlay.DefaultBridge, KeyFile: filepath.Join(r.dir, "key"), Database: r.database, Links: r.host, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := r.manager.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

// apply applies until it succeeds: vswitchd makes links a moment after the database has said so.
func (r *rig) apply(want overlay.Want) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for {
		err := r.manager.Apply(ctx, want)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// addresses returns the addresses of the bridge with the tunnel address.
func (r *rig) addresses() string {
	r.t.Helper()
	return r.InNamespace(r.t, "ip", "-4", "-o", "addr", "show", "dev", overlay.DefaultBridge)
}

func want(vtep string) overlay.Want {
	return overlay.Want{
		// Port 0 would be another one each time; this one is free because nobody else uses it here.
		Port: 40820,
		Link: wireguard.Link{VTEP: netip.MustParseAddr(vtep), Probe: netip.MustParseAddr("100.92.128.1"), VTEPs: netip.MustParsePrefix("100.92.0.0/16"), MTU: 1420},
		Tunnels: []overlay.Tunnel{{Name: "n2", Probe: netip.MustParseAddr("100.92.128.2"), Peer: wireguard.Peer{
			Key: wireguard.Key{1}, Endpoint: netip.MustParseAddrPort("127.0.0.1:9"), Allowed: []netip.Prefix{netip.MustParsePrefix("100.92.0.2/32")},
		}}},
	}
}

func TestApply(t *testing.T) {
	r := newRig(t)
	r.apply(want("100.92.0.1"))
	if got := r.addresses(); !strings.Contains(got, "100.92.0.1/16") || !strings.Contains(got, "100.92.128.1/32") {
		t.Fatalf("addresses: %s", got)
	}
	if got := r.VSCtl(t, "get", "bridge", overlay.DefaultBridge, "fail_mode"); strings.TrimSpace(got) != "standalone" {
		t.Errorf("fail_mode %s", got)
	}
	s, err := r.manager.Status()
	if err != nil {
		t.Fatal(err)
	}
	if key, next := r.manager.PublicKeys(); s.Implementation != overlay.Embedded || s.Key != key || !next.IsZero() || len(s.Tunnels) != 1 || s.Tunnels[0].Name != "n2" {
		t.Errorf("status %+v", s)
	}

	// What somebody breaks, the next call repairs.
	r.InNamespace(t, "ip", "addr", "flush", "dev", overlay.DefaultBridge)
	r.VSCtl(t, "del-port", r.device)
	r.apply(want("100.92.0.1"))
	if got := r.addresses(); !strings.Contains(got, "100.92.0.1/16") {
		t.Errorf("after a flush: %s", got)
	}
	r.VSCtl(t, "del-br", overlay.DefaultBridge)
	r.apply(want("100.92.0.1"))

	// Another address of the node.
	r.apply(want("100.92.0.9"))
	if got := r.addresses(); !strings.Contains(got, "100.92.0.9/16") || strings.Contains(got, "100.92.0.1/") {
		t.Errorf("after a change: %s", got)
	}

	// A new run takes over, with the same key.
	before, _ := r.manager.PublicKeys()
	if err := r.manager.Close(); err != nil {
		t.Fatal(err)
	}
	r.start()
	if after, _ := r.manager.PublicKeys(); after != before {
		t.Error("the next run has another key")
	}
	r.apply(want("100.92.0.9"))

	r.apply(overlay.Want{})
	if got := r.VSCtl(t, "list-br"); strings.Contains(got, overlay.DefaultBridge) {
		t.Errorf("without encryption there still is the bridge: %s", got)
	}
	if got := r.InNamespace(t, "ip", "-o", "link"); strings.Contains(got, r.device) {
		t.Errorf("without encryption there still is the tap: %s", got)
	}
}

// A node that becomes a relay, or is none any more, keeps its device and with it the sessions.
func TestRelayKeepsTheDevice(t *testing.T) {
	r := newRig(t)
	w := want("100.92.0.1")
	r.apply(w)
	socket := func() os.FileInfo {
		info, err := os.Stat("/var/run/wireguard/" + r.device + ".sock")
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := socket()
	for _, relay := range []bool{true, false} {
		w.Link.Relay = relay
		r.apply(w)
		if !os.SameFile(before, socket()) {
			t.Errorf("relay %v: the device was replaced", relay)
		}
	}
	w.Link.MTU--
	r.apply(w)
	if os.SameFile(before, socket()) {
		t.Error("a device with another MTU is the same: the test can't tell them apart")
	}
}

func TestRotationOfTheOwnKey(t *testing.T) {
	r := newRig(t)
	r.apply(want("100.92.0.1"))
	first, _ := r.manager.PublicKeys()
	if err := r.manager.Announce(); err != nil {
		t.Fatal(err)
	}
	current, next := r.manager.PublicKeys()
	if current != first || next.IsZero() {
		t.Fatalf("announced: %v %v", current, next)
	}
	if err := r.manager.Announce(); err != nil {
		t.Fatal(err)
	}
	if _, again := r.manager.PublicKeys(); again != next {
		t.Error("a key that is announced already was replaced")
	}
	if err := r.manager.Switch(); err != nil {
		t.Fatal(err)
	}
	if current, after := r.manager.PublicKeys(); current != next || !after.IsZero() {
		t.Errorf("after the switch: %v %v", current, after)
	}
	s, err := r.manager.Status()
	if err != nil || s.Key != next {
		t.Errorf("the device has %v: %v", s.Key, err)
	}
}

// A damaged key file is noticed, and stays as it is.
func TestDamagedKey(t *testing.T) {
	for _, content := range []string{"", "x", "AAAA 2026-01-01T00:00:00Z\n", strings.Repeat("A", 43) + "= yesterday\n"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := overlay.New(overlay.Config{Device: "x", KeyFile: path})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", content, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, []byte(content)) {
			t.Errorf("%q became %q", content, after)
		}
	}
}
