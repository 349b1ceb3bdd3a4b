package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Two zones talk over gateways; one of the two that a zone has dies under traffic and comes back. Then the same nodes become
// a chain of links. From the first start of an agent on nothing but WireGuard is on the wire.
func TestZonesAndLinks(t *testing.T) {
	var c *capture
	r, topo := testLabWith(t, func(o *Options) {
		// The underlay is there, and neither a controller nor an agent: no packet of theirs is missed.
		o.Progress = &firstLine{Writer: o.Progress, do: func() { c = startCapture(t, (&Record{Name: o.Name}).underlayNamespace(), underlayBridge) }}
	}, "../examples/zones")
	wantPredicted(t, r, topo.Intent)
	east, west := *r.NodeNamed("node3"), *r.NodeNamed("node5")
	t.Run("a gateway dies", func(t *testing.T) {
		r.gatewayDies(t, r.pathsBetween(t, topo, west, east), west, east)
		wantPredicted(t, r, topo.Intent)
	})
	zone := func(n Node) string { return n.Labels["zone"] }
	gateway := func(n Node) bool { return n.Labels["role"] == "gateway" }
	r.wantTunnels(t, c, func(a, b Node) bool { return zone(a) == zone(b) || gateway(a) && gateway(b) })

	t.Run("links", func(t *testing.T) {
		chain := [][2]string{{"node2", "node1"}, {"node3", "node1"}, {"node1", "node4"}, {"node4", "node5"}}
		all := startCapture(t, r.underlayNamespace(), underlayBridge)
		r.applyFabric(t, "../examples/zones/fabric.yaml", func(fabric []byte) []byte {
			head, _, _ := bytes.Cut(fabric, []byte("    type: zones\n"))
			out := append(slices.Clone(head), "    type: links\n    links:\n"...)
			for _, l := range chain {
				out = fmt.Appendf(out, "      - {from: %s, to: %s}\n", l[0], l[1])
			}
			return out
		})
		c := startCapture(t, r.underlayNamespace(), underlayBridge)
		wantSteps(t, r, east, west, 3)
		wantPredicted(t, r, topo.Intent)
		k := &killer{t: t, lab: r, paths: r.pathsBetween(t, topo, west, east)}
		k.lossless(t, func() {})
		r.wantTunnels(t, c, func(a, b Node) bool {
			return slices.Contains(chain, [2]string{string(a.Name), string(b.Name)}) || slices.Contains(chain, [2]string{string(b.Name), string(a.Name)})
		})
		wantNothingPlain(t, all) // while the one became the other, too
	})
}

// firstLine does something when the first line is written to it.
type firstLine struct {
	io.Writer
	once sync.Once
	do   func()
}

func (f *firstLine) Write(line []byte) (int, error) {
	f.once.Do(f.do)
	return f.Writer.Write(line)
}

// gatewayDies kills the gateway that joins two nodes, with its switch and its agent, under traffic on paths. It goes over
// another one, and back when the gateway is.
func (r *Record) gatewayDies(t *testing.T, paths []Path, a, b Node) {
	t.Helper()
	way := r.way(t, a, b)
	if len(way) != 4 {
		t.Fatalf("the way is %v, want one over two gateways", way)
	}
	i := slices.IndexFunc(way[1:3], func(name string) bool { return r.NodeNamed(name).Labels["zone"] == "east" })
	dying := *r.NodeNamed(way[1+i])
	k := &killer{t: t, lab: r, paths: paths}
	s, err := r.StartSteady(t.Context(), paths, DefaultRates())
	if err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	killed := time.Now()
	for _, p := range []Part{Switch, Agent} {
		if err := r.Kill(t.Context(), p, dying); err != nil {
			t.Fatal(err)
		}
	}
	r.wantWay(t, a, b, func(way []string) bool { return len(way) == 4 && !slices.Contains(way, string(dying.Name)) })
	t.Logf("traffic goes on without %s after %v", dying.Name, k.firstAnswers(t, s, killed).Round(time.Millisecond))
	k.more(t, s)
	for _, p := range []Part{Switch, Agent} {
		if err := r.Revive(t.Context(), p, dying); err != nil {
			t.Fatal(err)
		}
	}
	r.wantWay(t, a, b, func(now []string) bool { return slices.Equal(now, way) })
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.more(t, s)
	k.finish(t, s)
}

// pathsBetween returns the paths with pings from one node's workloads to another's.
func (r *Record) pathsBetween(t *testing.T, topo Topology, from, to Node) []Path {
	t.Helper()
	all, err := r.Paths(topo.Intent)
	if err != nil {
		t.Fatal(err)
	}
	paths := slices.DeleteFunc(all, func(p Path) bool { return p.From.Node != string(from.Name) || p.To.Node != string(to.Name) || !p.Ping })
	if len(paths) == 0 {
		t.Fatalf("there is no traffic from %s to %s", from.Name, to.Name)
	}
	return paths
}

// way returns the nodes on the way between two, both included; of one that ends on the way, nothing.
func (r *Record) way(t *testing.T, a, b Node) []string {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Intent.OverlayPath(t.Context(), connect.NewRequest(&weftv1.OverlayPathRequest{From: string(a.Name), To: string(b.Name)}))
	if err != nil {
		t.Fatal(err)
	}
	if res.Msg.GetProblem() != "" {
		return nil
	}
	out := []string{string(a.Name)}
	for _, s := range res.Msg.GetSteps() {
		out = append(out, s.GetTo())
	}
	return out
}

// wantWay waits until the way between two nodes is right.
func (r *Record) wantWay(t *testing.T, a, b Node, right func(way []string) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		way := r.way(t, a, b)
		if right(way) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the way from %s to %s stays %v", a.Name, b.Name, way)
		}
	}
}

// wantTunnels ends a capture on the underlay, and checks that it holds WireGuard alone, and this between no two nodes but
// those that have a tunnel.
func (r *Record) wantTunnels(t *testing.T, c *capture, tunnel func(a, b Node) bool) {
	t.Helper()
	wantNothingPlain(t, c)
	for i, a := range r.Nodes {
		for _, b := range r.Nodes[:i] {
			got := c.count(fmt.Sprintf("udp port 51820 and host %s and host %s", a.VTEP, b.VTEP))
			if tunnel(a, b) != (got > 0) {
				t.Errorf("%d packets between %s and %s, who have a tunnel: %v", got, a.Name, b.Name, tunnel(a, b))
			}
		}
	}
}

// wantNothingPlain ends a capture on the underlay, and checks that it holds WireGuard alone.
func wantNothingPlain(t *testing.T, c *capture) {
	t.Helper()
	c.stop()
	// A node without its agent says that the port is closed, and quotes what was encrypted.
	const other = "not udp port 51820 and not arp and not icmp[icmptype] == icmp-unreach"
	if got := c.count(other); got != 0 {
		t.Errorf("%d packets are not WireGuard's:\n%s", got, c.text(other))
	}
}

// applyFabric changes the Fabric of a file, and waits until every node acts on it.
func (r *Record) applyFabric(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	declared, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Intent.Apply(t.Context(), connect.NewRequest(&weftv1.ApplyRequest{Files: []*weftv1.File{{Name: "fabric.yaml", Content: change(declared)}}}))
	if err != nil || !res.Msg.GetApplied() {
		t.Fatalf("apply: %v, %v", res, err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
}
