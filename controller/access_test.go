package controller_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/join"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// intentCalls is every call that is for admins.
func intentCalls(c weftv1connect.IntentServiceClient) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Apply":       call(c.Apply, &weftv1.ApplyRequest{}),
		"Plan":        call(c.Plan, &weftv1.PlanRequest{}),
		"Get":         call(c.Get, &weftv1.GetRequest{}),
		"List":        call(c.List, &weftv1.ListRequest{}),
		"Delete":      call(c.Delete, &weftv1.DeleteRequest{}),
		"Watch":       stream(c.Watch, &weftv1.WatchRequest{}),
		"ListNodes":   call(c.ListNodes, &weftv1.ListNodesRequest{}),
		"DeleteNode":  call(c.DeleteNode, &weftv1.DeleteNodeRequest{Name: "n1"}),
		"CreateToken": call(c.CreateToken, &weftv1.CreateTokenRequest{}),
		"ListTokens":  call(c.ListTokens, &weftv1.ListTokensRequest{}),
		"RevokeToken": call(c.RevokeToken, &weftv1.RevokeTokenRequest{}),
		"Info":        call(c.Info, &weftv1.InfoRequest{}),
	}
}

// nodeCalls is every call that is for nodes.
func nodeCalls(c weftv1connect.NodeServiceClient) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Register":         call(c.Register, &weftv1.RegisterRequest{}),
		"WatchPlan":        stream(c.WatchPlan, &weftv1.WatchPlanRequest{}),
		"Report":           call(c.Report, &weftv1.ReportRequest{}),
		"LeaseBlock":       call(c.LeaseBlock, &weftv1.LeaseBlockRequest{}),
		"ReleaseBlock":     call(c.ReleaseBlock, &weftv1.ReleaseBlockRequest{}),
		"ResolveIdentity":  call(c.ResolveIdentity, &weftv1.ResolveIdentityRequest{}),
		"BindPort":         call(c.BindPort, &weftv1.BindPortRequest{}),
		"ReleasePort":      call(c.ReleasePort, &weftv1.ReleasePortRequest{}),
		"RenewCertificate": call(c.RenewCertificate, &weftv1.RenewCertificateRequest{}),
		"WatchQuestions":   stream(c.WatchQuestions, &weftv1.WatchQuestionsRequest{}),
		"Answer":           call(c.Answer, &weftv1.AnswerRequest{}),
	}
}

func call[Q, A any](f func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), req *Q) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := f(ctx, connect.NewRequest(req))
		return err
	}
}

func stream[Q, A any](f func(context.Context, *connect.Request[Q]) (*connect.ServerStreamForClient[A], error), req *Q) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := f(ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		for s.Receive() {
		}
		_ = s.Close()
		return s.Err()
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	admin, err := apiclient.LoadCredentials(filepath.Join(f.dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	remoteAdmin, member := newClient(t, f.server, admin), newClient(t, f.server, f.join("n1"))
	anybody := withoutCertificate(t, admin.CA)

	for name, c := range intentCalls(member.Intent) {
		t.Run("node calls "+name, func(t *testing.T) { wantCode(t, c(f.ctx()), connect.CodePermissionDenied) })
	}
	for name, c := range nodeCalls(remoteAdmin.Node) {
		t.Run("admin calls "+name, func(t *testing.T) { wantCode(t, c(f.ctx()), connect.CodePermissionDenied) })
	}
	for name, c := range intentCalls(weftv1connect.NewIntentServiceClient(anybody, f.server)) {
		t.Run("anybody calls "+name, func(t *testing.T) { wantCode(t, c(f.ctx()), connect.CodeUnauthenticated) })
	}
	for name, c := range nodeCalls(weftv1connect.NewNodeServiceClient(anybody, f.server)) {
		t.Run("anybody calls "+name, func(t *testing.T) { wantCode(t, c(f.ctx()), connect.CodeUnauthenticated) })
	}
	inspect := &weftv1.InspectRequest{}
	wantCode(t, stream(member.Observe.Inspect, inspect)(f.ctx()), connect.CodePermissionDenied)
	wantCode(t, stream(weftv1connect.NewObserveServiceClient(anybody, f.server).Inspect, inspect)(f.ctx()), connect.CodeUnauthenticated)
	for name, c := range map[string]*apiclient.Client{"admin": remoteAdmin, "node": member} {
		t.Run(name+" calls as a controller", func(t *testing.T) {
			wantCode(t, call(c.Peer.Holds, &weftv1.HoldsRequest{})(f.ctx()), connect.CodePermissionDenied)
			wantCode(t, stream(c.Peer.Relay, &weftv1.RelayRequest{})(f.ctx()), connect.CodePermissionDenied)
		})
	}
	declared := &weftv1.DeclaredRequest{}
	wantCode(t, call(member.Audit.Declared, declared)(f.ctx()), connect.CodePermissionDenied)
	wantCode(t, call(weftv1connect.NewAuditServiceClient(anybody, f.server).Declared, declared)(f.ctx()), connect.CodeUnauthenticated)
	for name, c := range nodeCalls(f.admin.Node) {
		t.Run("unix socket: "+name, func(t *testing.T) { wantCode(t, c(f.ctx()), connect.CodeUnimplemented) })
	}
	if _, err := remoteAdmin.Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{})); err != nil {
		t.Errorf("a remote admin: %v", err)
	}
}

