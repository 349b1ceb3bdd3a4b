package controller_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

func TestSnapshotThenDeltas(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	block1, block2 := n1.lease("acme/prod"), n2.lease("acme/prod")
	if block1 != "10.0.0.0/26" || block2 != "10.0.0.64/26" {
		t.Errorf("leased %s and %s", block1, block2)
	}
	n1.wait("the other node's block", func() bool { return len(n1.plan.Routes) == 2 })
	p, _, _ := n1.now()
	if len(p.Peers) != 1 || p.Peers[0].Name != "n2" || !p.Networks[0].Hosted {
		t.Errorf("plan: %+v", p)
	}
	if n1.snapshots != 1 {
		t.Errorf("%d snapshots, want 1", n1.snapshots)
	}
}

func TestIdentityIsKnownBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	first := n1.resolve("acme/prod", fabric.Labels{"app": "web"})
	p, _, updates := n2.now()
	if len(p.Identities) != 1 || uint32(p.Identities[0].ID) != first.Identity {
		t.Errorf("the other node does not know the identity: %+v", p.Identities)
	}
	n1.waitRevision(first.Revision)
	// A known label set costs nothing on any other node.
	for range 20 {
		if again := n1.resolve("acme/prod", fabric.Labels{"app": "web"}); again.Identity != first.Identity {
			t.Fatalf("got identity %x, then %x", first.Identity, again.Identity)
		}
	}
	if _, _, after := n2.now(); after != updates {
		t.Errorf("known labels caused %d updates on another node", after-updates)
	}
}

func TestResolveIdentityDoesNotWaitForThoseWhoLeft(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	n2.setMute(true)
	n2.leave()
	f.waitNode("n2", func(n *weftv1.NodeInfo) bool { return !n.Connected })
	n1.resolve("acme/prod", fabric.Labels{"app": "web"}) // within the test's patience
}

func TestBindPort(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	bind := func(a *agent) {
		t.Helper()
		resp, err := a.client.Node.BindPort(f.ctx(), connect.NewRequest(&weftv1.BindPortRequest{Port: "acme/vm-1"}))
		if err != nil {
			t.Fatal(err)
		}
		a.waitRevision(resp.Msg.Revision)
		if p, _, _ := a.now(); len(p.Ports) != 1 || p.Ports[0].Identity == 0 {
			t.Errorf("agent %s has the ports %+v", a.name, p.Ports)
		}
	}
	bind(n1)
	bind(n2)
	n1.wait("the loss of the port", func() bool { return len(n1.plan.Ports) == 0 })
	if _, err := n1.client.Node.ReleasePort(f.ctx(), connect.NewRequest(&weftv1.ReleasePortRequest{Port: "acme/vm-1"})); err != nil {
		t.Fatal(err)
	}
	if p, _, _ := n2.now(); len(p.Ports) != 1 {
		t.Error("another node's release took the port away")
	}
	before := f.revision()
	for _, wrong := range []*weftv1.BindPortRequest{{Mac: "02:00:00:00:00:99"}, {Mac: "no MAC address"}, {Addresses: []string{"nowhere"}}} {
		wrong.Port = "acme/vm-1"
		_, err := n1.client.Node.BindPort(f.ctx(), connect.NewRequest(wrong))
		wantCode(t, err, connect.CodeInvalidArgument)
	}
	if f.revision() != before {
		t.Error("a binding that was refused changed the store")
	}
	if resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acme), Prune: true}); resp.Applied {
		t.Error("a bound port was pruned")
	}
	_, err := n1.client.Node.BindPort(f.ctx(), connect.NewRequest(&weftv1.BindPortRequest{Port: "acme/none"}))
	wantCode(t, err, connect.CodeNotFound)
}

func TestResume(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	a := f.agent("n1", "192.0.2.1")
	a.lease("acme/prod")
	a.leave()
	p, revision, _ := a.now()
	hash := plan.Hash(p)
	a.follow(&weftv1.WatchPlanRequest{HaveRevision: revision, HaveHash: hash[:]})
	if a.snapshots != 1 {
		t.Error("a node with the right plan got it again")
	}
	a.leave()
	f.apply(acme + acmePolicy)
	a.follow(&weftv1.WatchPlanRequest{HaveRevision: revision, HaveHash: hash[:]})
	a.wait("the policy", func() bool { return len(a.plan.Tables) == 1 && len(a.plan.Tables[0].Rules) > 1 })
}

