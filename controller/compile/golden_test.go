package compile_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/compile/compiletest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestExamples compares the plans of each example, on three nodes that hold what the example's workloads
// need, with testdata/NAME.txtar: one file per node.
func TestExamples(t *testing.T) {
	fabrics, err := filepath.Glob("../../examples/*/fabric.yaml")
	if err != nil || len(fabrics) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, fabric := range fabrics {
		dir := filepath.Dir(fabric)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			world := compiletest.Example(t, dir, 3)
			plans := compile.Plans(world.State)
			var golden txtar.Archive
			golden.Comment = []byte("Plans of examples/" + filepath.Base(dir) + "; rewritten by go test -update.\n")
			for _, name := range world.Nodes() {
				golden.Files = append(golden.Files, txtar.File{Name: string(name), Data: planText(plans[name])})
			}
			file := filepath.Join("testdata", filepath.Base(dir)+".txtar")
			got := txtar.Format(&golden)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the plans differ from %s (rewrite it with -update):\n%s", file, got)
			}
		})
	}
}

// planText shows a plan, one entry per line in canonical order.
func planText(n plan.Node) []byte {
	var b bytes.Buffer
	for _, e := range plan.Entries(n) {
		fmt.Fprintf(&b, "%s:", e.Key)
		switch {
		case e.Settings != nil:
			s := e.Settings
			fmt.Fprintf(&b, " vtep %s port %d mac %s mtu %d", s.VTEP, s.VXLANPort, s.VirtualMAC, s.WorkloadMTU)
			if w := s.Encryption; w.WireGuard {
				fmt.Fprintf(&b, "\n\tunderlay %s wireguard port %d required %v relay %v, probe %s in %s", s.Underlay, w.Port, w.Required, w.Relay, w.Probe, w.VTEPs)
			}
		case e.Peer != nil:
			fmt.Fprintf(&b, " vtep %s", e.Peer.VTEP)
		case e.Tunnel != nil:
			fmt.Fprintf(&b, " vtep %s probe %s at %s", e.Tunnel.VTEP, e.Tunnel.Probe, e.Tunnel.End.Endpoint)
		case e.Hop != nil:
			fmt.Fprintf(&b, " vtep %s via %s", e.Hop.VTEP, e.Hop.Via)
		case e.Network != nil:
			w := e.Network
			fmt.Fprintf(&b, " %s hosted %v blocks %v peers %v reserved %v", w.Ref, w.Hosted, w.Blocks, w.Peers, w.Reserved)
			if w.MTU != 0 {
				fmt.Fprintf(&b, " mtu %d", w.MTU)
			}
			for _, s := range w.Subnets {
				fmt.Fprintf(&b, "\n\t%s", s.Name)
				if s.IPv4.IsValid() {
					fmt.Fprintf(&b, " %s via %s", s.IPv4, s.Gateway4)
				}
				if s.IPv6.IsValid() {
					fmt.Fprintf(&b, " %s via %s", s.IPv6, s.Gateway6)
				}
			}
		case e.Identity != nil:
			fmt.Fprintf(&b, " network %d {%s}", e.Identity.Network, e.Identity.Labels)
		case e.Route != nil:
			r := e.Route
			kind := map[bool]string{true: "lease", false: "port"}[r.Lease]
			fmt.Fprintf(&b, " %s of %s at %s, subnet %s", kind, r.Node, r.VTEP, r.Subnet)
			if r.MTU != 0 {
				fmt.Fprintf(&b, " mtu %d", r.MTU)
			}
		case e.Port != nil:
			p := e.Port
			fmt.Fprintf(&b, " %s network %d subnet %s identity %s mac %s addresses %v", p.UID, p.Network, p.Subnet, p.Identity, p.MAC, p.Addresses)
		case e.Rule != nil:
			r := e.Rule.Rule
			fmt.Fprintf(&b, " %s\n\t%s %s, %s:%d", ruleText(r), r.Origin.Policy, r.Origin.Rule, r.Origin.File, r.Origin.Line)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// TestExamplesKeepTheirIDs guards the numbers that flows and connection tracking carry: a rule's id depends on
// its key alone, so it survives unrelated changes.
func TestExamplesKeepTheirIDs(t *testing.T) {
	s := startState(t)
	ids := func(s compile.State) []string {
		var out []string
		for _, r := range compile.Tables(s)[3].Rules {
			out = append(out, fmt.Sprintf("%d %s", r.ID, ruleText(r)))
		}
		return out
	}
	before := ids(s)
	more := after(s, compile.Change{Object: network(fabric.NetworkRef{Tenant: "a", Name: "x"}, topology.Deny)},
		compile.Change{Object: object(&topology.FirewallPolicy{Metadata: topology.Metadata{Tenant: "a", Name: "aaa"}, Spec: topology.FirewallPolicySpec{Ingress: []topology.Rule{{}}}})})
	if now := ids(more); !slices.Equal(now, before) {
		t.Errorf("rules of b/x were %q, are %q", before, now)
	}
}
