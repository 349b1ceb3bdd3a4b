package agent_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// rig is an agent with what it drives.
type rig struct {
	t          *testing.T
	cfg        agent.Config
	controller *fakeController
	agent      *agent.Agent
	stop       func() // stops the agent and waits for it

	// of a rig of fakes
	db    *ovs.Fake
	sw    *ovs.FakeSwitch
	links *host.Fake
	// of a rig on real Open vSwitch
	server *ovstest.Server
}

// newRig returns an agent on fakes, with containers' namespaces /ns/1 to /ns/9. It does not run yet.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, controller: newFakeController("n1"), db: ovs.NewFake("3.1.0"), sw: ovs.NewFakeSwitch()}
	r.links = host.NewFake("/ns/1", "/ns/2", "/ns/3", "/ns/4", "/ns/5", "/ns/6", "/ns/7", "/ns/8", "/ns/9")
	r.cfg = r.config()
	r.cfg.Database, r.cfg.Links = r.db, r.links
	r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) { return r.sw.Connect(ctx) }
	return r
}

// newRealRig returns an agent on a private Open vSwitch. It does not run yet.
func newRealRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, controller: newFakeController("n1"), server: ovstest.Start(t)}
	r.cfg = r.config()
	r.cfg.Links = host.New(r.server.Namespace)
	dialer := ovs.Dialer{RunDir: r.server.Dir, Bridge: ovs.DefaultBridge}
	r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) { return dialer.Connect(ctx) }
	return r
}

func (r *rig) config() agent.Config {
	return agent.Config{
		Node: "n1", VTEP: netip.MustParseAddr("192.0.2.1"), Version: "test", Datapath: ovs.Netdev,
		PlanFile: filepath.Join(r.t.TempDir(), "plan"), Controller: r.controller,
		KernelDatapath: func() (bool, error) { return false, nil },
		Logger:         slog.New(slog.NewTextHandler(testWriter{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// testWriter puts logs into the test's output.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// run starts the agent. It is stopped at the end of the test at the latest.
func (r *rig) run() {
	r.t.Helper()
	leaks := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	parts := []func(context.Context) error{}
	if r.server != nil {
		db := ovs.New(ovs.Config{Database: r.server.Database, Bridge: ovs.DefaultBridge, Logger: r.cfg.Logger})
		r.cfg.Database, r.cfg.Settings = db, db.Settings
		parts = append(parts, db.Run)
	}
	r.agent = agent.New(r.cfg)
	parts = append(parts, r.agent.Run)
	done := make(chan error, len(parts))
	for _, part := range parts {
		go func() { done <- part(ctx) }()
	}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range parts {
			select {
			case err := <-done:
				if err != nil {
					r.t.Error(err)
				}
			case <-time.After(time.Minute):
				stacks := make([]byte, 1<<20)
				r.t.Fatalf("agent or driver don't stop:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
		}
		goleak.VerifyNone(r.t, leaks)
	}
	r.t.Cleanup(r.stop)
}

// ask puts a request to the agent.
func (r *rig) ask(req cniwire.Request) cniwire.Response {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	return r.agent.Handle(ctx, req)
}

// mustAsk puts a request to the agent that must succeed.
func (r *rig) mustAsk(req cniwire.Request) cniwire.Response {
	r.t.Helper()
	resp := r.ask(req)
	if resp.Error != nil {
		r.t.Fatalf("%s: %s", resp.Error.Code, resp.Error.Message)
	}
	return resp
}

// add attaches a container to acme/prod.
func (r *rig) add(id, netns string, labels fabric.Labels) *cniwire.Interface {
	r.t.Helper()
	return r.mustAsk(cniwire.Request{Add: addOf(id, netns, labels)}).Interface
}

func addOf(id, netns string, labels fabric.Labels) *cniwire.Add {
	return &cniwire.Add{
		Attachment: cniwire.Attachment{ContainerID: id, IfName: "eth0"}, Netns: netns,
		Network: fabric.NetworkRef{Tenant: "acme", Name: "prod"}, Labels: labels, Name: "pod-" + id,
	}
}

// ready waits until the agent says so.
func (r *rig) ready() *cniwire.AgentStatus {
	r.t.Helper()
	var last *cniwire.AgentStatus
	r.eventually("a ready agent", func() bool {
		last = r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status
		return last.Ready
	})
	return last
}

// eventually waits until a condition holds.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			report, enforced, revision := r.controller.reported()
			r.t.Fatalf("waited for %s; enforced %d of %d, report: %v", what, enforced, revision, report)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// linksLeft waits until the agent has so many links, what it deletes in the background left out.
func (r *rig) linksLeft(n int) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d links", n), func() bool {
		links, err := r.links.List(r.t.Context())
		return err == nil && len(links) == n
	})
}

// namespace makes a network namespace until the test ends, and returns its name and path.
func namespace(t *testing.T) (name, path string) {
	t.Helper()
	var b [4]byte
	_, _ = rand.Read(b[:])
	name = "weft-test-" + hex.EncodeToString(b[:])
	command(t, "ip", "netns", "add", name)
	t.Cleanup(func() { command(t, "ip", "netns", "del", name) })
	return name, filepath.Join("/run/netns", name)
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
