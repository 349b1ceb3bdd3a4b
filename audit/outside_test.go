package audit_test

import (
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/topology"
)

// TestAssertions decides assertions about addresses outside the fabric, and about workloads to come.
func TestAssertions(t *testing.T) {
	open := policy("p", `ingress: [{from: [{cidr: {cidr: 203.0.113.0/24}}], ports: [{protocol: tcp, port: 443}]}, {from: [{workloads: {selector: {matchLabels: {app: web}}}}], ports: [{protocol: tcp, port: 1}]}], egress: []`)
	db, web := `[{tenant: acme, network: prod, selector: {matchLabels: {app: db}}}]`, `[{tenant: acme, network: prod, selector: {matchLabels: {app: web}}}]`
	rows := []struct {
		name, spec string
		verdict    audit.Outcome
		text       string // of the reason, or of the packet
	}{
		{"nothing from elsewhere", `{type: never, fromAddresses: [198.51.100.0/24], to: ` + db + `}`, audit.Proved, ""},
		{"something from outside", `{type: never, fromAddresses: [0.0.0.0/0], to: ` + db + `}`, audit.Violated, "203.0.113.0 -> 10.0.1.20 tcp/443"},
		{"only from the office, and workloads may not", `{type: only, fromAddresses: [203.0.113.0/24], to: ` + db + `}`, audit.Violated, "tcp/1"},
		{"only from the office and the web", `{type: only, from: ` + web + `, fromAddresses: [203.0.113.0/24], to: ` + db + `}`, audit.Proved, ""},
		{"only from half the office", `{type: only, from: ` + web + `, fromAddresses: [203.0.113.0/25], to: ` + db + `}`, audit.Violated, "203.0.113.128 -> "},
		{"nothing to outside", `{type: never, from: ` + db + `, toAddresses: [0.0.0.0/0, "::/0"]}`, audit.Proved, ""},
		{"something to outside", `{type: never, from: ` + web + `, toAddresses: [192.0.2.0/24]}`, audit.Violated, "-> 192.0.2.0"},
		{"always from outside", `{type: always, fromAddresses: [203.0.113.0/24], to: ` + db + `, ports: [{protocol: tcp, port: 443}]}`, audit.NotModelled, "no way in"},
		{"always from outside, and policy denies it", `{type: always, fromAddresses: [203.0.113.0/24], to: ` + db + `, ports: [{protocol: tcp, port: 444}]}`, audit.Violated, "tcp/444"},
		{"outside is not counted", `{type: maxExposure, max: 1, fromAddresses: [0.0.0.0/0], to: ` + db + `}`, audit.NotModelled, "not counted"},
		{"always, for workloads that are there", `{type: always, workloads: declared, from: ` + web + `, to: ` + db + `, ports: [{protocol: tcp, port: 1}]}`, audit.Proved, ""},
		{"always, for every workload", `{type: always, workloads: every, from: ` + web + `, to: ` + db + `, ports: [{protocol: tcp, port: 1}]}`, audit.Proved, ""},
		{"always, for every label", `{type: always, workloads: every, from: [{tenant: acme, network: prod, selector: {matchLabels: {app: cron}}}], to: ` + db + `, ports: [{protocol: tcp, port: 1}]}`, audit.Violated, "tcp/1"},
		{"exposure of databases to come", `{type: maxExposure, workloads: every, max: 1, to: ` + db + `}`, audit.Proved, ""},
		{"exposure of anything to come", `{type: maxExposure, workloads: every, max: 1, to: [{tenant: acme, network: prod, selector: {matchLabels: {app: cron}}}]}`, audit.Violated, "at most 1 may"},
		{"nobody is meant", `{type: never, to: [{tenant: acme, network: prod, selector: {matchLabels: {app: none}}}], from: ` + db + `}`, audit.Vacuous, "to selects no declared workload"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := proveOne(t, cornerBase+open, row.spec)
			text := p.Reason
			if p.Counterexample != nil && p.Counterexample.Witness != nil {
				text += " " + p.Counterexample.Witness.String()
			}
			if p.Verdict != row.verdict || !strings.Contains(text, row.text) {
				t.Errorf("%s: %s, want %s: %s", p.Verdict, text, row.verdict, row.text)
			}
			if p.Verdict == audit.Violated && p.Counterexample == nil {
				t.Error("no counterexample")
			}
		})
	}
}

func proveOne(t *testing.T, yaml, spec string) audit.Proof {
	t.Helper()
	intent, foreign, problems := topology.Load([]topology.Source{
		{Name: "corner.yaml", Content: []byte(yaml + "{apiVersion: audit.weft.dev/v1alpha1, kind: Assertion, metadata: {name: x}, spec: " + spec + "}\n")},
	})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	workloads, problems := audit.WorkloadsOf(intent, foreign)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	list, problems := audit.AssertionsOf(intent, foreign)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	proofs, err := audit.Prove(intent, workloads, list)
	if err != nil {
		t.Fatal(err)
	}
	return proofs.Assertions[0]
}
