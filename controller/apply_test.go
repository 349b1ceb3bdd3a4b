package controller_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const acmeTenant = `
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {}
`

const acme = acmeTenant + `---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: prod, tenant: acme}
spec:
  subnets:
  - {name: web, ipv4: 10.0.0.0/24}
`

const acmePort = `
---
apiVersion: weft.dev/v1alpha1
kind: Port
metadata: {name: vm-1, tenant: acme, labels: {app: db}}
spec: {network: prod}
`

const acmePolicy = `
---
apiVersion: weft.dev/v1alpha1
kind: FirewallPolicy
metadata: {name: web-in, tenant: acme}
spec:
  network: prod
  ingress:
  - {action: allow}
`

func TestApplyThenRead(t *testing.T) {
	t.Parallel()
	f := start(t)
	resp := f.apply(acme + acmePort)
	if resp.Revision != 1 || len(resp.Changes) != 3 {
		t.Fatalf("got %v", resp)
	}
	for _, c := range resp.Changes {
		if c.Verb != weftv1.Change_VERB_ADDED {
			t.Errorf("%v: %v", c.Key, c.Verb)
		}
	}
	key := &weftv1.Key{Kind: "Port", Tenant: "acme", Name: "vm-1"}
	got, err := f.admin.Intent.Get(f.ctx(), connect.NewRequest(&weftv1.GetRequest{Key: key}))
	if err != nil {
		t.Fatal(err)
	}
	if o := got.Msg.Object; o.File != "test.yaml" || o.Line == 0 || o.Revision != 1 || o.ApplySet != "default" || !strings.Contains(string(o.Json), `"app":"db"`) {
		t.Errorf("got %v", o)
	}
	again := f.apply(acme + acmePort)
	if again.Revision != 1 {
		t.Errorf("applying the same again raised the revision to %d", again.Revision)
	}
	changed := f.apply(strings.ReplaceAll(acme+acmePort, "app: db", "app: web"))
	for _, c := range changed.Changes {
		if c.Key.Kind == "Port" && (c.Verb != weftv1.Change_VERB_CHANGED || len(c.Fields) != 1 || c.Fields[0].Path != "metadata.labels.app") {
			t.Errorf("got %v", c)
		}
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	for name, yaml := range map[string]string{
		"one bad among good":   acme + acmePort + strings.ReplaceAll(acmePort, "prod", "missing"),
		"not YAML":             "a: [",
		"unknown field":        strings.ReplaceAll(acme, "spec: {}", "spec: {colour: red}"),
		"overlapping subnets":  acme + "  - {name: b, ipv4: 10.0.0.128/25}\n",
		"an unknown kind":      strings.ReplaceAll(acme, "kind: Network", "kind: Netwrk"),
		"reference to nothing": acmePort[4:] + strings.ReplaceAll(acmePolicy, "prod", "nowhere"),
	} {
		t.Run(name, func(t *testing.T) {
			resp := f.tryApply(&weftv1.ApplyRequest{Files: files(yaml)})
			if resp.Applied || resp.Revision != 1 {
				t.Errorf("got %v", resp)
			}
			if len(resp.Problems) == 0 || resp.Problems[0].File != "test.yaml" || resp.Problems[0].Line == 0 {
				t.Errorf("problems: %v", resp.Problems)
			}
		})
	}
	list, err := f.admin.Intent.List(f.ctx(), connect.NewRequest(&weftv1.ListRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Msg.Objects) != 2 {
		t.Errorf("the store holds %d objects, want 2", len(list.Msg.Objects))
	}
}

func TestDryRunAndExpectedRevision(t *testing.T) {
	t.Parallel()
	f := start(t)
	if resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acme), DryRun: true}); resp.Applied || len(resp.Changes) != 2 || resp.Revision != 0 {
		t.Errorf("dry run: %v", resp)
	}
	if f.revision() != 0 {
		t.Error("a dry run changed the store")
	}
	f.apply(acme)
	_, err := f.admin.Intent.Apply(f.ctx(), connect.NewRequest(&weftv1.ApplyRequest{Files: files(acmePort[4:]), ExpectedRevision: 7}))
	wantCode(t, err, connect.CodeAborted)
	if resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acmePort[4:]), ExpectedRevision: 1}); !resp.Applied || resp.Revision != 2 {
		t.Errorf("got %v", resp)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	f.tryApply(&weftv1.ApplyRequest{Files: files(acmePolicy[4:]), ApplySet: "policies"})
	if resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acme), Prune: true, DryRun: true}); verbOf(resp.Changes, "Port") != weftv1.Change_VERB_REMOVED {
		t.Errorf("got %v", resp)
	}
	resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acme), Prune: true})
	if !resp.Applied || verbOf(resp.Changes, "Port") != weftv1.Change_VERB_REMOVED || verbOf(resp.Changes, "FirewallPolicy") != weftv1.Change_VERB_UNSPECIFIED {
		t.Errorf("got %v", resp)
	}
	// The policy of the other set keeps the network.
	refused := f.tryApply(&weftv1.ApplyRequest{Files: files(acmeTenant), Prune: true})
	if refused.Applied || !strings.Contains(refused.Problems[0].Message, "is referenced by FirewallPolicy acme/web-in") {
		t.Errorf("got %v", refused)
	}
}

func verbOf(changes []*weftv1.Change, kind string) weftv1.Change_Verb {
	for _, c := range changes {
		if c.Key.Kind == kind {
			return c.Verb
		}
	}
	return weftv1.Change_VERB_UNSPECIFIED
}

func TestDelete(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	network := &weftv1.Key{Kind: "Network", Tenant: "acme", Name: "prod"}
	port := &weftv1.Key{Kind: "Port", Tenant: "acme", Name: "vm-1"}
	remove := func(keys ...*weftv1.Key) *weftv1.DeleteResponse {
		resp, err := f.admin.Intent.Delete(f.ctx(), connect.NewRequest(&weftv1.DeleteRequest{Keys: keys}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg
	}
	if resp := remove(network); resp.Applied || !strings.Contains(resp.Problems[0].Message, "is referenced by Port acme/vm-1") {
		t.Errorf("a referenced network: %v", resp)
	}
	if resp := remove(port, &weftv1.Key{Kind: "Tenant", Name: "nobody"}); resp.Applied || !strings.Contains(resp.Problems[0].Message, "does not exist") {
		t.Errorf("one that doesn't exist: %v", resp)
	}
	if resp := remove(network, port); !resp.Applied || len(resp.Changes) != 2 {
		t.Errorf("both together: %v", resp)
	}
	if resp := f.apply(acme); resp.Revision != 3 {
		t.Errorf("got %v", resp)
	}
}

func TestConcurrentApplies(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	const writers = 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			yaml := strings.ReplaceAll(acmePort[4:], "vm-1", fmt.Sprintf("vm-%d", i))
			resp, err := f.admin.Intent.Apply(f.ctx(), connect.NewRequest(&weftv1.ApplyRequest{Files: files(yaml)}))
			if err != nil || !resp.Msg.Applied {
				t.Errorf("writer %d: %v %v", i, resp, err)
			}
		})
	}
	wg.Wait()
	if got := f.revision(); got != 1+writers {
		t.Errorf("revision %d, want %d", got, 1+writers)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	f.stop()
	g := startIn(t, f.dir)
	if got := g.revision(); got != 1 {
		t.Errorf("revision %d, want 1", got)
	}
	if resp := g.apply(acme + acmePort); resp.Revision != 1 {
		t.Errorf("got %v", resp)
	}
}
