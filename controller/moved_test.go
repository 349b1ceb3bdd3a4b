package controller_test

import (
	"testing"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// The same objects from another file, and on other lines, are news for nobody.
func TestMovedFilesChangeNoNode(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePolicy)
	a := f.agent("n1", "192.0.2.1")
	a.lease("acme/prod")
	a.wait("the network's rules", func() bool { return len(a.plan.Tables) == 1 && len(a.plan.Tables[0].Rules) > 0 })
	before, _, updates := a.now()
	moved := []*weftv1.File{{Name: "/srv/other.yaml", Content: []byte("# moved\n\n" + acme + acmePolicy)}}

	plan, err := f.admin.Intent.Plan(f.ctx(), connect.NewRequest(&weftv1.PlanRequest{Files: moved}))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Msg.Nodes) != 0 {
		t.Errorf("plan lists %v", plan.Msg.Nodes)
	}
	planned := f.node("n1").PlannedRevision
	resp := f.tryApply(&weftv1.ApplyRequest{Files: moved})
	if !resp.Applied {
		t.Fatalf("refused: %v", resp.Problems)
	}
	for _, c := range resp.Changes {
		if c.Verb != weftv1.Change_VERB_UNCHANGED {
			t.Errorf("%v: %v", c.Key, c.Verb)
		}
	}
	if got := f.node("n1"); got.PlannedRevision != planned || got.EnforcedRevision < planned {
		t.Errorf("the node's plan went from revision %d to %d, of which it has %d", planned, got.PlannedRevision, got.EnforcedRevision)
	}
	got, err := f.admin.Intent.Get(f.ctx(), connect.NewRequest(&weftv1.GetRequest{Key: &weftv1.Key{Kind: "FirewallPolicy", Tenant: "acme", Name: "web-in"}}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Msg.Object.File != "/srv/other.yaml" {
		t.Errorf("the object is still said to stand in %s", got.Msg.Object.File)
	}
	// The next real change brings one update, and it is the first since the move.
	f.tryApply(&weftv1.ApplyRequest{Files: files(acmePort[4:])})
	a.wait("the port's identity", func() bool { return len(a.plan.Identities) > len(before.Identities) })
	if _, _, now := a.now(); now != updates+1 {
		t.Errorf("the node got %d updates, want 1", now-updates)
	}
}

// node returns what the controller knows of a node.
func (f *fixture) node(name string) *weftv1.NodeInfo {
	f.t.Helper()
	resp, err := f.admin.Intent.ListNodes(f.ctx(), connect.NewRequest(&weftv1.ListNodesRequest{}))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, n := range resp.Msg.Nodes {
		if n.Name == name {
			return n
		}
	}
	f.t.Fatalf("there is no node %s", name)
	return nil
}