// withoutCertificate trusts the fabric's CA, and has no certificate.
func withoutCertificate(t *testing.T, ca *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: join.ServerName}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestForeignCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	f, other := start(t), start(t)
	stranger, err := apiclient.LoadCredentials(filepath.Join(other.dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := apiclient.LoadCredentials(filepath.Join(f.dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, f.server, stranger).Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{})); err == nil {
		t.Error("a client trusts a server of another CA")
	}
	stranger.CA = own.CA
	if _, err := newClient(t, f.server, stranger).Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{})); err == nil {
		t.Error("a server trusts a client of another CA")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	addr := strings.TrimPrefix(f.server, "https://")
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		_ = c.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	f := start(t)
	try := func(token, node string) (*apiclient.Credentials, error) {
		return apiclient.Join(f.ctx(), apiclient.JoinRequest{Server: f.server, Token: token, Node: fabric.NodeName(node), Key: newKey(t)})
	}
	open, bound := f.token(""), f.token("n1")
	parsed, err := join.ParseToken(open)
	if err != nil {
		t.Fatal(err)
	}
	wrongSecret, wrongCA, unknown := parsed, parsed, parsed
	wrongSecret.Secret[0] ^= 1
	wrongCA.CA[0] ^= 1
	unknown.ID = "0123456789"

	_, err = try(wrongSecret.String(), "n1")
	wantCode(t, err, connect.CodeUnauthenticated)
	_, err = try(unknown.String(), "n1")
	wantCode(t, err, connect.CodeUnauthenticated)
	_, err = try(bound, "n2")
	wantCode(t, err, connect.CodeUnauthenticated)
	_, err = try(open, "Not_A_Name")
	wantCode(t, err, connect.CodeInvalidArgument)
	if _, err = try(wrongCA.String(), "n1"); err == nil || !strings.Contains(err.Error(), "not one of the fabric") {
		t.Errorf("another CA: %v", err)
	}

	first, err := try(open, "n1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = try(open, "n1")
	wantCode(t, err, connect.CodeAlreadyExists) // another machine can't take the place of a node,
	if _, err := try(bound, "n1"); err != nil { // unless an admin made a token for that.
		t.Fatal(err)
	}
	_, err = newClient(t, f.server, first).Node.Register(f.ctx(), connect.NewRequest(&weftv1.RegisterRequest{Vtep: "192.0.2.1"}))
	wantCode(t, err, connect.CodePermissionDenied)

	if _, err := f.admin.Intent.RevokeToken(f.ctx(), connect.NewRequest(&weftv1.RevokeTokenRequest{Id: parsed.ID})); err != nil {
		t.Fatal(err)
	}
	_, err = try(open, "n3")
	wantCode(t, err, connect.CodeUnauthenticated)
	list, err := f.admin.Intent.ListTokens(f.ctx(), connect.NewRequest(&weftv1.ListTokensRequest{}))
	if err != nil || len(list.Msg.Tokens) != 1 || list.Msg.Tokens[0].Node != "n1" {
		t.Errorf("tokens: %v %v", list, err)
	}
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	f := start(t)
	token, err := f.admin.Intent.CreateToken(f.ctx(), connect.NewRequest(&weftv1.CreateTokenRequest{TtlSeconds: 60}))
	if err != nil {
		t.Fatal(err)
	}
	f.later.Store(int64(61 * time.Second))
	_, err = apiclient.Join(f.ctx(), apiclient.JoinRequest{Server: f.server, Token: token.Msg.Token, Node: "n1", Key: newKey(t)})
	wantCode(t, err, connect.CodeUnauthenticated)
	list, err := f.admin.Intent.ListTokens(f.ctx(), connect.NewRequest(&weftv1.ListTokensRequest{}))
	if err != nil || len(list.Msg.Tokens) != 0 {
		t.Errorf("tokens: %v %v", list, err)
	}
}

func TestSilentNodeIsNotConnected(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.agent("n1", "192.0.2.1")
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return n.Connected })
	f.later.Store(int64(time.Minute))
	f.waitNode("n1", func(n *weftv1.NodeInfo) bool { return !n.Connected })
}

func TestJoinAgainWithTheSameKey(t *testing.T) {
	t.Parallel()
	f := start(t)
	r := apiclient.JoinRequest{Server: f.server, Token: f.token(""), Node: "n1", Key: newKey(t)}
	for range 2 {
		if _, err := apiclient.Join(f.ctx(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRenewCertificate(t *testing.T) {
	t.Parallel()
	f := start(t)
	old := f.join("n1")
	key := newKey(t)
	csr, err := apiclient.Request(key, "another-name") // what the request says of its subject counts nothing
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newClient(t, f.server, old).Node.RenewCertificate(f.ctx(), connect.NewRequest(&weftv1.RenewCertificateRequest{Csr: csr}))
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := apiclient.NewCredentials(old.CA.Raw, resp.Msg.Certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	if renewed.Certificate.Subject.CommonName != "n1" {
		t.Errorf("the certificate is for %s", renewed.Certificate.Subject.CommonName)
	}
	for _, c := range []*apiclient.Credentials{old, renewed} {
		if _, err := newClient(t, f.server, c).Node.Register(f.ctx(), connect.NewRequest(&weftv1.RegisterRequest{Vtep: "192.0.2.1"})); err != nil {
			t.Error(err)
		}
	}
}

func TestCredentialsOnDisk(t *testing.T) {
	t.Parallel()
	f := start(t)
	c := f.join("n1")
	dir := filepath.Join(t.TempDir(), "node")
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := apiclient.LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !back.Certificate.Equal(c.Certificate) || !back.Key.Equal(c.Key) || !back.CA.Equal(c.CA) {
		t.Error("the credentials changed on disk")
	}
}
