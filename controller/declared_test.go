package controller_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// What was declared can be asked for at each revision, with the places of rules and what nodes reported.
func TestDeclaredAtARevision(t *testing.T) {
	t.Parallel()
	f := start(t)
	first := f.apply(acme + acmePolicy).Revision
	a := f.agent("n1", "192.0.2.1")
	a.lease("acme/prod")
	report := &weftv1.NodeReport{Version: "v", Attachments: []*weftv1.Attachment{{Interface: "w1", Network: "acme/prod", Workload: "pod-1", Addresses: []string{"10.0.1.9/24"}, Labels: map[string]string{"app": "web"}}}}
	if _, err := a.client.Node.Report(f.ctx(), connect.NewRequest(&weftv1.ReportRequest{Report: report})); err != nil {
		t.Fatal(err)
	}
	declared := func(revision uint64) *weftv1.DeclaredResponse {
		t.Helper()
		resp, err := f.admin.Audit.Declared(f.ctx(), connect.NewRequest(&weftv1.DeclaredRequest{Revision: revision}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg
	}
	now := declared(0)
	if len(now.Nodes) != 1 || now.Nodes[0].Node != "n1" || len(now.Nodes[0].Attachments) != 1 || now.Nodes[0].Attachments[0].Workload != "pod-1" {
		t.Errorf("nodes %v", now.Nodes)
	}
	was := declared(first)
	if was.Revision != first || len(was.Nodes) != 0 {
		t.Errorf("revision %d has revision %d and nodes %v", first, was.Revision, was.Nodes)
	}
	policies := 0
	for _, o := range was.Objects {
		if !strings.Contains(string(o.Json), `"kind":"FirewallPolicy"`) {
			continue
		}
		policies++
		if _, err := topology.UnmarshalObject(o.Json); err != nil {
			t.Error(err)
		}
		if o.File != "test.yaml" || o.Line == 0 || len(o.IngressLines) == 0 {
			t.Errorf("the policy stands at %s:%d, its rules at %v", o.File, o.Line, o.IngressLines)
		}
	}
	if policies != 1 {
		t.Errorf("%d policies", policies)
	}
	_, err := f.admin.Audit.Declared(f.ctx(), connect.NewRequest(&weftv1.DeclaredRequest{Revision: now.Revision + 1000}))
	wantCode(t, err, connect.CodeNotFound)
}
