package compile_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestExamples compares the plans of each example, on three nodes that hold what the example's workloads
// need, with testdata/NAME.txtar: one file per node.
func TestExamples(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			state := exampleState(t, dir)
			plans := compile.Plans(state)
			var golden txtar.Archive
			golden.Comment = []byte("Plans of examples/" + filepath.Base(dir) + "; rewritten by go test -update.\n")
			for _, name := range nodeNames(3) {
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

func nodeNames(n int) (names []fabric.NodeName) {
	for i := range n {
		names = append(names, fabric.NodeName(fmt.Sprintf("n%d", i+1)))
	}
	return names
}

// workload is what matters here of the lab's documents.
type workload struct {
	Metadata topology.Metadata `json:"metadata"`
	Spec     struct {
		Network string   `json:"network,omitzero"`
		Subnet  string   `json:"subnet,omitzero"`
		Port    string   `json:"port,omitzero"`
		Node    int      `json:"node,omitzero"`
		Type    string   `json:"type,omitzero"`
		Listen  []string `json:"listen,omitzero"`
	} `json:"spec"`
}

// exampleState loads an example and attaches its workloads: leases in the order of the workloads, identities
// of declared ports first.
func exampleState(t *testing.T, dir string) compile.State {
	t.Helper()
	sources, err := topology.ReadSources([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sources { // the golden shows paths as seen from the repository
		sources[i].Name = strings.TrimPrefix(filepath.ToSlash(sources[i].Name), "../../")
	}
	intent, foreign, problems := topology.Load(sources)
	for _, p := range problems {
		t.Log(p)
	}
	s := emptyState()
	s.Intent = intent
	allocs, err := topology.AllocateNetworks(intent, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ref, a := range allocs {
		s.Networks[ref] = compile.NetworkAlloc(a)
	}
	for i, name := range nodeNames(3) {
		s.Nodes[name] = compile.NodeState{VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
	}
	for _, needed := range compile.NeededIdentities(s) {
		identify(t, s, needed)
	}
	for _, d := range foreign {
		if d.Kind != "Workload" {
			continue
		}
		var w workload
		for _, p := range d.Decode(&w) {
			t.Fatal(p)
		}
		attach(t, s, w)
	}
	return s
}

func attach(t *testing.T, s compile.State, w workload) {
	node := fabric.NodeName(fmt.Sprintf("n%d", max(1, w.Spec.Node)))
	network, subnet := w.Spec.Network, w.Spec.Subnet
	if w.Spec.Port != "" {
		ref := fabric.PortRef{Tenant: w.Metadata.Tenant, Name: w.Spec.Port}
		s.Bindings[ref] = node
		p := s.Intent.Port(ref)
		network, subnet = p.Spec.Network, p.Spec.Subnet
		if len(p.Spec.Addresses) > 0 {
			return
		}
	} else {
		labels := topology.PolicyLabels(s.Intent.Settings().IgnoredLabels, w.Metadata.Labels)
		identify(t, s, compile.IdentityAlloc{Network: fabric.NetworkRef{Tenant: w.Metadata.Tenant, Name: network}, Labels: labels})
	}
	leaseBlocks(t, s, node, fabric.NetworkRef{Tenant: w.Metadata.Tenant, Name: network}, subnet)
}

func identify(t *testing.T, s compile.State, want compile.IdentityAlloc) {
	for _, a := range s.Identities {
		if a.Network == want.Network && a.Labels.String() == want.Labels.String() {
			return
		}
	}
	id, err := topology.NextIdentity(s.Networks[want.Network].Blocks, func(id fabric.Identity) bool { _, ok := s.Identities[id]; return ok })
	if err != nil {
		t.Fatal(err)
	}
	s.Identities[id] = want
}

// leaseBlocks gives a node one block of each family of a subnet, once.
func leaseBlocks(t *testing.T, s compile.State, node fabric.NodeName, ref fabric.NetworkRef, name string) {
	n := s.Intent.Network(ref)
	subnet := n.Spec.Subnets[0]
	if name != "" {
		subnet = *n.Subnet(name)
	}
	for _, p := range subnet.Prefixes() {
		var taken []netip.Prefix
		had := false
		for key, l := range s.Leases {
			if key.Network == ref {
				taken = append(taken, key.Prefix)
				had = had || l.Node == node && p.Contains(key.Prefix.Addr())
			}
		}
		if had {
			continue
		}
		bits := s.Intent.Settings().NodeBlock.IPv4
		if p.Addr().Is6() {
			bits = s.Intent.Settings().NodeBlock.IPv6
		}
		block, err := topology.NextBlock(p, max(bits, p.Bits()), taken)
		if err != nil {
			t.Fatal(err)
		}
		s.Leases[compile.LeaseKey{Network: ref, Prefix: block}] = compile.Lease{Node: node, Subnet: subnet.Name}
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
		case e.Peer != nil:
			fmt.Fprintf(&b, " vtep %s", e.Peer.VTEP)
		case e.Network != nil:
			w := e.Network
			fmt.Fprintf(&b, " %s hosted %v blocks %v peers %v reserved %v", w.Ref, w.Hosted, w.Blocks, w.Peers, w.Reserved)
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
