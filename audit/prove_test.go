package audit_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// TestProveAgreesWithDecide holds verdicts about declared workloads against Decide, pair by pair, and each counterexample
// too.
func TestProveAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTopology(t, "topology")
		app := func(what string) []topology.WorkloadPeer {
			return []topology.WorkloadPeer{{Tenant: "acme", Selector: topology.Selector{MatchLabels: fabric.Labels{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, what)}}}}
		}
		a := audit.Assertion{Metadata: topology.Metadata{Name: "x"}, Spec: audit.AssertionSpec{
			Type: rapid.SampledFrom([]audit.AssertionType{audit.Never, audit.Only, audit.Always}).Draw(t, "type"),
			From: app("from"), To: app("to"), Workloads: audit.Declared,
			Ports: []topology.PortRange{{Protocol: topology.TCP, Port: 1, EndPort: 2}},
		}}
		proofs, err := audit.Prove(w.Intent, w.Workloads, []audit.Assertion{a})
		if err != nil {
			t.Fatal(err)
		}
		violated := false
		for _, from := range w.Workloads {
			for _, to := range w.Workloads {
				concerned := a.Spec.From[0].Selector.Matches(from.Labels) != (a.Spec.Type == audit.Only) && a.Spec.To[0].Selector.Matches(to.Labels)
				if from.Name == to.Name || !concerned {
					continue
				}
				for _, service := range []string{"tcp/1", "tcp/2"} {
					violated = violated || allowed(t, w, from.Name, to.Name, service) != (a.Spec.Type == audit.Always)
				}
			}
		}
		p := proofs.Assertions[0]
		// A class of several workloads is also asked about a packet from an address to itself, which no two of them exchange.
		if violated && p.Verdict != audit.Violated {
			t.Fatalf("%+v: %s, and Decide finds a violation", a.Spec, p.Verdict)
		}
		if p.Verdict == audit.Violated {
			checkCounterexample(t, p)
		}
	})
}

// checkCounterexample checks that the steps of the reference end as the verdict says.
func checkCounterexample(t *rapid.T, p audit.Proof) {
	x := p.Counterexample
	if x == nil || len(x.Steps) == 0 {
		t.Fatalf("%+v has no counterexample", p)
	}
	last := x.Steps[len(x.Steps)-1]
	allows := last.Rule != nil && last.Rule.Action == "allow" && last.Direction == "ingress"
	if allows != x.Allowed || x.Allowed == (p.Type == audit.Always) {
		t.Fatalf("%s with counterexample %+v, whose last step is %+v", p.Type, x, last.Rule)
	}
}

// TestProveForWorkloadsToCome: never holds for declared workloads, but not for one with labels that no declared one has.
func TestProveForWorkloadsToCome(t *testing.T) {
	w := world(t, cornerBase+policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {app: backup}}}}], ports: [{protocol: tcp, port: 5432}]}]`))
	a := audit.Assertion{Metadata: topology.Metadata{Name: "closed"}, Spec: audit.AssertionSpec{
		Type: audit.Never, To: []topology.WorkloadPeer{{Selector: topology.Selector{MatchLabels: fabric.Labels{"app": "db"}}}}, Workloads: audit.Every,
	}}
	verdict := func(scope audit.Scope) audit.Proof {
		a.Spec.Workloads = scope
		proofs, err := audit.Prove(w.Intent, w.Workloads, []audit.Assertion{a})
		if err != nil {
			t.Fatal(err)
		}
		return proofs.Assertions[0]
	}
	a.Spec.To[0].Tenant, a.Spec.To[0].Network = "acme", "prod"
	if p := verdict(audit.Declared); p.Verdict != audit.Proved {
		t.Errorf("declared workloads: %s by %+v", p.Verdict, p.Counterexample)
	}
	p := verdict(audit.Every)
	if p.Verdict != audit.Violated || p.Counterexample.From != "acme/prod:app=backup" || p.Counterexample.Witness.Service != "tcp/5432" {
		t.Errorf("every workload: %s by %+v", p.Verdict, p.Counterexample)
	}
}
