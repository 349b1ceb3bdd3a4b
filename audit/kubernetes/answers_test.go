package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// side is a random cluster with the places in it.
type side struct {
	cluster *kubernetes.Cluster
	world   *kubernetes.World
	places  map[string]place
}

func drawSide(t *testing.T, d draw) side {
	t.Helper()
	manifests, _, places := d.cluster()
	text, err := json.Marshal(dict{"apiVersion": "v1", "kind": "List", "items": manifests})
	if err != nil {
		t.Fatal(err)
	}
	c, problems := kubernetes.Load([]topology.Source{{Name: "list.json", Content: text}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w, err := kubernetes.NewWorld(c, kubernetes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := side{c, w, make(map[string]place)}
	for _, p := range places {
		out.places[p.name] = p
	}
	return out
}

// open asks the reference whether a connection passes: between pods in either family, else in that of the address.
func (s side) open(from, to string, p firewall.Packet) bool {
	src, ok := s.places[from]
	dst, also := s.places[to]
	if !ok || !also {
		return false
	}
	for family := range 2 {
		if decided, _ := kubernetes.Verdicts(s.world, from, to, src.addresses[family], dst.addresses[family], p); decided && (family == 0 || src.namespace != "" && dst.namespace != "") {
			return true
		}
	}
	return false
}

// rowHolds reports whether an end of a row is a place, which is named, or an address in its range.
func rowHolds(end, name string) bool {
	if p, err := netip.ParsePrefix(end); err == nil {
		a, err := netip.ParseAddr(name)
		return err == nil && p.Contains(a)
	}
	return end == name
}

func holds(cs []kubernetes.Connections, protocol string, port int) bool {
	for _, c := range cs {
		for _, part := range strings.Split(c.Ports, ",") {
			first, last, isRange := strings.Cut(part, "-")
			a, _ := strconv.Atoi(first)
			b := a
			if isRange {
				b, _ = strconv.Atoi(last)
			}
			if c.Protocol == protocol && a <= port && port <= b {
				return true
			}
		}
	}
	return false
}

// TestAnswersAddUp holds the rows of reach, and the sum of a difference, against the reference on random clusters.
func TestAnswersAddUp(t *testing.T) {
	seed := rand.Uint64()
	rounds := 60
	if long() {
		rounds = 3000
	}
	changed := 0
	for n := range rounds {
		d := draw{rand.New(rand.NewPCG(seed, uint64(n)))}
		before, after := drawSide(t, d), drawSide(t, d)
		r, err := kubernetes.ReachOf(after.world, audit.Question{})
		if err != nil {
			t.Fatal(err)
		}
		diff, err := kubernetes.DiffOf(before.cluster, after.cluster, kubernetes.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range []side{before, after} {
			for _, w := range s.cluster.Workloads {
				names = append(names, w.String())
			}
		}
		names = append(names, "203.0.113.9", "203.0.113.200")
		for range 200 {
			from, to := names[d.IntN(len(names))], names[d.IntN(len(names))]
			if from == to || strings.Count(from+to, "/") == 0 {
				continue
			}
			protocol, port := d.one("TCP", "UDP", "SCTP"), 79+d.IntN(6)
			p := firewall.Packet{Protocol: map[string]firewall.Protocol{"TCP": firewall.TCP, "UDP": firewall.UDP, "SCTP": firewall.SCTP}[protocol], DstPort: uint16(port)}
			was, is := before.open(from, to, p), after.open(from, to, p)
			listed := false
			for _, row := range r.Rows {
				listed = listed || rowHolds(row.From, from) && rowHolds(row.To, to) && holds(row.Connections, protocol, port)
			}
			sum := was
			for _, rows := range [][]kubernetes.DiffRow{diff.Policy, diff.Membership} {
				for _, row := range rows {
					if rowHolds(row.From, from) && rowHolds(row.To, to) {
						sum = sum && !holds(row.Lost, protocol, port) || holds(row.Gained, protocol, port)
					}
				}
			}
			if listed != is || sum != is {
				t.Fatalf("seed %d, round %d: %s to %s %s %d: it was %v and is %v; reach says %v, the difference %v", seed, n, from, to, protocol, port, was, is, listed, sum)
			}
			if was != is {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("nothing ever changed")
	}
	t.Logf("seed %d: %d connections gained or lost", seed, changed)
}

// TestProve shows each type of assertion with each verdict.
func TestProve(t *testing.T) {
	manifests := base + policy("ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 443}]}]")
	for _, row := range []struct{ name, spec, verdict, counterexample string }{
		{"never, and it is so", `type: never, from: [{workload: b/Pod/web}], to: [{workload: a/Pod/db}]`, "proved", ""},
		{"never, and it is not", `type: never, from: [{podSelector: {matchLabels: {app: web}}}], to: [{workload: a/Pod/db}]`, "violated", "a/Pod/web -> a/Pod/db tcp/80"},
		{"never, of another port", `type: never, from: [{workload: a/Pod/web}], to: [{workload: a/Pod/db}], ports: [{port: 81}]`, "proved", ""},
		{"never from outside", `type: never, from: [{ipBlock: {cidr: 0.0.0.0/0}}], to: [{workload: a/Pod/db}]`, "violated", "outside -> a/Pod/db tcp/443"},
		{"never from elsewhere outside", `type: never, from: [{ipBlock: {cidr: 0.0.0.0/0, except: [203.0.113.0/24]}}], to: [{workload: a/Pod/db}]`, "proved", ""},
		{"only, but there is the outside", `type: only, from: [{workload: a/Pod/web}], to: [{workload: a/Pod/db}]`, "violated", "outside -> a/Pod/db tcp/443"},
		{"only, with the outside", `type: only, from: [{workload: a/Pod/web}, {ipBlock: {cidr: 203.0.113.0/24}}], to: [{workload: a/Pod/db}]`, "proved", ""},
		{"only, and there is another", `type: only, from: [{ipBlock: {cidr: 203.0.113.0/24}}], to: [{workload: a/Pod/db}]`, "violated", "a/Pod/web -> a/Pod/db tcp/80"},
		{"always, and it is so", `type: always, from: [{workload: a/Pod/web}], to: [{workload: a/Pod/db}], ports: [{port: 80}]`, "proved", ""},
		{"always, and it is not", `type: always, from: [{workload: a/Pod/web}], to: [{workload: a/Pod/db}], ports: [{port: 80, endPort: 81}]`, "violated", "a/Pod/web -> a/Pod/db tcp/81"},
		{"always to a range", `type: always, from: [{workload: a/Pod/db}], to: [{ipBlock: {cidr: 198.51.100.0/24}}]`, "proved", ""},
		{"exposure within", `type: maxExposure, max: 1, to: [{workload: a/Pod/db}]`, "proved", ""},
		{"exposure above", `type: maxExposure, max: 0, to: [{workload: a/Pod/db}]`, "violated", "a/Pod/web -> a/Pod/db tcp/80"},
		{"nobody meant", `type: never, from: [{podSelector: {matchLabels: {app: none}}}], to: [{workload: a/Pod/db}]`, "vacuous", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := load(t, manifests+"{apiVersion: audit.weft.dev/v1alpha1, kind: KubernetesAssertion, metadata: {name: x}, spec: {"+row.spec+"}}\n")
			proofs, err := kubernetes.Prove(w.Cluster, kubernetes.Options{}, w.Cluster.Assertions)
			if err != nil {
				t.Fatal(err)
			}
			p := proofs.Assertions[0]
			got := ""
			if x := p.Counterexample; x != nil {
				got = fmt.Sprintf("%s -> %s %s", x.From, x.To, x.Witness.Service)
			}
			if string(p.Verdict) != row.verdict || got != row.counterexample {
				t.Errorf("got %s %q, want %s %q", p.Verdict, got, row.verdict, row.counterexample)
			}
		})
	}
}
