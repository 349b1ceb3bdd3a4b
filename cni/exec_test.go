package cni_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/weftfabric/weft/wire/cniwire"
)

// buildPlugin builds the shipped binary once for all tests that run it.
func buildPlugin(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "weft-cni"), "../cmd/weft-cni")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build weft-cni: %v\n%s", err, out)
	}
	return dir
}

// rig runs the real binary through libcni, as container runtimes do.
type rig struct {
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	rt   *libcni.RuntimeConf
}

func newRig(t *testing.T, bin, cniVersion, socket string) *rig {
	t.Helper()
	conf := fmt.Sprintf(`{"cniVersion":%q,"name":"weft","plugins":[{"type":"weft-cni","tenant":"acme","network":"prod","socket":%q,"capabilities":{"mac":true}}]}`, cniVersion, socket)
	list, err := libcni.ConfListFromBytes([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	// A file stands in for the namespace: the plugin itself never enters it.
	netns := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(netns, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return &rig{
		cni:  libcni.NewCNIConfigWithCacheDir([]string{bin}, t.TempDir(), nil),
		list: list,
		rt: &libcni.RuntimeConf{
			ContainerID: "c1", NetNS: netns, IfName: "eth0",
			Args:           [][2]string{{"WEFT_LABELS", "app:web"}},
			CapabilityArgs: map[string]any{"mac": "02:00:00:00:00:05"},
		},
	}
}

func TestExec(t *testing.T) {
	bin := buildPlugin(t)
	for _, cniVersion := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run("life of a container "+cniVersion, func(t *testing.T) { testLife(t, bin, cniVersion) })
	}
	t.Run("nobody answers", func(t *testing.T) { testNobody(t, bin) })
	t.Run("answer lost", func(t *testing.T) { testLost(t, bin) })
	t.Run("unusable answer", func(t *testing.T) { testUnusable(t, bin) })
	t.Run("refused by the agent", func(t *testing.T) { testRefused(t, bin) })
	t.Run("version", func(t *testing.T) { testVersion(t, bin) })
	t.Run("status", func(t *testing.T) { testStatus(t, bin) })
	t.Run("gc", func(t *testing.T) { testGC(t, bin) })
	t.Run("chained", func(t *testing.T) { testChained(t, bin) })
	t.Run("namespace gone", func(t *testing.T) { testNamespaceGone(t, bin) })
}

func testLife(t *testing.T, bin, cniVersion string) {
	agent := startAgent(t, goodAnswer)
	r := newRig(t, bin, cniVersion, agent.socket)
	ctx := t.Context()

	res, err := r.cni.AddNetworkList(ctx, r.list, r.rt)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Version(); got != cniVersion {
		t.Errorf("result has version %s, want %s", got, cniVersion)
	}
	result, err := types100.NewResultFromResult(res)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(result.Interfaces); n != 2 || result.Interfaces[1].Sandbox != r.rt.NetNS || result.Interfaces[1].Mac != "02:00:00:00:00:05" {
		t.Errorf("interfaces: %+v", result.Interfaces)
	}
	if cniVersion == "1.1.0" && result.Interfaces[1].Mtu != 1450 {
		t.Errorf("MTU is %d, want 1450", result.Interfaces[1].Mtu)
	}
	if len(result.IPs) != 2 || result.IPs[0].Address.String() != "10.0.0.5/24" || result.IPs[0].Gateway.String() != "10.0.0.1" || *result.IPs[0].Interface != 1 {
		t.Errorf("addresses: %+v", result.IPs)
	}
	if len(result.Routes) != 2 || result.Routes[1].Dst.String() != "::/0" || result.Routes[1].GW.String() != "fd00::1" {
		t.Errorf("routes: %+v", result.Routes)
	}

	if cniVersion != "0.3.1" {
		if err := r.cni.CheckNetworkList(ctx, r.list, r.rt); err != nil {
			t.Error(err)
		}
		reqs := agent.requests()
		check := reqs[len(reqs)-1].Check
		if check == nil || len(check.Addresses) != 2 || check.Addresses[1] != netip.MustParsePrefix("fd00::5/64") || check.MAC != mustMAC("02:00:00:00:00:05") {
			t.Errorf("the agent was asked to check %+v", check)
		}
	}

	for _, netns := range []string{r.rt.NetNS, ""} { // containerd deletes twice, the second time without namespace
		r.rt.NetNS = netns
		if err := r.cni.DelNetworkList(ctx, r.list, r.rt); err != nil {
			t.Error(err)
		}
	}
	reqs := agent.requests()
	if add := reqs[0].Add; add == nil || add.MAC != mustMAC("02:00:00:00:00:05") || add.Labels["app"] != "web" || add.ContainerID != "c1" {
		t.Errorf("the agent was asked to add %+v", add)
	}
	if last := reqs[len(reqs)-1]; last.Del == nil || last.Del.Netns != "" {
		t.Errorf("the last request is %+v", last)
	}
}

func testNobody(t *testing.T, bin string) {
	r := newRig(t, bin, "1.1.0", filepath.Join(t.TempDir(), "agent.sock"))
	_, err := r.cni.AddNetworkList(t.Context(), r.list, r.rt)
	wantCode(t, err, types.ErrTryAgainLater, "weft-agent on this node doesn't answer at")
	wantCode(t, r.cni.DelNetworkList(t.Context(), r.list, r.rt), types.ErrTryAgainLater, "start it")
}

func testLost(t *testing.T, bin string) {
	agent := startAgent(t, func(req cniwire.Request) *cniwire.Response {
		if req.Add != nil {
			return nil
		}
		return goodAnswer(req)
	})
	r := newRig(t, bin, "1.1.0", agent.socket)
	_, err := r.cni.AddNetworkList(t.Context(), r.list, r.rt)
	wantCode(t, err, types.ErrTryAgainLater, "gave no answer")
	wantUndone(t, agent)
}

func testUnusable(t *testing.T, bin string) {
	agent := startAgent(t, func(req cniwire.Request) *cniwire.Response {
		resp := goodAnswer(req)
		if req.Add != nil {
			resp.Interface.Addresses = nil
		}
		return resp
	})
	r := newRig(t, bin, "1.1.0", agent.socket)
	_, err := r.cni.AddNetworkList(t.Context(), r.list, r.rt)
	wantCode(t, err, types.ErrInternal, "lacks interface name, MAC or address")
	wantUndone(t, agent)
}

func testRefused(t *testing.T, bin string) {
	agent := startAgent(t, func(cniwire.Request) *cniwire.Response {
		return &cniwire.Response{Error: &cniwire.Error{Code: cniwire.CodeExhausted, Message: "subnet web has no address left"}}
	})
	r := newRig(t, bin, "1.1.0", agent.socket)
	_, err := r.cni.AddNetworkList(t.Context(), r.list, r.rt)
	wantCode(t, err, 102, "no address left")
	if n := len(agent.requests()); n != 1 {
		t.Errorf("%d requests, want the ADD alone: the agent undoes what it refuses", n)
	}
}

func testVersion(t *testing.T, bin string) {
	r := newRig(t, bin, "1.1.0", "/unused")
	info, err := r.cni.GetVersionInfo(t.Context(), "weft-cni")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(info.SupportedVersions(), " "); got != "0.3.1 0.4.0 1.0.0 1.1.0" {
		t.Errorf("supported: %s", got)
	}

	old := newRig(t, bin, "0.2.0", "/unused")
	if _, err := old.cni.AddNetworkList(t.Context(), old.list, old.rt); err == nil {
		t.Error("version 0.2.0 is accepted")
	}
}

func testStatus(t *testing.T, bin string) {
	var ready atomic.Bool
	ready.Store(true)
	agent := startAgent(t, func(cniwire.Request) *cniwire.Response {
		return &cniwire.Response{Status: &cniwire.AgentStatus{Ready: ready.Load(), Reason: "the switch does not answer"}}
	})
	r := newRig(t, bin, "1.1.0", agent.socket)
	if err := r.cni.GetStatusNetworkList(t.Context(), r.list); err != nil {
		t.Error(err)
	}
	ready.Store(false)
	wantCode(t, r.cni.GetStatusNetworkList(t.Context(), r.list), 50, "the switch does not answer")
	absent := newRig(t, bin, "1.1.0", filepath.Join(t.TempDir(), "agent.sock"))
	wantCode(t, absent.cni.GetStatusNetworkList(t.Context(), absent.list), 50, "weft-agent on this node doesn't answer at")
}

func testGC(t *testing.T, bin string) {
	agent := startAgent(t, goodAnswer)
	r := newRig(t, bin, "1.1.0", agent.socket)
	for _, keep := range [][]types.GCAttachment{{{ContainerID: "c1", IfName: "eth0"}, {ContainerID: "c2", IfName: "net1"}}, nil} {
		if err := r.cni.GCNetworkList(t.Context(), r.list, &libcni.GCArgs{ValidAttachments: keep}); err != nil {
			t.Fatal(err)
		}
		reqs := agent.requests()
		gc := reqs[len(reqs)-1].GC
		if gc == nil || gc.Config != "weft" || len(gc.Keep) != len(keep) || len(keep) > 0 && gc.Keep[1] != (cniwire.Attachment{ContainerID: "c2", IfName: "net1"}) {
			t.Errorf("the agent was asked to collect %+v", gc)
		}
	}
	asked := len(agent.requests())
	wantCode(t, r.cni.GCNetworkList(t.Context(), r.list, nil), types.ErrInvalidNetworkConfig, "cni.dev/valid-attachments\" is missing")
	if n := len(agent.requests()); n != asked {
		t.Errorf("a GC without a list reached the agent: %+v", agent.requests()[asked:])
	}
}

// testChained puts weft-cni behind a plugin that made something else: the result holds both.
func testChained(t *testing.T, bin string) {
	agent := startAgent(t, goodAnswer)
	r := newRig(t, bin, "1.0.0", agent.socket)
	first := `{"cniVersion":"1.0.0","interfaces":[{"name":"lo","sandbox":"/ns"}],"ips":[{"interface":0,"address":"127.0.0.1/8"}],"routes":[{"dst":"192.0.2.0/24"}],"dns":{"search":["example.com"]}}`
	if err := os.WriteFile(filepath.Join(bin, "before"), []byte("#!/bin/sh\necho '"+first+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := libcni.ConfListFromBytes(fmt.Appendf(nil, `{"cniVersion":"1.0.0","name":"weft","plugins":[{"type":"before"},{"type":"weft-cni","tenant":"acme","network":"prod","socket":%q}]}`, agent.socket))
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.cni.AddNetworkList(t.Context(), list, r.rt)
	if err != nil {
		t.Fatal(err)
	}
	got, err := types100.NewResultFromResult(res)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Interfaces) != 3 || got.Interfaces[0].Name != "lo" || got.Interfaces[2].Name != "eth0" {
		t.Errorf("interfaces: %+v", got.Interfaces)
	}
	if len(got.IPs) != 3 || *got.IPs[0].Interface != 0 || *got.IPs[1].Interface != 2 || *got.IPs[2].Interface != 2 {
		t.Errorf("addresses: %+v", got.IPs)
	}
	if len(got.Routes) != 3 || len(got.DNS.Search) != 1 {
		t.Errorf("routes %+v, DNS %+v", got.Routes, got.DNS)
	}
}

func testNamespaceGone(t *testing.T, bin string) {
	agent := startAgent(t, goodAnswer)
	r := newRig(t, bin, "1.1.0", agent.socket)
	for _, netns := range []string{"/nonexistent/netns", "/proc/self/ns/net"} {
		r.rt.NetNS = netns
		_, err := r.cni.AddNetworkList(context.Background(), r.list, r.rt)
		wantCode(t, err, types.ErrInvalidNetNS, "network namespace")
	}
	if n := len(agent.requests()); n != 0 {
		t.Errorf("the agent was asked %d times", n)
	}
}

func wantCode(t *testing.T, err error, code uint, text string) {
	t.Helper()
	var e *types.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a CNI error", err)
	}
	if e.Code != code || !strings.Contains(e.Error(), text) {
		t.Errorf("got code %d: %v; want code %d with %q", e.Code, e, code, text)
	}
}

func wantUndone(t *testing.T, agent *fakeAgent) {
	t.Helper()
	reqs := agent.requests()
	last := reqs[len(reqs)-1]
	if last.Del == nil || last.Del.ContainerID != "c1" || last.Del.IfName != "eth0" {
		out, _ := json.Marshal(last)
		t.Errorf("the ADD was not undone: the last request is %s", out)
	}
}
