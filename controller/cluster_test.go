package controller_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/agent/uplink"
	"github.com/weftfabric/weft/controller/store/etcdtest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/planwire"
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

// blow is something that happens to one process of the cluster, and how it ends.
type blow struct {
	name   string
	strike func(c *cluster, i int) (recover func())
}

var blows = []blow{
	{"a controller is killed, and comes back with an empty disk", func(c *cluster, i int) func() {
		p := c.controllers[i]
		p.kill()
		return func() { p.emptyDisk(); p.start() }
	}},
	{"a controller hangs", func(c *cluster, i int) func() {
		p := c.controllers[i]
		p.signal(syscall.SIGSTOP)
		return func() { p.signal(syscall.SIGCONT) }
	}},
	{"a controller is cut off from etcd", func(c *cluster, i int) func() {
		c.sever(i)
		return func() { c.mend(i) }
	}},
	{"a member of etcd is killed", func(c *cluster, i int) func() {
		m := c.etcd.Members[i]
		m.Kill()
		return m.Start
	}},
	{"etcd's leader hangs", func(c *cluster, _ int) func() {
		m := c.etcd.Leader(c.t)
		m.Pause()
		return m.Resume
	}},
}

func TestClusterSurvives(t *testing.T) {
	c := ready(t)
	for i, b := range blows {
		began := time.Now()
		recover := b.strike(c, i%3)
		c.writer.more(3)
		c.news(fmt.Sprintf("during-%d", i))
		within := time.Since(began)
		recover()
		c.writer.more(3)
		t.Logf("%s: applied and enforced everywhere after %v", b.name, within.Round(10*time.Millisecond))
	}
	c.withoutMajority()
	c.writer.more(3)
	c.powerFailure()
	c.writer.more(3)
	c.writer.stop()
	c.news("end")
	c.compare()
}

// withoutMajority kills two of three members of etcd until every controller says that it knows nothing any more.
func (c *cluster) withoutMajority() {
	c.t.Helper()
	lost := c.etcd.Members[:2]
	for _, m := range lost {
		m.Kill()
	}
	for _, p := range c.controllers {
		c.until(p.cfg.Name+" says that it has lost etcd", func(ctx context.Context) error {
			_, err := p.admin.Intent.List(ctx, connect.NewRequest(&weftv1.ListRequest{}))
			if connect.CodeOf(err) == connect.CodeUnavailable && strings.Contains(err.Error(), "has lost its etcd") {
				return nil
			}
			return fmt.Errorf("it answers %w", cmp.Or(err, errors.New("as if nothing had happened")))
		})
	}
	before := len(c.writer.acknowledged())
	_, err := c.controllers[0].admin.Intent.Apply(c.t.Context(), connect.NewRequest(&weftv1.ApplyRequest{Files: files(acmePolicy[4:])}))
	if after := len(c.writer.acknowledged()); err == nil || after != before {
		c.t.Errorf("without a majority of etcd %d applies were acknowledged; one answered %v", after-before, err)
	}
	for _, m := range lost {
		m.Start()
	}
}

// powerFailure ends everything at once, and starts it again.
func (c *cluster) powerFailure() {
	for _, p := range c.controllers {
		p.kill()
	}
	for _, m := range c.etcd.Members {
		m.Kill()
	}
	for _, m := range c.etcd.Members {
		m.Start()
	}
	for _, p := range c.controllers {
		p.start()
	}
}

// A controller with the embedded store is killed during a stream of applies.
func TestEmbeddedStoreSurvivesKills(t *testing.T) {
	c := &cluster{t: t, controllers: []*process{newProcess(t, "a", nil)}}
	c.eventually("the first apply", func(ctx context.Context, p *process) error {
		_, err := p.admin.Intent.Apply(ctx, connect.NewRequest(&weftv1.ApplyRequest{Files: files(acme)}))
		return err
	})
	c.writer = c.write()
	for range 4 {
		c.writer.more(5)
		c.controllers[0].kill()
		c.controllers[0].start()
	}
	c.writer.more(1)
	c.writer.stop()
	c.compare()
}

// TestClusterSoak hurts the cluster at random for some minutes; WEFT_SOAK=1 runs it.
func TestClusterSoak(t *testing.T) {
	if os.Getenv("WEFT_SOAK") == "" {
		t.Skip("it takes minutes: set WEFT_SOAK=1")
	}
	c := ready(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 40 {
		b := blows[random.IntN(len(blows))]
		i := random.IntN(3)
		t.Logf("round %d: %s (%d)", round, b.name, i)
		recover := b.strike(c, i)
		c.writer.more(1 + random.IntN(20))
		if random.IntN(2) == 0 {
			c.news(fmt.Sprintf("round-%d", round))
		}
		recover()
		if random.IntN(2) == 0 {
			c.writer.more(1 + random.IntN(20))
		}
		if random.IntN(8) == 0 {
			t.Log("a power failure")
			c.powerFailure()
		}
	}
	c.writer.stop()
	c.news("end")
	c.compare()
}

func TestControllersSeeEachOther(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := newProcess(t, "a", etcd.Endpoints()), newProcess(t, "b", etcd.Endpoints())
	alive := func(p *process) string {
		resp, err := p.admin.Intent.Info(t.Context(), connect.NewRequest(&weftv1.InfoRequest{}))
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, c := range resp.Msg.Controllers {
			text, _ := json.Marshal([]any{c.Name, c.Answering, c.Listen != ""})
			out = append(out, string(text))
		}
		return strings.Join(out, " ")
	}
	c := &cluster{t: t}
	sees := func(p *process, want string) {
		t.Helper()
		c.until(p.cfg.Name+" sees "+want, func(context.Context) error {
			if got := alive(p); got != want {
				return fmt.Errorf("it sees %s", got)
			}
			return nil
		})
	}
	sees(a, `["a",true,true] ["b",false,true]`)
	sees(b, `["a",false,true] ["b",true,true]`)
	a.kill()
	sees(b, `["b",true,true]`)
}
