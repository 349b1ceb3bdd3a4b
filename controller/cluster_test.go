package controller_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/store/etcdtest"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// clusterPatience bounds the waits for a cluster to recover: a member of etcd that hangs is noticed after 13 s.
const clusterPatience = 45 * time.Second

// cluster is three controllers on three members of etcd, each controller with cables of its own.
type cluster struct {
	t           *testing.T
	etcd        *etcdtest.Cluster
	controllers []*process
	cables      [][]*cable // by controller
	writer      *writer
	nodes       []*roamer
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, etcd: etcdtest.Start(t, 3)}
	for i := range 3 {
		var ends []string
		var cables []*cable
		for _, to := range c.etcd.Endpoints() {
			cables = append(cables, newCable(t, to))
			ends = append(ends, cables[len(cables)-1].address())
		}
		c.cables = append(c.cables, cables)
		c.controllers = append(c.controllers, newProcess(t, fmt.Sprintf("controller%d", i+1), ends))
	}
	return c
}

func (c *cluster) servers() []string {
	var out []string
	for _, p := range c.controllers {
		out = append(out, p.server)
	}
	return out
}

// sever cuts a controller off from all of etcd.
func (c *cluster) sever(controller int) {
	for _, w := range c.cables[controller] {
		w.sever()
	}
}

func (c *cluster) mend(controller int) {
	for _, w := range c.cables[controller] {
		w.mend()
	}
}

// writer applies one object after the other, at any controller that answers, until it is stopped.
type writer struct {
	t      *testing.T
	c      *cluster
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	acked    map[string]uint64 // revision by the Port's name
	progress chan struct{}
}

func (c *cluster) write() *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{t: c.t, c: c, cancel: cancel, ended: make(chan struct{}), acked: map[string]uint64{}, progress: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for i := 0; ctx.Err() == nil; i++ {
			w.one(ctx, i)
		}
	}()
	c.t.Cleanup(w.stop)
	return w
}

func (w *writer) stop() {
	w.cancel()
	<-w.ended
}

// one applies an object until a controller acknowledges it.
func (w *writer) one(ctx context.Context, i int) {
	name := fmt.Sprintf("vm-%d", i)
	req := &weftv1.ApplyRequest{Files: files(strings.ReplaceAll(acmePort[4:], "vm-1", name))}
	for try := 0; ctx.Err() == nil; try++ {
		p := w.c.controllers[(i+try)%len(w.c.controllers)]
		ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
		resp, err := p.admin.Intent.Apply(ctx, connect.NewRequest(req))
		cancel()
		if err != nil {
			continue
		}
		if !resp.Msg.Applied {
			w.t.Errorf("apply of %s was refused: %v", name, resp.Msg.Problems)
		}
		w.mu.Lock()
		w.acked[name] = resp.Msg.Revision
		close(w.progress)
		w.progress = make(chan struct{})
		w.mu.Unlock()
		return
	}
}

// more returns once n further objects are acknowledged.
func (w *writer) more(n int) {
	w.t.Helper()
	w.mu.Lock()
	want := len(w.acked) + n
	w.mu.Unlock()
	timeout := time.After(clusterPatience)
	for {
		w.mu.Lock()
		have, progress := len(w.acked), w.progress
		w.mu.Unlock()
		if have >= want {
			return
		}
		select {
		case <-progress:
		case <-timeout:
			w.t.Fatalf("nothing can be applied any more: %d objects, want %d", have, want)
		}
	}
}

func (w *writer) acknowledged() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

// news declares a Port with labels of its own, and waits until every node knows the identity of them.
func (c *cluster) news(label string) {
	c.t.Helper()
	yaml := strings.NewReplacer("vm-1", "news-"+label, "app: db", "app: "+label).Replace(acmePort[4:])
	c.eventually("an apply", func(ctx context.Context, p *process) error {
		_, err := p.admin.Intent.Apply(ctx, connect.NewRequest(&weftv1.ApplyRequest{Files: files(yaml)}))
		return err
	})
	for _, r := range c.nodes {
		r.wait("the identity of app="+label, func(n plan.Node) bool {
			return slices.ContainsFunc(n.Identities, func(i plan.Identity) bool { return i.Labels["app"] == label })
		})
	}
}

