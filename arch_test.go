// Package weft_test holds the rules of who may import whom. ARCHITECTURE.md gives their reasons.
package weft_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weftfabric/weft/"

// A rule holds for the packages below each of its roots.
type rule struct {
	why   string
	roots []string
	// only lists what weft packages the roots may import directly; nil means the rule doesn't say.
	only []string
	// never lists what must not appear among all dependencies, direct or not.
	never []string
	// pure forbids the direct import of what reaches files, processes, networks or clocks.
	pure bool
}

var impure = []string{"os", "net", "net/http", "os/exec", "os/signal", "syscall", "time", "context"}

var rules = []rule{
	{why: "the vocabulary depends on nothing", roots: []string{"fabric"}, only: []string{}},
	{why: "policy has one meaning, free of everything else", roots: []string{"firewall"}, only: []string{"fabric"}, pure: true},
	{why: "the plan is the contract between controller and agent", roots: []string{"plan"}, only: []string{"fabric", "firewall"}, pure: true},
	{why: "what users declare knows nothing of how it is done", roots: []string{"topology"}, only: []string{"fabric", "topology"}},
	{why: "a codec knows the vocabulary, the plan and its own format", roots: []string{"wire/openflow"}, only: []string{"fabric"}},
	{why: "the socket's messages keep the plugin small", roots: []string{"wire/cniwire"}, only: []string{"fabric"}},
	{why: "tunnels and next hops follow from the graph alone", roots: []string{"topology/overlay"}, only: []string{"fabric", "topology"}, pure: true},
	{why: "compile is pure", roots: []string{"controller/compile"}, only: []string{"fabric", "firewall", "plan", "topology", "topology/overlay"}, pure: true},
	{why: "an audit depends on the files alone", roots: []string{"audit"}, only: []string{"controller/compile", "fabric", "firewall", "topology"}, pure: true},
	{why: "verification shares no code with what it verifies", roots: []string{"verify"}, only: []string{"fabric", "firewall", "plan", "wire/openflow"}, pure: true},
	{why: "the pipeline is pure", roots: []string{"agent/pipeline"}, only: []string{"fabric", "firewall", "plan", "wire/openflow", "agent/dataplane"}, pure: true},
	{why: "an answer to DHCP depends on the request and the workload alone", roots: []string{"agent/dhcp"}, only: []string{"fabric"}},
	{why: "an ICMP error depends on the packet and the router alone", roots: []string{"agent/icmp"}, only: []string{"fabric"}},
	{why: "drift is a comparison, repairing is the agent's", roots: []string{"agent/drift"}, only: []string{"agent/dataplane", "wire/openflow"}},
	{why: "counts are added up from readings", roots: []string{"agent/hits"}, only: []string{"fabric", "firewall"}},
	{why: "which live connections are forbidden follows from the plan", roots: []string{"agent/conntrack"}, only: []string{"fabric", "firewall", "plan", "wire/openflow"}, pure: true},
	{why: "a log of connections knows no agent", roots: []string{"agent/flowlog"}, only: []string{"fabric", "firewall"}},
	{why: "an endpoint for Prometheus knows nothing of what it tells", roots: []string{"scrape"}, only: []string{}},
	{why: "metrics are a table of what was measured", roots: []string{"agent/metrics"}, only: []string{"agent", "scrape"}, pure: true},
	{why: "metrics are a table of what was measured", roots: []string{"controller/metrics"}, only: []string{"controller", "scrape"}, pure: true},
	{why: "the dataplane's difference is pure", roots: []string{"agent/dataplane"}, only: []string{"fabric", "wire/openflow"}, pure: true},
	{why: "the plugin starts fast: no agent, no switch, no store", roots: []string{"cni", "cmd/weft-cni"}, never: []string{
		module + "agent", "github.com/vishvananda/netlink", "github.com/ovn-kubernetes/libovsdb", "go.etcd.io/etcd/client/v3", "google.golang.org/grpc"}},
	{why: "only what runs all the time offers metrics", roots: []string{"cni", "cli", "cmd/weft", "cmd/weft-cni", "cmd/weft-lab-probe"}, never: []string{
		module + "scrape", "github.com/prometheus/client_golang"}},
	{why: "agent and command line link no store", roots: []string{"agent", "cmd/weft", "cmd/weft-agent"}, never: []string{
		"go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/server/v3/embed"}},
	{why: "passing questions on needs neither store nor plans", roots: []string{"controller/observe"}, only: []string{"fabric", "wire/weftpb"}},
	{why: "the controller touches no node", roots: []string{"controller", "cmd/weft-controller"}, never: []string{
		"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "github.com/ovn-kubernetes/libovsdb", module + "agent"}},
}

// drivers says which packages of weft may import a library that talks to a switch or a kernel.
var drivers = map[string][]string{
	"github.com/ovn-kubernetes/libovsdb":          {"agent/ovs"},
	"github.com/vishvananda/netlink":              {"agent/host", "agent/ovs"},
	"github.com/vishvananda/netns":                {"agent/host"},
	"github.com/coreos/go-iptables":               {"agent/host"},
	"github.com/insomniacslk/dhcp":                {"agent/dhcp"},
	"github.com/prometheus/client_golang":         {"scrape"},
	"golang.zx2c4.com/wireguard/wgctrl":           {"agent/wireguard"},
	"go.etcd.io/etcd/server/v3/embed":             {"controller/store"},
	"go.etcd.io/etcd/client/v3":                   {"controller/store"},
	"github.com/containernetworking/cni/pkg/skel": {"cni", "cmd/weft-cni"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImportRules(t *testing.T) {
	pkgs := list(t)
	for _, r := range rules {
		for _, p := range pkgs {
			name := strings.TrimPrefix(p.ImportPath, module)
			if !below(name, r.roots) {
				continue
			}
			for _, imp := range p.Imports {
				own, isOwn := strings.CutPrefix(imp, module)
				if r.only != nil && isOwn && !below(own, append(slices.Clone(r.only), r.roots...)) {
					t.Errorf("%s imports %s: %s", name, own, r.why)
				}
			}
			for _, imp := range p.Imports {
				if r.pure && slices.Contains(impure, imp) {
					t.Errorf("%s imports %s: %s", name, imp, r.why)
				}
			}
			for _, dep := range p.Deps {
				if below(dep, r.never) {
					t.Errorf("%s depends on %s: %s", name, dep, r.why)
				}
			}
		}
	}
	for _, p := range pkgs {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for library, allowed := range drivers {
				if below(imp, []string{library}) && !below(name, allowed) {
					t.Errorf("%s imports %s: only %s may", name, imp, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

// below reports whether path is one of roots or inside one.
func below(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages only", len(pkgs))
	}
	return pkgs
}
