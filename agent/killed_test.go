package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

var errDead = errors.New("the process is dead")

// killer kills an agent at a step of what it does to the world: from then on none of its calls has an effect.
type killer struct {
	mu    sync.Mutex
	armed bool
	left  int  // steps until the one it dies at
	after bool // it dies when the step is done, else before
	dead  chan struct{}
	at    string // the step it died at
}

// do takes one step.
func (k *killer) do(name string, f func() error) error {
	k.mu.Lock()
	if k.at != "" {
		k.mu.Unlock()
		return errDead
	}
	mine := false
	if k.armed {
		k.left--
		mine = k.left == 0
	}
	if !mine {
		k.mu.Unlock()
		return f()
	}
	defer k.mu.Unlock() // nobody else takes a step meanwhile
	if k.after {
		_ = f()
	}
	k.at = name
	close(k.dead)
	return errDead
}

// killableDB, killableLinks, killableFlows and killableCalls are what the agent changes the world by.
type killableDB struct {
	agent.Database
	k *killer
}

func (d killableDB) AddPort(ctx context.Context, p ovs.PortSpec) error {
	return d.k.do("AddPort "+p.Name, func() error { return d.Database.AddPort(ctx, p) })
}

func (d killableDB) SetExternalIDs(ctx context.Context, name string, ids map[string]string) error {
	return d.k.do("SetExternalIDs", func() error { return d.Database.SetExternalIDs(ctx, name, ids) })
}

func (d killableDB) DeletePort(ctx context.Context, name string) error {
	return d.k.do("DeletePort", func() error { return d.Database.DeletePort(ctx, name) })
}

type killableLinks struct {
	agent.Links
	k *killer
}

func (l killableLinks) CreateVeth(ctx context.Context, v host.Veth) error {
	return l.k.do("CreateVeth", func() error { return l.Links.CreateVeth(ctx, v) })
}

func (l killableLinks) ConfigureVeth(ctx context.Context, v host.Veth) error {
	return l.k.do("ConfigureVeth", func() error { return l.Links.ConfigureVeth(ctx, v) })
}

func (l killableLinks) Retire(ctx context.Context, p host.Place) error {
	return l.k.do("Retire", func() error { return l.Links.Retire(ctx, p) })
}

func (l killableLinks) DeleteAll(ctx context.Context, names []string) error {
	return l.k.do("DeleteAll", func() error { return l.Links.DeleteAll(ctx, names) })
}

func (l killableLinks) Delete(ctx context.Context, name string) error {
	return l.k.do("Delete", func() error { return l.Links.Delete(ctx, name) })
}

type killableFlows struct {
	agent.Flows
	k *killer
}

func (f killableFlows) Apply(ctx context.Context, ops []dataplane.Op) error {
	return f.k.do("Apply", func() error { return f.Flows.Apply(ctx, ops) })
}

type killableCalls struct {
	agent.Controller
	k *killer
}

func (c killableCalls) LeaseBlock(ctx context.Context, r *weftv1.LeaseBlockRequest) (p netip.Prefix, err error) {
	err = c.k.do("LeaseBlock", func() (err error) { p, err = c.Controller.LeaseBlock(ctx, r); return err })
	return p, err
}

func (c killableCalls) ResolveIdentity(ctx context.Context, r *weftv1.ResolveIdentityRequest) (id fabric.Identity, err error) {
	err = c.k.do("ResolveIdentity", func() (err error) { id, err = c.Controller.ResolveIdentity(ctx, r); return err })
	return id, err
}

// kill runs an agent that dies at a step of f, and stops it; it returns the step's name, empty when f took fewer steps.
func (r *rig) kill(step int, after bool, f func()) string {
	r.t.Helper()
	k := &killer{left: step, after: after, dead: make(chan struct{})}
	dial := r.cfg.Dial
	r.cfg.Database, r.cfg.Links, r.cfg.Controller = killableDB{r.db, k}, killableLinks{r.links, k}, killableCalls{r.controller, k}
	r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) {
		flows, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return killableFlows{flows, k}, nil
	}
	r.run()
	r.ready()
	k.mu.Lock()
	k.armed = true
	k.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-k.dead:
	case <-done:
	}
	r.stop()
	<-done
	r.cfg.Database, r.cfg.Links, r.cfg.Controller, r.cfg.Dial = r.db, r.links, r.controller, dial
	return k.at
}

// An agent that dies anywhere in an ADD or a DEL leaves nothing that the same call again, a DEL or a GC doesn't clean,
// once an agent runs again.
func TestKilledAnywhere(t *testing.T) {
	add := addOf("c1", "/ns/1", fabric.Labels{"app": "web"})
	add.Config = "prod"
	requests := map[string]cniwire.Request{
		"ADD": {Add: add},
		"DEL": {Del: &cniwire.Del{Attachment: add.Attachment, Netns: "/ns/1"}},
		"GC":  {GC: &cniwire.GC{Config: "prod"}},
	}
	clean := newRig(t)
	clean.run()
	clean.ready()
	clean.mustAsk(requests["ADD"])
	attached := len(clean.sw.Flows())
	clean.mustAsk(requests["DEL"])
	clean.eventually("fewer flows", func() bool { return len(clean.sw.Flows()) < attached })
	idle := len(clean.sw.Flows())

	for _, killed := range []string{"ADD", "DEL"} {
		for _, next := range []string{"ADD", "DEL", "GC"} {
			for step, more := 1, true; more; step++ {
				for _, after := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s killed at step %d, after it %v, then %s", killed, step, after, next), func(t *testing.T) {
						r := newRig(t)
						if killed == "DEL" {
							r.run()
							r.ready()
							r.mustAsk(requests["ADD"])
							r.stop()
							r.db.Reconnect()
						}
						at := r.kill(step, after, func() { r.agent.Handle(context.Background(), requests[killed]) })
						more = more && at != ""
						r.again()
						r.mustAsk(requests[next])
						r.expect(at, next == "ADD")
						r.mustAsk(requests["ADD"])
						r.eventually("the flows of one attachment after "+at, func() bool { return len(r.sw.Flows()) == attached })
						r.mustAsk(requests["DEL"])
						r.expect(at, false)
						r.eventually("the flows of none after "+at, func() bool { return len(r.sw.Flows()) == idle })
					})
				}
			}
		}
	}
}

// expect checks that c1 is attached, or that nothing of it is left, what is deleted in the background included.
func (r *rig) expect(killedAt string, attached bool) {
	r.t.Helper()
	want, n := "", 0
	if attached {
		want, n = "c1/eth0", 1
	}
	if got := r.attached(); got != want {
		r.t.Errorf("killed at %s: records %q, want %q", killedAt, got, want)
	}
	r.linksLeft(n)
}