// eventually does something at one controller after the other until it succeeds.
func (c *cluster) eventually(what string, do func(context.Context, *process) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), clusterPatience)
	defer cancel()
	for i := 0; ; i++ {
		attempt, cancel := context.WithTimeout(ctx, 8*time.Second)
		err := do(attempt, c.controllers[i%len(c.controllers)])
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// compare makes sure that every controller holds everything that was acknowledged, and that all say the same.
func (c *cluster) compare() {
	c.t.Helper()
	acked := c.writer.acknowledged()
	var first *weftv1.ListResponse
	for _, p := range c.controllers {
		var list *weftv1.ListResponse
		c.until(p.cfg.Name+" answers", func(ctx context.Context) error {
			resp, err := p.admin.Intent.List(ctx, connect.NewRequest(&weftv1.ListRequest{}))
			if err == nil {
				list = resp.Msg
			}
			return err
		})
		stored := map[string]uint64{}
		for _, o := range list.Objects {
			stored[o.Key.Name] = o.Revision
		}
		for name, revision := range acked {
			// An apply whose answer was lost is repeated, and then changes nothing: the object is older than the answer.
			if got, ok := stored[name]; !ok || got > revision {
				c.t.Errorf("%s: %s was acknowledged at revision %d, and is stored at %d (%v)", p.cfg.Name, name, revision, got, ok)
			}
		}
		if first == nil {
			first = list
		}
		if list.Revision != first.Revision || len(list.Objects) != len(first.Objects) {
			c.t.Errorf("%s is at revision %d with %d objects, another at %d with %d", p.cfg.Name, list.Revision, len(list.Objects), first.Revision, len(first.Objects))
		}
	}
	for _, p := range c.controllers {
		c.samePlans(p)
	}
	c.t.Logf("%d applies were acknowledged, none is lost; revision %d", len(acked), first.Revision)
}

// samePlans makes sure that a controller compiles the plans that the nodes have, and knows that they have them.
func (c *cluster) samePlans(p *process) {
	c.t.Helper()
	c.until(p.cfg.Name+" has the nodes' plans", func(ctx context.Context) error {
		resp, err := p.admin.Intent.ListNodes(ctx, connect.NewRequest(&weftv1.ListNodesRequest{}))
		if err != nil {
			return err
		}
		for _, n := range resp.Msg.Nodes {
			if n.EnforcedRevision < n.PlannedRevision {
				return fmt.Errorf("node %s enforces %d of %d", n.Name, n.EnforcedRevision, n.PlannedRevision)
			}
		}
		return nil
	})
	for _, r := range c.nodes {
		r.mu.Lock()
		hash := plan.Hash(r.plan)
		r.mu.Unlock()
		credentials, err := apiclient.LoadCredentials(r.dir)
		if err != nil {
			c.t.Fatal(err)
		}
		client := newClient(c.t, p.server, credentials)
		c.until(p.cfg.Name+" has the plan of "+string(r.name), func(ctx context.Context) error {
			stream, err := client.Node.WatchPlan(ctx, connect.NewRequest(&weftv1.WatchPlanRequest{HaveHash: hash[:]}))
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close() }()
			if !stream.Receive() {
				return stream.Err()
			}
			if stream.Msg().Snapshot {
				c.t.Errorf("%s compiles another plan for %s than the node has", p.cfg.Name, r.name)
			}
			return nil
		})
	}
}

// until tries again until something succeeds.
func (c *cluster) until(what string, do func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), clusterPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 8*time.Second)
		err := do(attempt)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// ready brings a cluster to where it is about to be hurt: nodes follow it, and applies come in.
func ready(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t)
	c.eventually("the first apply", func(ctx context.Context, p *process) error {
		_, err := p.admin.Intent.Apply(ctx, connect.NewRequest(&weftv1.ApplyRequest{Files: files(acme)}))
		return err
	})
	for i := range 3 {
		r := c.roam(fmt.Sprintf("n%d", i+1), fmt.Sprintf("192.0.2.%d", i+1))
		c.nodes = append(c.nodes, r)
		c.until("a lease", func(ctx context.Context) error {
			_, err := r.up.LeaseBlock(ctx, &weftv1.LeaseBlockRequest{Network: "acme/prod", Family: weftv1.LeaseBlockRequest_FAMILY_IPV4})
			return err
		})
	}
	c.news("start")
	c.writer = c.write()
	c.writer.more(3)
	return c
}
