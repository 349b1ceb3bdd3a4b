package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// switchRecovery bounds the longest gap after vswitchd is started again, on a machine that does other things too.
const switchRecovery = 10 * time.Second

// TestKills kills every part under traffic that counts each lost packet.
func TestKills(t *testing.T) {
	r, topo := testLab(t, "testdata/steady")
	paths, err := r.Paths(topo.Intent)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t: t, lab: r, paths: OneOfEach(paths)}
	n := r.Nodes[0]
	wantClean(t, r)
	k.under(t, func() {}) // the first packet between two nodes may be lost while Open vSwitch asks for the other's MAC
	t.Run("nothing", func(t *testing.T) { k.lossless(t, func() {}) })
	t.Run("agent", func(t *testing.T) {
		before := rightThings(t, n)
		k.lossless(t, func() { k.cycle(t, n, Agent) })
		wantUntouched(t, before, rightThings(t, n))
	})
	t.Run("agent of a new version", func(t *testing.T) {
		if err := r.UseBinaries(newVersion(k.t, r.BinDir)); err != nil {
			t.Fatal(err)
		}
		k.lossless(t, func() { k.cycle(t, n, Agent) })
		if s, err := AgentStatus(t.Context(), n); err != nil || s.Version != "new" {
			t.Errorf("status %+v, %v", s, err)
		}
	})
	t.Run("controller", func(t *testing.T) { k.lossless(t, func() { k.cycle(t, n, Controller) }) })
	t.Run("agent while the controller is dead", func(t *testing.T) {
		k.lossless(t, func() { k.cycle(t, n, Controller, Agent) })
	})
	// vswitchd polls the ports of the userspace datapath only while it has its database.
	t.Run("database", func(t *testing.T) { k.recovers(t, n, Database) })
	t.Run("database and agent", func(t *testing.T) { k.recovers(t, n, Database, Agent) })
	t.Run("switch", func(t *testing.T) { k.recovers(t, n, Switch) })
	t.Run("switch and database", func(t *testing.T) { k.recovers(t, n, Switch, Database) })
	t.Run("switch and agent, without the controller", func(t *testing.T) { k.recovers(t, n, Controller, Switch, Agent) })
	t.Run("link", func(t *testing.T) { k.recovers(t, n, Link) })
	t.Run("in any order", k.random)
}

// killer kills parts of a lab under traffic.
type killer struct {
	t     *testing.T
	lab   *Record
	paths []Path
	rates Rates // of the traffic; those of tests, if none are given
	// patience replaces that of the rates.
	patience time.Duration
}

// lossless does something under traffic, none of which may be lost.
func (k *killer) lossless(t *testing.T, do func()) {
	t.Helper()
	for _, res := range k.under(t, do) {
		if !res.Lossless() {
			t.Errorf("%s to %s (%s) lost: stream %+v, pings %+v, connections %+v", res.Path.From.Ref(), res.Path.Address, res.Path.Kind(), res.Stream, res.Pings, res.Connections)
		}
	}
	wantClean(t, k.lab)
}

// traffic returns the rates.
func (k *killer) traffic() Rates {
	rates := k.rates
	if rates == (Rates{}) {
		rates = testRates()
	}
	rates.Patience = max(k.patience, rates.Patience)
	return rates
}

// under does something under traffic, and returns what became of that.
func (k *killer) under(t *testing.T, do func()) []SteadyResult {
	t.Helper()
	s, err := k.lab.StartSteady(t.Context(), k.paths, k.traffic())
	if err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	do()
	k.more(t, s)
	results, err := s.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := PrintSteady(&out, results); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	return results
}

