package host_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/fabric"
)

// driver is the contract that Host and Fake share.
type driver interface {
	CreateVeth(context.Context, host.Veth) error
	ConfigureVeth(context.Context, host.Veth) error
	Retire(context.Context, host.Place) error
	CreateTap(context.Context, host.Tap) (bool, error)
	Inspect(context.Context, host.Place) (host.Inside, error)
	Delete(context.Context, string) error
	DeleteAll(context.Context, []string) error
	List(context.Context) ([]host.Link, error)
}

func TestFakeConforms(t *testing.T) {
	conformance(t, host.NewFake("/run/netns/a", "/run/netns/b"), "/run/netns/a", "/run/netns/b")
}

func TestHostConforms(t *testing.T) {
	ovstest.Require(t)
	node := namespace(t)
	conformance(t, host.New(node), namespace(t), namespace(t))
}

// namespace makes a network namespace until the test ends, and returns its path.
func namespace(t *testing.T) string {
	t.Helper()
	var b [4]byte
	_, _ = rand.Read(b[:])
	name := "weft-test-" + hex.EncodeToString(b[:])
	command(t, "ip", "netns", "add", name)
	t.Cleanup(func() { command(t, "ip", "netns", "del", name) })
	return filepath.Join("/run/netns", name)
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // a child of its may keep the output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func sampleVeth(namespace string) host.Veth {
	mac, _ := fabric.ParseMAC("02:00:00:00:00:07")
	return host.Veth{
		Place: host.Place{HostName: "weft0123456789a", Namespace: namespace, IfName: "eth0"},
		For:   "container c1 eth0", MAC: mac, MTU: 1400, Userspace: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24"), netip.MustParsePrefix("fd00::7/64")},
		Gateways:  []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
	}
}

// conformance is the contract; a and b are containers.
func conformance(t *testing.T, d driver, a, b string) {
	ctx := t.Context()
	v := sampleVeth(a)
	want := host.Inside{MAC: v.MAC, MTU: v.MTU, Up: true, Addresses: v.Addresses, Gateways: v.Gateways}
	check := func(what string) {
		t.Helper()
		got, err := d.Inspect(ctx, v.Place)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }), cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
			t.Errorf("%s: -want +got\n%s", what, diff)
		}
	}
	must(t, d.Delete(ctx, v.HostName))
	must(t, d.CreateVeth(ctx, v))
	if in, err := d.Inspect(ctx, v.Place); err != nil || in.Up {
		t.Errorf("a pair that isn't configured: %+v, %v", in, err)
	}
	must(t, d.ConfigureVeth(ctx, v))
	check("a new pair")

	other := v
	other.HostName = "weft000000000ff"
	if err := d.CreateVeth(ctx, other); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second eth0 in one container: %v", err)
	}
	must(t, d.CreateVeth(ctx, v))
	must(t, d.ConfigureVeth(ctx, v))
	check("a pair that replaces what was left of it")

	nowhere := sampleVeth("/run/netns/weft-no-such-namespace")
	nowhere.HostName = "weft000000000fe"
	if err := d.CreateVeth(ctx, nowhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a container that is gone: %v", err)
	}
	if _, err := d.Inspect(ctx, host.Place{HostName: v.HostName, Namespace: b, IfName: "eth0"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the wrong container: %v", err)
	}

	tap := host.Tap{Name: "vmtap0", For: "port acme/db", MTU: 1400, Userspace: true}
	for i, want := range []bool{true, false} {
		if created, err := d.CreateTap(ctx, tap); err != nil || created != want {
			t.Errorf("tap, time %d: created is %v, %v", i, created, err)
		}
	}
	if _, err := d.CreateTap(ctx, host.Tap{Name: v.HostName, MTU: 1400}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a veth for a tap: %v", err)
	}
	links, err := d.List(ctx)
	must(t, err)
	if diff := cmp.Diff([]host.Link{{Name: "vmtap0", For: tap.For}, {Name: v.HostName, For: v.For}}, links); diff != "" {
		t.Errorf("links: -want +got\n%s", diff)
	}
	if err := d.Retire(ctx, host.Place{HostName: v.HostName, Namespace: b, IfName: "eth0"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("retired in the wrong container: %v", err)
	}
	check("a pair that wasn't retired")
	must(t, d.Retire(ctx, v.Place))
	if _, err := d.Inspect(ctx, v.Place); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a pair that was retired: %v", err)
	}
	must(t, d.CreateVeth(ctx, other)) // the container can have the next eth0
	must(t, d.ConfigureVeth(ctx, other))
	must(t, d.DeleteAll(ctx, []string{v.HostName, other.HostName, "weft-no-such"}))
	for _, name := range []string{v.HostName, tap.Name} {
		must(t, d.Delete(ctx, name))
	}
	if _, err := d.Inspect(ctx, v.Place); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a pair that was deleted: %v", err)
	}
	if links, err := d.List(ctx); err != nil || len(links) != 0 {
		t.Errorf("links at the end: %v, %v", links, err)
	}
}

