package controller_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// agent is a simulated one: it keeps its plan from the updates, and acknowledges what it has.
type agent struct {
	t      *testing.T
	name   fabric.NodeName
	client *apiclient.Client
	// credentials are the node's, for a client of another controller.
	credentials *apiclient.Credentials
	cancel      context.CancelFunc
	ended       chan struct{}

	mu        sync.Mutex
	plan      plan.Node
	revision  uint64 // of plan, once it is acknowledged; 0 after follow
	updates   int    // after the first
	snapshots int
	mute      bool // acknowledges nothing
	changed   chan struct{}
	err       error
}

// agent joins a node, registers it, and follows its plan.
func (f *fixture) agent(name, vtep string) *agent {
	f.t.Helper()
	return f.agentWith(name, &weftv1.RegisterRequest{Vtep: vtep, Version: "test"})
}

func (f *fixture) agentWith(name string, register *weftv1.RegisterRequest) *agent {
	f.t.Helper()
	a := &agent{t: f.t, name: fabric.NodeName(name), credentials: f.join(name)}
	a.client = newClient(f.t, f.server, a.credentials)
	if _, err := a.client.Node.Register(f.ctx(), connect.NewRequest(register)); err != nil {
		f.t.Fatal(err)
	}
	a.follow(&weftv1.WatchPlanRequest{})
	return a
}

// follow opens a plan stream, which ends with the test.
func (a *agent) follow(req *weftv1.WatchPlanRequest) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel, a.ended, a.changed, a.revision = cancel, make(chan struct{}), make(chan struct{}), 0
	stream, err := a.client.Node.WatchPlan(ctx, connect.NewRequest(req))
	if err != nil {
		a.t.Fatal(err)
	}
	go func() {
		defer close(a.ended)
		for stream.Receive() {
			if err := a.take(ctx, stream.Msg()); err != nil {
				a.t.Errorf("agent %s: %v", a.name, err)
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.err = stream.Err()
		_ = stream.Close()
		a.wake()
	}()
	a.t.Cleanup(a.leave)
	a.wait("the first plan", func() bool { return a.revision > 0 })
}

func (a *agent) leave() {
	a.cancel()
	<-a.ended
	a.client.Close()
}

func (a *agent) take(ctx context.Context, u *weftv1.PlanUpdate) error {
	entries, err := planwire.FromProtos(u.Upsert)
	if err != nil {
		return err
	}
	a.mu.Lock()
	from := a.plan
	if u.Snapshot {
		from, a.snapshots = plan.Node{Name: a.name}, a.snapshots+1
	} else {
		a.updates++
	}
	next, err := plan.Apply(from, plan.Delta{Upsert: entries, Remove: u.Remove})
	if err == nil {
		a.plan = next
	}
	mute := a.mute
	a.mu.Unlock()
	if err != nil {
		return err
	}
	if hash := plan.Hash(next); string(hash[:]) != string(u.Hash) {
		return fmt.Errorf("the hash of revision %d is wrong", u.Revision)
	}
	if !mute {
		if _, err := a.client.Node.Report(ctx, connect.NewRequest(&weftv1.ReportRequest{EnforcedRevision: u.Revision})); err != nil && ctx.Err() == nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revision = u.Revision
	a.wake()
	return nil
}

func (a *agent) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// wait returns once ok holds of the agent's state, which it may read.
func (a *agent) wait(what string, ok func() bool) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		a.mu.Lock()
		done, changed := ok(), a.changed
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			a.t.Fatalf("agent %s: %s never came", a.name, what)
		}
	}
}

func (a *agent) waitRevision(revision uint64) {
	a.t.Helper()
	a.wait(fmt.Sprintf("revision %d", revision), func() bool { return a.revision >= revision })
}

func (a *agent) setMute(mute bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mute = mute
}

func (a *agent) now() (p plan.Node, revision uint64, updates int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.plan, a.revision, a.updates
}

func (a *agent) lease(network string) string {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := a.client.Node.LeaseBlock(ctx, connect.NewRequest(&weftv1.LeaseBlockRequest{
		Network: network, Family: weftv1.LeaseBlockRequest_FAMILY_IPV4}))
	if err != nil {
		a.t.Fatal(err)
	}
	a.waitRevision(resp.Msg.Revision)
	return resp.Msg.Prefix
}

func (a *agent) resolve(network string, labels fabric.Labels) *weftv1.ResolveIdentityResponse {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := a.client.Node.ResolveIdentity(ctx, connect.NewRequest(&weftv1.ResolveIdentityRequest{Network: network, Labels: labels}))
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.Msg
}
