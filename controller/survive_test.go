package controller_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/store/etcdtest"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
