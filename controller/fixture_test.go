package controller_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/controller/metrics"
	"github.com/weftfabric/weft/controller/store/etcdtest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/scrape"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// patience bounds every wait of a test; none is that long unless it fails.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	etcdtest.Main()
	controllerMain()
	code := m.Run()
	// The end of a stream is stored after it, and given up after a while when the store has gone meanwhile.
	left := goleak.Find()
	for deadline := time.Now().Add(2 * patience); left != nil && time.Now().Before(deadline); {
		left = goleak.Find()
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// fixture is a running controller with a store of its own.
type fixture struct {
	t      *testing.T
	dir    string
	server string // https URL
	admin  *apiclient.Client
	stop   func()
	later  atomic.Int64 // how far the controller's clock is ahead, in nanoseconds
	// metrics is where they can be read.
	metrics string
}

// start runs a controller on a new data directory, and ends it with the test.
func start(t *testing.T) *fixture { return startIn(t, t.TempDir()) }

func startIn(t *testing.T, dir string) *fixture {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	socket := shortPath(t)
	offered, err := scrape.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, metrics: "http://" + offered.Addr().String() + scrape.Path}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	go func() {
		ended <- controller.Run(ctx, controller.Config{
			DataDir: dir, Listen: "127.0.0.1:0", Socket: socket, Version: "test",
			ReclaimEvery: 20 * time.Millisecond,
			Log:          log, Ready: func(a net.Addr) { ready <- a },
			Offer: func(ctx context.Context, measure func(context.Context) (controller.Measurements, error)) error {
				return scrape.Serve(ctx, offered, scrape.Config[controller.Measurements]{Table: metrics.Table(), Read: measure, Also: metrics.OfEtcd(), Log: log})
			},
			Now: func() time.Time { return time.Now().Add(time.Duration(f.later.Load())) },
		})
	}()
	f.stop = sync.OnceFunc(func() {
		f.admin.Close()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("controller: %v", err)
			}
		case <-time.After(patience):
			t.Error("the controller does not end")
		}
	})
	select {
	case addr := <-ready:
		f.server = "https://" + addr.String()
	case err := <-ended:
		cancel()
		t.Fatalf("controller: %v", err)
	case <-time.After(patience):
		cancel()
		t.Fatal("the controller does not start")
	}
	f.admin = newClient(t, "unix://"+socket, nil)
	t.Cleanup(f.stop)
	return f
}

// shortPath returns the path of a socket; those of t.TempDir can be too long.
func shortPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "weft-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "controller.sock")
}

func newClient(t *testing.T, server string, credentials *apiclient.Credentials) *apiclient.Client {
	t.Helper()
	c, err := apiclient.New(server, credentials)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.t.Cleanup(cancel)
	return ctx
}

func files(yaml string) []*weftv1.File {
	return []*weftv1.File{{Name: "test.yaml", Content: []byte(yaml)}}
}

// apply declares objects, and fails the test when they are refused.
func (f *fixture) apply(yaml string) *weftv1.ApplyResponse {
	f.t.Helper()
	resp := f.tryApply(&weftv1.ApplyRequest{Files: files(yaml)})
	if !resp.Applied {
		f.t.Fatalf("apply was refused: %v", resp.Problems)
	}
	return resp
}

func (f *fixture) tryApply(req *weftv1.ApplyRequest) *weftv1.ApplyResponse {
	f.t.Helper()
	resp, err := f.admin.Intent.Apply(f.ctx(), connect.NewRequest(req))
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg
}

func (f *fixture) revision() uint64 {
	f.t.Helper()
	resp, err := f.admin.Intent.Info(f.ctx(), connect.NewRequest(&weftv1.InfoRequest{}))
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg.Revision
}

// token makes a join token; node may be empty.
func (f *fixture) token(node string) string {
	f.t.Helper()
	resp, err := f.admin.Intent.CreateToken(f.ctx(), connect.NewRequest(&weftv1.CreateTokenRequest{Node: node}))
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg.Token
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := apiclient.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// join makes a node's credentials.
func (f *fixture) join(name string) *apiclient.Credentials {
	f.t.Helper()
	c, err := apiclient.Join(f.ctx(), apiclient.JoinRequest{Server: f.server, Token: f.token(""), Node: fabric.NodeName(name), Key: newKey(f.t)})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func wantCode(t *testing.T, err error, want connect.Code) {
	t.Helper()
	var c *connect.Error
	if !errors.As(err, &c) || c.Code() != want {
		t.Errorf("got error %v, want code %v", err, want)
	}
}
