package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// fleetSize is how many simulated agents follow one controller.
type fleetSize struct {
	agents, perNetwork int
	changes            int // of each kind
}

func BenchmarkFleet(b *testing.B) {
	report(b, func() *table { return measureFleet(b, fleetSize{agents: 1000, perNetwork: 20, changes: 20}) })
}

func TestFleet(t *testing.T) {
	smoke(t, func() *table { return measureFleet(t, fleetSize{agents: 4, perNetwork: 2, changes: 1}) })
}

// Limits of a fleet's life.
const (
	fleetStart = 5 * time.Minute
	ackLimit   = time.Minute
	joinersMax = 16 // at a time
)

// measureFleet changes the intent, and times until the nodes that the change concerns have acknowledged it.
func measureFleet(tb testing.TB, size fleetSize) *table {
	ovstest.Require(tb) // the shipped binaries are built and run only where the other daemons are, too
	c := startController(tb)
	networks := size.agents / size.perNetwork
	c.apply(tb, fleetNetworks(networks))
	var agents []*agent
	joined := timed(func() { agents = c.joinAll(tb, size) })
	t := &table{
		title: "Fleet: simulated agents on one controller",
		inputs: fmt.Sprintf("%d agents in one process, %d networks of %d nodes each; %d changes of each kind; embedded etcd, mutual TLS over loopback",
			size.agents, networks, size.perNetwork, size.changes),
		head: []string{"change", "nodes", "applied", "node median", "node p99", "all median", "all p99", "controller CPU"},
	}
	for _, kind := range []struct {
		name string
		yaml func(i int) string
		of   []*agent
	}{
		{"policy of one tenant", tenantPolicy, agents[:size.perNetwork]},
		{"policy of the platform", platformPolicy, agents},
	} {
		var applied, each, all []time.Duration
		cpu := cpuOf(tb, c.daemon.cmd.Process.Pid)
		for i := range size.changes {
			start := time.Now()
			revision := c.apply(tb, kind.yaml(i))
			applied = append(applied, time.Since(start))
			var last time.Duration
			for _, a := range kind.of {
				at, err := a.acknowledged(revision, ackLimit)
				if err != nil {
					tb.Fatal(err)
				}
				took := at.Sub(start)
				each, last = append(each, took), max(last, took)
			}
			all = append(all, last)
		}
		t.add(kind.name, len(kind.of), ms(median(applied)), ms(median(each)), ms(quantile(each, 0.99)), ms(median(all)), ms(quantile(all, 0.99)),
			ms((cpuOf(tb, c.daemon.cmd.Process.Pid)-cpu)/time.Duration(size.changes)))
		t.metric(float64(median(all).Milliseconds()), fmt.Sprintf("ms/%d-nodes", len(kind.of)))
	}
	mb := float64(residentKB(tb, c.daemon.cmd.Process.Pid)) / 1024
	t.metric(mb, "controller-MB")
	t.note("Controller's resident memory: %.0f MB. All agents joined, leased a block and had their plan after %s.", mb, joined.Round(10*time.Millisecond))
	t.note("node: from the call of Apply until the controller has taken the node's acknowledgement. The agents check each plan's hash,")
	t.note("have no switch, and share the processors with the controller, whose own time a change is in the last column.")
	return t
}

func fleetNetworks(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `
---
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: t%[1]d}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: prod, tenant: t%[1]d}
spec:
  subnets: [{name: main, ipv4: 10.0.0.0/16}]
`, i)
	}
	return b.String()
}

func tenantPolicy(i int) string {
	return fmt.Sprintf(`
apiVersion: weft.dev/v1alpha1
kind: FirewallPolicy
metadata: {name: changing, tenant: t0}
spec:
  subject: {matchLabels: {tier: web}}
  ingress:
    - from: [{cidr: {cidr: 192.0.2.0/24}}]
      ports: [{protocol: tcp, port: %d}]
`, 1000+i)
}

func platformPolicy(i int) string {
	return fmt.Sprintf(`
apiVersion: weft.dev/v1alpha1
kind: PlatformPolicy
metadata: {name: changing}
spec:
  tier: baseline
  ingress:
    - from: [{cidr: {cidr: 192.0.2.0/24}}]
      ports: [{protocol: tcp, port: %d}]
`, 1000+i)
}

// controllerProcess is the shipped controller.
type controllerProcess struct {
	daemon *daemon
	server string
	admin  *apiclient.Client
}

func startController(tb testing.TB) *controllerProcess {
	tb.Helper()
	dir := shortDir(tb)
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	listen := free.Addr().String()
	if err := free.Close(); err != nil {
		tb.Fatal(err)
	}
	socket := filepath.Join(dir, "weft.sock")
	c := &controllerProcess{server: "https://" + listen}
	c.daemon = startDaemon(tb, daemonSpec{dir: dir, args: []string{filepath.Join(binaries(tb), "weft-controller"),
		"--data-dir", filepath.Join(dir, "data"), "--listen", listen, "--socket", socket, "--log-level", "warn"}})
	eventually(tb, "the controller's socket", 30*time.Second, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	if c.admin, err = apiclient.New("unix://"+socket, nil); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.admin.Close)
	return c
}

// apply declares objects, and returns the revision.
func (c *controllerProcess) apply(tb testing.TB, yaml string) uint64 {
	tb.Helper()
	resp, err := c.admin.Intent.Apply(tb.Context(), connect.NewRequest(&weftv1.ApplyRequest{Files: []*weftv1.File{{Name: "bench.yaml", Content: []byte(yaml)}}}))
	if err != nil {
		tb.Fatal(err)
	}
	if !resp.Msg.GetApplied() {
		tb.Fatalf("the controller refuses the intent: %v", resp.Msg.GetProblems())
	}
	return resp.Msg.GetRevision()
}

// joinAll makes the agents: each joins as a node of its own, hosts one network, and follows its plan.
func (c *controllerProcess) joinAll(tb testing.TB, size fleetSize) []*agent {
	tb.Helper()
	token, err := c.admin.Intent.CreateToken(tb.Context(), connect.NewRequest(&weftv1.CreateTokenRequest{}))
	if err != nil {
		tb.Fatal(err)
	}
	agents := make([]*agent, size.agents)
	tb.Cleanup(func() {
		var errs []error
		for _, a := range agents {
			if a != nil {
				errs = append(errs, a.leave())
			}
		}
		if err := errors.Join(errs...); err != nil {
			tb.Error(err)
		}
	})
	var g errgroup.Group
	g.SetLimit(joinersMax)
	for i := range agents {
		g.Go(func() (err error) {
			agents[i], err = newAgent(tb.Context(), agentSpec{
				server: c.server, token: token.Msg.GetToken(), node: fabric.NodeName(fmt.Sprintf("node%d", i)),
				vtep: fmt.Sprintf("172.16.%d.%d", i>>8, i&255), network: fmt.Sprintf("t%d/prod", i/size.perNetwork), first: i%size.perNetwork == 0,
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		tb.Fatal(err)
	}
	for _, a := range agents {
		if _, err := a.acknowledged(a.leased, fleetStart); err != nil {
			tb.Fatal(err)
		}
	}
	return agents
}