func TestFailedCreationLeavesNothing(t *testing.T) {
	ovstest.Require(t)
	node, container := namespace(t), namespace(t)
	h := host.New(node)
	v := sampleVeth(container)
	v.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1")} // unreachable from the addresses
	must(t, h.CreateVeth(t.Context(), v))
	if err := h.ConfigureVeth(t.Context(), v); err == nil {
		t.Fatal("a route through an unreachable gateway was accepted")
	}
	for _, ns := range []string{node, container} {
		if out := command(t, "ip", "-n", filepath.Base(ns), "-o", "link"); strings.Contains(out, v.HostName) || strings.Contains(out, "eth0") {
			t.Errorf("left behind: %s", out)
		}
	}
}

func TestNodesOwnNamespaceIsRefused(t *testing.T) {
	ovstest.Require(t)
	node := namespace(t)
	err := host.New(node).CreateVeth(t.Context(), sampleVeth(node))
	if err == nil || !strings.Contains(err.Error(), "the node's own network namespace") {
		t.Errorf("error is %v", err)
	}
	err = host.New(node).CreateVeth(t.Context(), sampleVeth("/etc/hostname"))
	if err == nil || !strings.Contains(err.Error(), "is not a network namespace") {
		t.Errorf("error is %v", err)
	}
}

func TestNodeEndIsShielded(t *testing.T) {
	ovstest.Require(t)
	node, container := namespace(t), namespace(t)
	v := sampleVeth(container)
	h := host.New(node)
	must(t, h.CreateVeth(t.Context(), v))
	must(t, h.ConfigureVeth(t.Context(), v))
	nodeName, containerName := filepath.Base(node), filepath.Base(container)
	// The node answers at an address of the container's subnet, and knows the way back.
	command(t, "ip", "-n", nodeName, "addr", "add", "10.0.0.1/24", "dev", v.HostName)
	hw := strings.Fields(command(t, "ip", "-n", nodeName, "-o", "link", "show", v.HostName))
	command(t, "ip", "-n", containerName, "neigh", "replace", "10.0.0.1", "lladdr", after(hw, "link/ether"), "dev", "eth0")
	if out, err := exec.Command("ip", "netns", "exec", containerName, "ping", "-c1", "-W1", "10.0.0.1").CombinedOutput(); err == nil {
		t.Errorf("the container reached the node:\n%s", out)
	}
	if out := command(t, "ip", "netns", "exec", containerName, "ethtool", "-k", "eth0"); !strings.Contains(out, "tx-checksumming: off") {
		t.Errorf("offloads: %s", out)
	}
}

// after returns the word that follows another.
func after(words []string, w string) string {
	for i := range words[:len(words)-1] {
		if words[i] == w {
			return words[i+1]
		}
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