func TestSecondStreamEndsTheFirst(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent("n1", "192.0.2.1")
	second := &agent{t: t, name: a.name, client: a.client, plan: plan.Node{}}
	second.follow(&weftv1.WatchPlanRequest{})
	a.wait("the end", func() bool { return a.err != nil })
	wantCode(t, a.err, connect.CodeAborted)
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return n.Connected })
}

// A node that reads nothing for a while gets the sum of what changed, once it reads again.
func TestSlowNodeGetsSquashedDeltas(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	other := f.agent("n1", "192.0.2.1")
	other.lease("acme/prod")
	credentials := f.join("n2")
	client := newClient(t, f.server, credentials)
	slow := &agent{t: t, name: "n2", client: client, mute: true}
	if _, err := client.Node.Register(f.ctx(), connect.NewRequest(&weftv1.RegisterRequest{Vtep: "192.0.2.2"})); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Node.LeaseBlock(f.ctx(), connect.NewRequest(&weftv1.LeaseBlockRequest{
		Network: "acme/prod", Family: weftv1.LeaseBlockRequest_FAMILY_IPV4})); err != nil {
		t.Fatal(err)
	}
	// Its stream has the smallest window of HTTP/2, so that little is on its way while it doesn't read.
	transport := &http.Transport{TLSClientConfig: credentials.TLSConfig(), Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	transport.Protocols.SetHTTP2(true)
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := weftv1connect.NewNodeServiceClient(&http.Client{Transport: transport}, f.server).
		WatchPlan(ctx, connect.NewRequest(&weftv1.WatchPlanRequest{}))
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	slow.changed = make(chan struct{})
	if err := slow.take(ctx, stream.Msg()); err != nil {
		t.Fatal(err)
	}

	const changes = 60
	var last uint64
	for i := range changes {
		labels := fabric.Labels{}
		for range 60 { // about 6 kB in each update, and nothing for a compressor
			labels[rand.Text()+rand.Text()] = rand.Text() + rand.Text()
		}
		labels["n"] = strconv.Itoa(i)
		resp, err := client.Node.ResolveIdentity(f.ctx(), connect.NewRequest(&weftv1.ResolveIdentityRequest{Network: "acme/prod", Labels: labels}))
		if err != nil {
			t.Fatal(err)
		}
		last = resp.Msg.Revision
	}
	for slow.revision < last {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		if err := slow.take(ctx, stream.Msg()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	_ = stream.Close()
	if len(slow.plan.Identities) != changes || slow.updates >= changes/2 {
		t.Errorf("%d changes came as %d updates, with %d identities", changes, slow.updates, len(slow.plan.Identities))
	}
}

func TestEnforcement(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	n1.wait("the other's block", func() bool { return len(n1.plan.Routes) == 2 })
	n2.setMute(true)
	resp := f.apply(acmePolicy[4:])
	n1.waitRevision(resp.Revision)
	n2.waitRevision(resp.Revision)
	want := func(enforced, pending, stale []string) {
		t.Helper()
		got, err := f.admin.Intent.Get(f.ctx(), connect.NewRequest(&weftv1.GetRequest{
			Key: &weftv1.Key{Kind: "FirewallPolicy", Tenant: "acme", Name: "web-in"}}))
		if err != nil {
			t.Fatal(err)
		}
		e := got.Msg.Object.Enforcement
		if d := cmp.Diff([][]string{enforced, pending, stale}, [][]string{e.Enforced, e.Pending, e.Stale}); d != "" {
			t.Error(d)
		}
	}
	want([]string{"n1"}, []string{"n2"}, nil)
	n2.leave()
	f.waitNode("n2", func(n *weftv1.NodeInfo) bool { return !n.Connected })
	want([]string{"n1"}, nil, []string{"n2"})
	n2.setMute(false)
	n2.follow(&weftv1.WatchPlanRequest{})
	want([]string{"n1", "n2"}, nil, nil)

	// What both enforce is still so after a restart, though neither is connected.
	n1.leave()
	n2.leave()
	f.stop()
	f = startIn(t, f.dir)
	want([]string{"n1", "n2"}, nil, nil)
}

func TestPlanSaysWhatChangesWhere(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1 := f.agent("n1", "192.0.2.1")
	f.agent("n2", "192.0.2.2")
	n1.lease("acme/prod")
	before := f.revision()
	resp, err := f.admin.Intent.Plan(f.ctx(), connect.NewRequest(&weftv1.PlanRequest{Files: files(acmePolicy[4:])}))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Msg.Nodes) != 1 || resp.Msg.Nodes[0].Node != "n1" || len(resp.Msg.Nodes[0].Added) == 0 {
		t.Errorf("got %v", resp.Msg)
	}
	if f.revision() != before {
		t.Error("plan changed the store")
	}
}

func TestDeleteNodeFreesEverything(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	n1, n2 := f.agent("n1", "192.0.2.1"), f.agent("n2", "192.0.2.2")
	n1.lease("acme/prod")
	n2.lease("acme/prod")
	bound, err := n1.client.Node.BindPort(f.ctx(), connect.NewRequest(&weftv1.BindPortRequest{Port: "acme/vm-1"}))
	if err != nil {
		t.Fatal(err)
	}
	n1.waitRevision(bound.Msg.Revision)
	n1.wait("the other's block", func() bool { return len(n1.plan.Routes) == 2 })
	if _, err := f.admin.Intent.DeleteNode(f.ctx(), connect.NewRequest(&weftv1.DeleteNodeRequest{Name: "n1"})); err != nil {
		t.Fatal(err)
	}
	n1.wait("the end", func() bool { return n1.err != nil })
	n2.wait("the end of the peer", func() bool { return len(n2.plan.Peers) == 0 && len(n2.plan.Routes) == 1 })
	_, err = n1.client.Node.Register(f.ctx(), connect.NewRequest(&weftv1.RegisterRequest{Vtep: "192.0.2.1"}))
	wantCode(t, err, connect.CodePermissionDenied)
	if resp := f.tryApply(&weftv1.ApplyRequest{Files: files(acme), Prune: true}); !resp.Applied {
		t.Errorf("the port is still held: %v", resp.Problems)
	}
	if n3 := f.agent("n3", "192.0.2.1"); n3.lease("acme/prod") != "10.0.0.0/26" {
		t.Error("the block was not freed")
	}
}

func TestNetworkWithWorkloadsStays(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	n1 := f.agent("n1", "192.0.2.1")
	n1.lease("acme/prod")
	report := func(attachments ...*weftv1.Attachment) {
		_, revision, _ := n1.now()
		_, err := n1.client.Node.Report(f.ctx(), connect.NewRequest(&weftv1.ReportRequest{
			EnforcedRevision: revision, Report: &weftv1.NodeReport{Attachments: attachments}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	report(&weftv1.Attachment{Interface: "weft1", Network: "acme/prod", Addresses: []string{"10.0.0.2/24"}})
	keys := []*weftv1.Key{{Kind: "Network", Tenant: "acme", Name: "prod"}}
	resp, err := f.admin.Intent.Delete(f.ctx(), connect.NewRequest(&weftv1.DeleteRequest{Keys: keys}))
	if err != nil || resp.Msg.Applied || len(resp.Msg.Problems) != 1 {
		t.Errorf("got %v %v", resp, err)
	}
	report()
	resp, err = f.admin.Intent.Delete(f.ctx(), connect.NewRequest(&weftv1.DeleteRequest{Keys: keys}))
	if err != nil || !resp.Msg.Applied {
		t.Errorf("got %v %v", resp, err)
	}
	n1.wait("the end of the network", func() bool { return len(n1.plan.Networks) == 0 && len(n1.plan.Routes) == 0 })
}

// waitNode returns once ok holds of what the controller says of a node.
func (f *fixture) waitNode(name string, ok func(*weftv1.NodeInfo) bool) {
	f.t.Helper()
	for ctx := f.ctx(); ; {
		resp, err := f.admin.Intent.ListNodes(ctx, connect.NewRequest(&weftv1.ListNodesRequest{}))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, n := range resp.Msg.Nodes {
			if n.Name == name && ok(n) {
				return
			}
		}
	}
}
