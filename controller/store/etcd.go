package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// The limits of one transaction of the embedded etcd. An external one has its own: --max-txn-ops and
// --max-request-bytes.
const (
	maxTxnOps       = 65536
	maxRequestBytes = 32 << 20
)

// DefaultHistory is how long the embedded etcd keeps what was before. Reports of the nodes make up most of it.
const DefaultHistory = time.Hour

// maxDatabase is what the embedded etcd's file may grow to, history included, before etcd refuses writes.
const maxDatabase = 8 << 30

const (
	dialTimeout  = 5 * time.Second
	startTimeout = 60 * time.Second
	// maxSocketPath is the longest path of a unix socket (unix(7)), the final zero left out.
	maxSocketPath = 107
)

// Config says which etcd to use.
type Config struct {
	// Dir holds the embedded etcd's data; used when Endpoints is empty.
	Dir string
	// Endpoints are the URLs of an external etcd.
	Endpoints []string
	// History is how long the embedded etcd keeps what was before, for questions about past revisions; 0 stands for
	// DefaultHistory.
	History time.Duration
	// MustExist refuses to make an embedded etcd's data anew.
	MustExist bool
	// TLS is for the external etcd; nil speaks plain text.
	TLS *tls.Config
}

// Etcd is a connection to an etcd, and the embedded server when there is one.
type Etcd struct {
	Client *clientv3.Client
	server *embed.Etcd
	lock   *os.File
	socket string // directory to remove at the end; empty when the sockets are in the data directory
}

// Open connects to the external etcd, or starts the embedded one, and waits until it answers.
func Open(ctx context.Context, cfg Config) (*Etcd, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	e := &Etcd{}
	endpoints := cfg.Endpoints
	if cfg.MustExist && len(endpoints) == 0 {
		if _, err := os.Stat(filepath.Join(cfg.Dir, "member")); err != nil {
			return nil, fmt.Errorf("there is no store in %s: %w", cfg.Dir, err)
		}
	}
	if len(endpoints) == 0 {
		endpoint, err := e.start(ctx, cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start the embedded etcd in %s: %w", cfg.Dir, err), e.Close())
		}
		endpoints = []string{endpoint}
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: cfg.TLS, DialTimeout: dialTimeout, Logger: zap.NewNop(),
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		MaxCallSendMsgSize: maxRequestBytes, RejectOldCluster: false,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to etcd at %v: %w", endpoints, err), e.Close())
	}
	e.Client = client
	if _, err := client.Get(ctx, keyRevision); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd at %v doesn't answer: %w", endpoints, err), e.Close())
	}
	return e, nil
}

// lockDir makes sure that one process at a time uses a data directory. etcd itself would wait for the other one,
// after it took its socket away.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another controller uses the directory: stop it, or choose another --data-dir"), f.Close())
	}
	return f, nil
}

// start runs etcd on a unix socket, so that no port is taken and no network is needed.
func (e *Etcd) start(ctx context.Context, c Config) (endpoint string, err error) {
	dir := c.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if e.lock, err = lockDir(dir); err != nil {
		return "", err
	}
	socket := filepath.Join(dir, "client.sock")
	if len(socket) > maxSocketPath {
		if e.socket, err = os.MkdirTemp("", "weft-etcd-"); err != nil {
			return "", err
		}
		socket = filepath.Join(e.socket, "client.sock")
	}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ListenPeerUrls = nil // one member: nobody calls
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: socket}}
	cfg.MaxTxnOps, cfg.MaxRequestBytes = maxTxnOps, maxRequestBytes
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, cmp.Or(c.History, DefaultHistory).String()
	cfg.QuotaBackendBytes = maxDatabase
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	if e.server, err = embed.StartEtcd(cfg); err != nil {
		return "", err
	}
	select {
	case <-e.server.Server.ReadyNotify():
	case err := <-e.server.Err():
		return "", err
	case <-ctx.Done():
		return "", fmt.Errorf("it is not ready: %w", ctx.Err())
	}
	return "unix://" + socket, nil
}

// Close ends the connection, and the embedded server. It may be called more than once.
func (e *Etcd) Close() error {
	var errs []error
	if e.Client != nil {
		errs = append(errs, e.Client.Close())
		e.Client = nil
	}
	if e.server != nil {
		e.server.Close()
		e.server = nil
	}
	if e.socket != "" {
		errs = append(errs, os.RemoveAll(e.socket))
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
		e.lock = nil
	}
	return errors.Join(errs...)
}