// more waits until every path has had new answers of each kind: the fabric carries them.
func (k *killer) more(t *testing.T, s *Steady) {
	t.Helper()
	first, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	limit := 30 * time.Second
	if emulated() {
		limit = 3 * time.Minute
	}
	deadline := time.Now().Add(limit)
	for i := 0; i < len(first); {
		now, err := s.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i < len(first) && now[i].Stream.Answered > first[i].Stream.Answered+10 && now[i].Connections.Answered > first[i].Connections.Answered+2 &&
			(!first[i].Path.Ping || now[i].Pings.Answered > first[i].Pings.Answered+20) {
			i++
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answers from %s at %s: %+v", first[i].Path.Address, first[i].Path.From.Ref(), now[i])
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cycle kills parts, one after the other, and revives them in the same order; a controller last.
func (k *killer) cycle(t *testing.T, n Node, parts ...Part) {
	t.Helper()
	for _, p := range parts {
		if err := k.lab.Kill(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}
	revive := func(p Part) {
		if err := k.lab.Revive(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range reviveOrder(parts) {
		revive(p)
	}
}

// reviveOrder puts the controller last: the others have to do without it.
func reviveOrder(parts []Part) []Part {
	var out, last []Part
	for _, p := range parts {
		if p == Controller {
			last = append(last, p)
		} else {
			out = append(out, p)
		}
	}
	return append(out, last...)
}

// recovers kills parts of which the death does lose packets. It logs the time from the switch's return to the first
// answers on every path.
func (k *killer) recovers(t *testing.T, n Node, parts ...Part) {
	t.Helper()
	s, err := k.lab.StartSteady(t.Context(), k.paths, k.traffic())
	if err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	for _, p := range parts {
		if err := k.lab.Kill(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	for _, p := range reviveOrder(parts) {
		if p == Controller {
			continue
		}
		if err := k.lab.Revive(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}
	revived := time.Since(start)
	answers := k.firstAnswers(t, s, start)
	t.Logf("%v: started within %v, every path answers after %v", parts, revived.Round(time.Millisecond), answers.Round(time.Millisecond))
	if answers > switchRecovery {
		t.Errorf("recovered after %v", answers)
	}
	for _, p := range parts {
		if p == Controller {
			if err := k.lab.Revive(t.Context(), p, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.more(t, s)
	k.finish(t, s)
	wantClean(t, k.lab)
}

// finish ends the traffic, and wants that no established connection broke.
func (k *killer) finish(t *testing.T, s *Steady) {
	t.Helper()
	results, err := s.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := PrintSteady(&out, results); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	for _, res := range results {
		if res.Stream.Breaks > 0 {
			t.Errorf("the established connection from %s to %s broke: %s", res.Path.From.Ref(), res.Path.Address, res.Stream.Why)
		}
	}
}

// firstAnswers waits until a ping that was answered after since came back on every path, and returns how long it took.
func (k *killer) firstAnswers(t *testing.T, s *Steady, since time.Time) time.Duration {
	t.Helper()
	first, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(first); time.Sleep(5 * time.Millisecond) {
		now, err := s.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i < len(first) && now[i].Pings.Answered > first[i].Pings.Answered {
			i++
		}
		if time.Since(since) > 30*time.Second {
			t.Fatalf("no answers from %s at %s: %+v", first[i].Path.Address, first[i].Path.From.Ref(), now[i])
		}
	}
	return time.Since(since)
}

// random kills and revives what a seed says, several at a time, and expects the fabric to be whole in the end.
// WEFT_KILL_SEED repeats a run.
func (k *killer) random(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WEFT_KILL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("WEFT_KILL_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	parts := []Part{Agent, Controller, Database, Switch, Link}
	for round := range 4 {
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		dying := parts[:1+rng.IntN(len(parts)-1)]
		n := k.lab.Nodes[rng.IntN(len(k.lab.Nodes))]
		t.Run(fmt.Sprintf("%d %v of %s", round, dying, n.Name), func(t *testing.T) { k.recovers(t, n, dying...) })
	}
}

// newVersion builds the binaries again, with another version in the agent.
func newVersion(t *testing.T, binDir string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "-ldflags", "-X github.com/weftfabric/weft/version.Version=new", "../cmd/weft-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	for _, name := range []string{"weft-controller", "weft-cni", "weft-lab-probe"} {
		if err := os.Symlink(filepath.Join(binDir, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
