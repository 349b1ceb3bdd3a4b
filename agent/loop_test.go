package agent_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// slowController doesn't answer questions for identities until it is told to.
type slowController struct {
	*fakeController
	answer chan struct{}
}

func (c slowController) ResolveIdentity(ctx context.Context, r *weftv1.ResolveIdentityRequest) (fabric.Identity, error) {
	if r.Labels["app"] == "slow" {
		select {
		case <-c.answer:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return c.fakeController.ResolveIdentity(ctx, r)
}

func TestSlowControllerHoldsUpNobodyElse(t *testing.T) {
	r := newRig(t)
	slow := slowController{r.controller, make(chan struct{})}
	r.cfg.Controller = slow
	r.run()
	r.ready()
	answers := make(chan cniwire.Response, 1)
	go func() {
		answers <- r.agent.Handle(context.Background(), cniwire.Request{Add: addOf("slow", "/ns/1", fabric.Labels{"app": "slow"})})
	}()
	r.add("c2", "/ns/2", fabric.Labels{"app": "web"})
	select {
	case resp := <-answers:
		t.Fatalf("the slow request has ended: %+v", resp)
	default:
	}
	close(slow.answer)
	if resp := <-answers; resp.Error != nil {
		t.Errorf("the slow request: %+v", resp.Error)
	}
}

// TestSilentController runs in a bubble's time: a controller that never answers makes a request fail in time, and
// the agent's end doesn't wait for it.
func TestSilentController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Controller = slowController{r.controller, make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		a := agent.New(r.cfg)
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		start := time.Now()
		resp := a.Handle(t.Context(), cniwire.Request{Add: addOf("c1", "/ns/1", fabric.Labels{"app": "slow"})})
		for resp.Error != nil && strings.Contains(resp.Error.Message, "no plan yet") {
			time.Sleep(10 * time.Millisecond) // the bubble's time
			resp = a.Handle(t.Context(), cniwire.Request{Add: addOf("c1", "/ns/1", fabric.Labels{"app": "slow"})})
		}
		if resp.Error == nil || resp.Error.Code != cniwire.CodeUnavailable {
			t.Errorf("answer: %+v", resp)
		}
		if took := time.Since(start); took > 40*time.Second {
			t.Errorf("it took %v", took)
		}
		go a.Handle(t.Context(), cniwire.Request{Add: addOf("c2", "/ns/2", fabric.Labels{"app": "slow"})})
		synctest.Wait()
		stopping := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(stopping); took > time.Second {
			t.Errorf("the agent took %v to stop", took)
		}
	})
}

// TestIdleBlocksAreGivenBack runs in a bubble's time.
func TestIdleBlocksAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		r.agent = agent.New(r.cfg)
		done := make(chan error, 1)
		go func() { done <- r.agent.Run(ctx) }()
		r.ready()
		r.add("c1", "/ns/1", nil)
		time.Sleep(time.Hour)
		if n := r.controller.count("ReleaseBlock"); n != 0 {
			t.Errorf("%d blocks in use were given back", n)
		}
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}})
		time.Sleep(time.Hour)
		if n := r.controller.count("ReleaseBlock"); n != 2 {
			t.Errorf("%d calls gave back the block of each family", n)
		}
		r.add("c2", "/ns/2", nil) // leases anew
		if n := r.controller.count("LeaseBlock"); n != 4 {
			t.Errorf("%d leases", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPeersAreTouched(t *testing.T) {
	r := newRig(t)
	var touched atomic.Int32
	r.cfg.Touch = func(_ context.Context, from, to netip.Addr) error {
		if from == r.cfg.VTEP && to == netip.MustParseAddr("192.0.2.2") {
			touched.Add(1)
		}
		return nil
	}
	r.run()
	r.ready()
	_ = r.controller.change("peer", func() error {
		r.controller.plan.Peers = append(r.controller.plan.Peers, plan.Peer{Name: "n2", VTEP: netip.MustParseAddr("192.0.2.2")})
		return nil
	})
	r.eventually("a touched peer", func() bool { return touched.Load() == 1 })
}

func TestWithoutAPlanTheSwitchIsLeftAlone(t *testing.T) {
	r := newRig(t)
	r.controller.setAway(true)
	if err := os.WriteFile(r.cfg.PlanFile, []byte("weft plan snapshot 1\nthis is no plan"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run()
	var status *cniwire.AgentStatus
	r.eventually("the bridge", func() bool {
		status = r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status
		return strings.Contains(status.Reason, "no plan yet")
	})
	if r.sw.Mods() != 0 {
		t.Errorf("%d flows were changed", r.sw.Mods())
	}
	resp := r.ask(cniwire.Request{Add: addOf("c1", "/ns/1", nil)})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeUnavailable || !strings.Contains(resp.Error.Message, "no plan") {
		t.Errorf("ADD without a plan: %+v", resp)
	}
	r.controller.setAway(false)
	r.ready()
	r.stop()
	entries, err := os.ReadDir(filepath.Dir(r.cfg.PlanFile))
	if err != nil || len(entries) != 1 {
		t.Errorf("files beside the plan: %v, %v", entries, err)
	}
}
