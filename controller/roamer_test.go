package controller_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/agent/uplink"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// roamer is a node that follows its plan through the agent's own uplink.
type roamer struct {
	t    *testing.T
	up   *uplink.Uplink
	name fabric.NodeName
	dir  string // of its credentials

	mu      sync.Mutex
	plan    plan.Node
	changed chan struct{}
}

func (c *cluster) roam(name, vtep string) *roamer {
	c.t.Helper()
	token, err := c.controllers[0].admin.Intent.CreateToken(c.t.Context(), connect.NewRequest(&weftv1.CreateTokenRequest{}))
	if err != nil {
		c.t.Fatal(err)
	}
	m := uplink.Member{
		Servers: c.servers(), Node: fabric.NodeName(name), Token: token.Msg.Token, Dir: c.t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(c.t.Output(), nil)), Now: time.Now,
	}
	r := &roamer{t: c.t, up: uplink.New(), name: m.Node, dir: m.Dir, plan: plan.Node{Name: m.Node}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Run(ctx, r.up); err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	})
	wg.Go(func() { r.follow(ctx, vtep) })
	c.t.Cleanup(func() {
		cancel()
		wg.Wait()
		r.up.Close()
	})
	return r
}

// follow does what the agent's loop does: register, follow, and again.
func (r *roamer) follow(ctx context.Context, vtep string) {
	pace := time.NewTicker(200 * time.Millisecond) // as the agent does, it doesn't try at full speed
	defer pace.Stop()
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := r.up.Register(attempt, &weftv1.RegisterRequest{Vtep: vtep, Version: "test"})
		cancel()
		if err == nil {
			r.mu.Lock()
			hash := plan.Hash(r.plan)
			r.mu.Unlock()
			err = r.up.Watch(ctx, &weftv1.WatchPlanRequest{HaveHash: hash[:]}, func(u *weftv1.PlanUpdate) error { return r.take(ctx, u) })
		}
		r.t.Logf("%s: %v", r.name, err)
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

func (r *roamer) take(ctx context.Context, u *weftv1.PlanUpdate) error {
	entries, err := planwire.FromProtos(u.Upsert)
	if err != nil {
		return err
	}
	r.mu.Lock()
	base := r.plan
	if u.Snapshot {
		base = plan.Node{Name: r.name}
	}
	next, err := plan.Apply(base, plan.Delta{Upsert: entries, Remove: u.Remove})
	if err == nil {
		if len(next.Identities) < len(r.plan.Identities) {
			r.t.Errorf("%s: revision %d takes the node back to an older plan", r.name, u.Revision)
		}
		r.plan = next
		close(r.changed)
		r.changed = make(chan struct{})
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	go func() { _ = r.up.Report(ctx, &weftv1.ReportRequest{EnforcedRevision: u.Revision}) }() // the next one tells it too
	return nil
}

// wait returns once ok holds of the node's plan.
func (r *roamer) wait(what string, ok func(plan.Node) bool) {
	r.t.Helper()
	timeout := time.After(clusterPatience)
	for {
		r.mu.Lock()
		done, changed := ok(r.plan), r.changed
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("%s: %s never came", r.name, what)
		}
	}
}
