package ovs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
)

const (
	dialTimeout   = 5 * time.Second
	callTimeout   = 5 * time.Second  // of one transaction
	probeInterval = 10 * time.Second // between questions whether the server is still there
	minBackoff    = 100 * time.Millisecond
	maxBackoff    = 5 * time.Second
)

// Config says which bridge of which database.
type Config struct {
	Database string // an OVSDB connection method, such as unix:/run/openvswitch/db.sock
	Bridge   string
	Logger   *slog.Logger
}

// DB is a connection to ovsdb-server that is made again when it is lost.
type DB struct {
	cfg      Config
	updates  chan State
	sessions uint64 // of Run's goroutine

	mu     sync.Mutex
	client client.Client // nil while there is no connection
	queue  changes
}

// New returns a driver that does nothing before Run.
func New(cfg Config) *DB {
	return &DB{cfg: cfg, updates: make(chan State, 1)}
}

// Updates yields the latest State after each change. There is one reader.
func (d *DB) Updates() <-chan State { return d.updates }

// Run keeps the connection until ctx ends, and returns when every goroutine of it has ended.
func (d *DB) Run(ctx context.Context) error {
	wait := minBackoff
	for {
		connected, err := d.session(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that ctx ended is no failure
		}
		if connected {
			wait = minBackoff
		}
		d.cfg.Logger.Warn("no connection to Open vSwitch's database", "database", d.cfg.Database, "error", err, "retry", wait)
		d.publish(State{Problem: fmt.Sprintf("database %s: %v", d.cfg.Database, err)})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, maxBackoff)
	}
}

// session is the life of one connection; connected says whether it came about.
func (d *DB) session(ctx context.Context) (connected bool, err error) {
	dbModel, err := databaseModel()
	if err != nil {
		return false, err
	}
	c, err := client.NewOVSDBClient(dbModel, client.WithEndpoint(d.cfg.Database))
	if err != nil {
		return false, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := c.Connect(dialCtx); err != nil {
		return false, err
	}
	gone := make(chan struct{})
	var watcher sync.WaitGroup
	abandon := make(chan struct{})
	watcher.Go(func() {
		select {
		case <-c.DisconnectNotify():
			close(gone)
		case <-abandon:
		}
	})
	defer watcher.Wait()
	defer close(abandon)
	defer d.close(c, gone)

	dirty := make(chan struct{}, 1)
	c.Cache().AddEventHandler(onAnyChange(dirty))
	if _, err := c.Monitor(dialCtx, c.NewMonitor(monitoredColumns()...)); err != nil {
		return false, fmt.Errorf("monitor: %w", err)
	}
	d.mu.Lock()
	d.client = c
	d.mu.Unlock()
	d.sessions++
	return true, d.follow(ctx, following{client: c, dirty: dirty, gone: gone})
}

// following is what one connection's reader waits for.
type following struct {
	client client.Client
	dirty  <-chan struct{} // the cache has changed
	gone   <-chan struct{} // the connection has ended
}

// follow publishes the state after each change, and probes the server while it is silent.
func (d *DB) follow(ctx context.Context, f following) error {
	probe := time.NewTicker(probeInterval)
	defer probe.Stop()
	for {
		r, err := readRows(ctx, f.client)
		if err != nil {
			return err
		}
		s := r.state(d.cfg.Bridge)
		s.Session = d.sessions
		d.publish(s)
		for changed := false; !changed; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-f.gone:
				return fmt.Errorf("the server closed the connection")
			case <-f.dirty:
				changed = true
			case <-probe.C:
				if err := echo(ctx, f.client); err != nil {
					return fmt.Errorf("the server doesn't answer a probe: %w", err)
				}
			}
		}
	}
}

// close ends a connection and waits until the library has noticed.
func (d *DB) close(c client.Client, gone <-chan struct{}) {
	d.mu.Lock()
	d.client = nil
	d.mu.Unlock()
	c.Close()
	select {
	case <-gone:
	case <-time.After(time.Second): // the notification was sent before anybody listened
	}
}

// publish replaces the state that the reader hasn't taken yet. Only Run's goroutine calls it.
func (d *DB) publish(s State) {
	select {
	case <-d.updates:
	default:
	}
	d.updates <- s
}

// connection returns the present connection.
func (d *DB) connection() (client.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client == nil {
		return nil, ErrNotConnected
	}
	return d.client, nil
}

// echo asks the server whether it is there.
func echo(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.Echo(ctx)
}

// readRows copies the monitored tables out of the connection's cache.
func readRows(ctx context.Context, c client.Client) (r rows, err error) {
	err = list(ctx, c, &r.roots, &r.bridges, &r.ports, &r.interfaces)
	return r, err
}

// list copies tables out of the connection's cache: tables points to slices of rows.
func list(ctx context.Context, c client.Client, tables ...any) error {
	for _, t := range tables {
		if err := c.List(ctx, t); err != nil {
			return fmt.Errorf("read the cache: %w", err)
		}
	}
	return nil
}

// rowsNamed copies the port and the interface of a name out of the connection's cache, as far as they are there.
func rowsNamed(ctx context.Context, c client.Client, name string) (ports []portRow, interfaces []interfaceRow, err error) {
	p, i := portRow{Name: name}, interfaceRow{Name: name}
	switch err := c.Get(ctx, &p); {
	case err == nil:
		ports = append(ports, p)
	case !errors.Is(err, client.ErrNotFound):
		return nil, nil, fmt.Errorf("read the cache: port %s: %w", name, err)
	}
	switch err := c.Get(ctx, &i); {
	case err == nil:
		interfaces = append(interfaces, i)
	case !errors.Is(err, client.ErrNotFound):
		return nil, nil, fmt.Errorf("read the cache: interface %s: %w", name, err)
	}
	return ports, interfaces, nil
}

// onAnyChange marks dirty on every event; the channel's one place merges those that come together.
func onAnyChange(dirty chan<- struct{}) cache.EventHandler {
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	return &cache.EventHandlerFuncs{
		AddFunc:    func(string, model.Model) { mark() },
		UpdateFunc: func(string, model.Model, model.Model) { mark() },
		DeleteFunc: func(string, model.Model) { mark() },
	}
}
