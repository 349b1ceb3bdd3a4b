// Package controller runs weft's controller: it owns the store, the plans and the listeners, and ends them
// in the right order.
package controller

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weftfabric/weft/controller/api"
	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/planner"
	"github.com/weftfabric/weft/controller/store"
)

// shutdownTimeout is how long calls that are under way may take when the controller ends.
const shutdownTimeout = 5 * time.Second

// Config is how a controller runs.
type Config struct {
	// DataDir holds the embedded etcd, and the local admin's certificate. It is made when it doesn't exist.
	DataDir string
	// Listen is the TCP address for nodes and remote admins; empty listens on the socket only.
	Listen string
	// Socket is the path of the unix socket for local admins.
	Socket string
	// Advertise are the names and addresses under which others reach the controller, for its certificate.
	Advertise []string
	// Etcd are the endpoints of an external etcd; empty embeds one. EtcdTLS is for it, and may be nil.
	Etcd    []string
	EtcdTLS *tls.Config
	// History is how long the embedded etcd keeps what was before, for audits of past revisions; 0 stands for
	// store.DefaultHistory.
	History time.Duration
	Log     *slog.Logger
	Version string
	// Name is what people call this controller; empty stands for the host's name.
	Name string
	// Ready, when set, is called once the controller answers, with the TCP address that it listens on.
	Ready func(listen net.Addr)
	// Offer, when set, runs beside the controller: it may measure it for others, until ctx ends.
	Offer func(ctx context.Context, measure func(context.Context) (Measurements, error)) error
	// ReclaimEvery is how often the controller looks for nodes that are gone for too long; 0 stands for a minute.
	ReclaimEvery time.Duration
	// Now is the clock that certificates and tokens expire by; nil is the system's.
	Now func() time.Time
}

// Run runs a controller until ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return err
	}
	etcd, err := store.Open(ctx, cfg.store())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	s, err := store.New(ctx, etcd.Client)
	if err != nil {
		return err
	}
	ca, err := loadCA(ctx, s, cfg.Now())
	if err != nil {
		return err
	}
	if err := writeAdmin(cfg.DataDir, ca, cfg.Now()); err != nil {
		return err
	}
	view := s.View()
	plans, history := planner.New(view), api.NewHistory(view)
	router := &observe.Router{Hub: observe.NewHub(), Peers: peers{s, ca, cfg.Now}.dial, Presence: api.Presence(s, cfg.Now)}
	services := api.Config{
		Store: s, Planner: plans, History: history, CA: ca, Observe: router, Log: cfg.Log, Version: cfg.Version, StoreName: cfg.storeName(), Now: cfg.Now,
		Changes: &api.Changes{},
	}
	l, err := cfg.listen(ca, services)
	if err != nil {
		return err
	}
	if s.Self, err = cfg.self(l.addr()); err != nil {
		return err
	}
	cfg.Log.Info("controller started", "version", cfg.Version, "store", services.StoreName, "revision", view.Revision,
		"objects", view.Intent.Len(), "socket", cfg.Socket, "listen", l.addr())
	if cfg.Ready != nil {
		cfg.Ready(l.addr())
	}
	// The store outlives the listeners, so that ending streams can store that their nodes left.
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.Run(storeCtx, func(c store.Commit) {
			plans.Commit(c)
			history.Commit(c)
		})
	})
	g.Go(func() error {
		defer stopStore()
		return l.serve(gctx)
	})
	g.Go(func() error {
		reclaimer{s, cfg.Log, cfg.Now, cfg.Now()}.run(gctx, cmp.Or(cfg.ReclaimEvery, reclaimEvery))
		return nil
	})
	g.Go(func() error {
		clientPlacer{s, cfg.Log, cfg.Now, cfg.Now()}.run(gctx)
		return nil
	})
	if cfg.Offer != nil {
		g.Go(func() error {
			return cfg.Offer(gctx, func(context.Context) (Measurements, error) { return measure(services), nil })
		})
	}
	err = g.Wait()
	cfg.Log.Info("controller ended")
	return err
}

// self is this controller as the others see it.
func (cfg Config) self(listen net.Addr) (store.Controller, error) {
	c := store.Controller{ID: rand.Text(), Name: cfg.Name, Version: cfg.Version, Started: time.Now()}
	if listen != nil {
		c.Listen = listen.String()
		c.Reach = reach(listen, cfg.Advertise)
	}
	if c.Name != "" {
		return c, nil
	}
	var err error
	c.Name, err = os.Hostname()
	return c, err
}

func (cfg Config) storeName() string {
	if len(cfg.Etcd) == 0 {
		return "embedded"
	}
	return strings.Join(cfg.Etcd, ",")
}

// loadCA returns the fabric's CA, made by the first controller that starts.
func loadCA(ctx context.Context, s *store.Store, now time.Time) (*pki.CA, error) {
	data, err := s.CA(ctx, func() ([]byte, error) {
		ca, err := pki.NewCA(now, rand.Reader)
		if err != nil {
			return nil, err
		}
		return ca.Marshal()
	})
	if err != nil {
		return nil, err
	}
	return pki.ParseCA(data)
}

// listeners are the servers of a controller.
type listeners struct {
	local, remote     net.Listener // remote may be nil
	localHTTP, rmHTTP *http.Server
	stopStreams       context.CancelFunc
}

func (cfg Config) listen(ca *pki.CA, services api.Config) (*listeners, error) {
	socket, err := listenUnix(cfg.Socket)
	if err != nil {
		return nil, err
	}
	// Plan streams and watches never end by themselves: their contexts do, when the servers shut down.
	base, stop := context.WithCancel(context.Background())
	l := &listeners{local: socket, stopStreams: stop}
	l.localHTTP = api.Server(api.LocalHandler(services), nil, cfg.Log)
	l.localHTTP.BaseContext = func(net.Listener) context.Context { return base }
	if cfg.Listen == "" {
		return l, nil
	}
	tcp, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", cfg.Listen, err), socket.Close())
	}
	certs := pki.NewServerCertificates(ca, hosts(cfg.Listen, cfg.Advertise), cfg.Now, rand.Reader)
	l.rmHTTP = api.Server(api.RemoteHandler(services), certs.TLSConfig(), cfg.Log)
	l.rmHTTP.BaseContext = l.localHTTP.BaseContext
	l.remote = tcp
	return l, nil
}

func (l *listeners) addr() net.Addr {
	if l.remote == nil {
		return nil
	}
	return l.remote.Addr()
}

// serve answers until ctx ends, and returns when all calls have ended.
func (l *listeners) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ended(l.localHTTP.Serve(l.local)) })
	if l.remote != nil {
		g.Go(func() error { return ended(l.rmHTTP.ServeTLS(l.remote, "", "")) })
	}
	g.Go(func() error {
		<-ctx.Done()
		l.stopStreams()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		errs := []error{shutdown(ctx, l.localHTTP)}
		if l.remote != nil {
			errs = append(errs, shutdown(ctx, l.rmHTTP))
		}
		return errors.Join(errs...)
	})
	return g.Wait()
}

// shutdown lets calls end, and cuts those that take too long.
func shutdown(ctx context.Context, s *http.Server) error {
	if err := s.Shutdown(ctx); err != nil {
		return s.Close()
	}
	return nil
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listenUnix listens on a unix socket that only the owner can open. The socket of a controller that died is
// replaced; that of one that lives is an error.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another controller listens on %s: stop it, or choose another --socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// hosts returns the names and addresses for the server certificate.
func hosts(listen string, advertise []string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	for _, a := range append([]string{listen}, advertise...) {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
			out = append(out, host)
		}
	}
	return out
}
