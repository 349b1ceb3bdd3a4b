package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
)

// Run follows etcd until ctx ends. It calls commit, from one goroutine, for every step of the View since
// New: a step is one revision, or several when the watch of an external etcd was interrupted for long.
func (s *Store) Run(ctx context.Context, commit func(Commit)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.followState(ctx, commit) })
	g.Go(func() error { return s.followStatuses(ctx) })
	g.Go(func() error { return s.keepContact(ctx) })
	g.Go(func() error { return s.announce(ctx) })
	return g.Wait()
}

func (s *Store) followState(ctx context.Context, commit func(Commit)) error {
	for {
		from := s.etcdRevision() + 1
		err := s.watch(ctx, watching{prefixState, from, s.behind}, func(events []*clientv3.Event) error {
			for len(events) > 0 {
				n := 1
				for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
					n++
				}
				c, err := s.advance(events[:n])
				if err != nil {
					return err
				}
				commit(c)
				events = events[n:]
			}
			return nil
		})
		if !errors.Is(err, errWatch) {
			return err
		}
		// The watch may have been away for so long that etcd forgot the steps: take the difference as one.
		c, err := retry(ctx, s.load)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			commit(c)
		}
	}
}

// errWatch says that etcd ended a watch, and a new one may do better.
var errWatch = errors.New("etcd ended the watch")

// retry calls f once a second until it succeeds or ctx ends.
func retry[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	for {
		v, err := f(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, errContent) {
			return v, err
		}
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// watching is what a watch is of, and what ends it.
type watching struct {
	prefix string
	from   int64           // etcd's revision
	behind <-chan struct{} // says that it doesn't keep up
}

// watch calls step for each answer of a watch; all events of one etcd revision come together. It returns
// nil when ctx ends, errWatch when etcd ends the watch or it doesn't keep up, and the error of step.
func (s *Store) watch(ctx context.Context, w watching, step func([]*clientv3.Event) error) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// The client puts watches of one context's metadata on one stream, to one member of etcd. Each gets its own, so that
	// a new one is not stuck where the old one was.
	ctx = metadata.AppendToOutgoingContext(ctx, "weft-watch", rand.Text())
	answers := s.client.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(w.from))
	for {
		select {
		case resp, ok := <-answers:
			switch {
			case ctx.Err() != nil:
				return nil
			case !ok || resp.Err() != nil:
				return errWatch
			case len(resp.Events) == 0:
				continue
			}
			if err := step(resp.Events); err != nil {
				return err
			}
		case <-w.behind:
			return errWatch
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) etcdRevision() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etcdRev
}

// advance applies the events of one transaction to the View.
func (s *Store) advance(events []*clientv3.Event) (Commit, error) {
	before, guard := s.guarded()
	revision := before.Revision
	var changes []state.Change
	for _, e := range events {
		key := string(e.Kv.Key)
		if key == keyRevision {
			var err error
			if revision, err = parseRevision(e.Kv.Value); err != nil {
				return Commit{}, err
			}
			guard = e.Kv.ModRevision
			continue
		}
		value := e.Kv.Value
		if e.Type == mvccpb.DELETE {
			value = nil
		}
		c, err := decode(key, value)
		if err != nil {
			return Commit{}, err
		}
		changes = append(changes, c)
	}
	after := before.With(revision, changes)
	s.publish(after, guard, events[0].Kv.ModRevision)
	return Commit{Before: before, After: after, Changes: changes}, nil
}

func (s *Store) publish(v *state.View, guard, etcdRev int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.guard, s.etcdRev = v, guard, etcdRev
	close(s.changed)
	s.changed = make(chan struct{})
}

// load reads the whole state at one moment, and returns the step to it.
func (s *Store) load(ctx context.Context) (Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	resp, err := s.client.Get(ctx, prefixState, clientv3.WithPrefix())
	if err != nil {
		return Commit{}, fmt.Errorf("read the state from etcd: %w", err)
	}
	kept, err := decodeState(resp.Kvs)
	if err != nil {
		return Commit{}, err
	}
	before := s.View()
	if before == nil {
		before = state.NewView()
	}
	after := state.NewView().With(kept.revision, kept.sets)
	s.publish(after, kept.guard, resp.Header.Revision)
	return Commit{Before: before, After: after, Changes: append(removals(before, after), kept.sets...)}, nil
}

// removals returns what the step from before to after removes.
func removals(before, after *state.View) []state.Change {
	var out []compile.Change
	for _, o := range before.Intent.Objects() {
		if after.Intent.Get(o.Key) == nil {
			out = append(out, compile.Change{ObjectGone: &o.Key})
		}
	}
	for k := range before.Networks {
		if _, ok := after.Networks[k]; !ok {
			out = append(out, compile.Change{Network: &compile.NetworkChange{Network: k}})
		}
	}
	for k := range before.Identities {
		if _, ok := after.Identities[k]; !ok {
			out = append(out, compile.Change{Identity: &compile.IdentityChange{ID: k}})
		}
	}
	for k := range before.Leases {
		if _, ok := after.Leases[k]; !ok {
			out = append(out, compile.Change{Lease: &compile.LeaseChange{Key: k}})
		}
	}
	for k := range before.Bindings {
		if _, ok := after.Bindings[k]; !ok {
			out = append(out, compile.Change{Binding: &compile.BindingChange{Port: k}})
		}
	}
	for k := range before.Nodes {
		if _, ok := after.Nodes[k]; !ok {
			out = append(out, compile.Change{Node: &compile.NodeChange{Name: k}})
		}
	}
	changes := make([]state.Change, 0, len(out))
	for _, c := range out {
		changes = append(changes, state.Change{Change: c})
	}
	return changes
}

func parseRevision(value []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", errContent, keyRevision, err)
	}
	return n, nil
}

// modRevision returns etcd's revision of the only key, or 0 when it doesn't exist.
func modRevision(kvs []*mvccpb.KeyValue) int64 {
	if len(kvs) == 0 {
		return 0
	}
	return kvs[0].ModRevision
}
