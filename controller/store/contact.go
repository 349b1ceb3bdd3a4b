package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// contactInterval is the pause between two looks at etcd.
	contactInterval = time.Second
	// contactLoss is after how long without an answer of a majority of etcd the contact counts as lost.
	contactLoss = 6 * time.Second
	// presenceTTL is for how long a controller counts as alive after its last sign, in seconds.
	presenceTTL = 6
)

// ErrNoContact says that etcd doesn't answer this controller, which therefore can't know what is true.
var ErrNoContact = errors.New("this controller has lost its etcd: ask another controller")

// Controller is a controller that is alive.
type Controller struct {
	ID      string    `json:"-"` // of the process
	Name    string    `json:"name"`
	Listen  string    `json:"listen,omitempty"`
	Reach   []string  `json:"reach,omitempty"` // addresses under which others may reach it, host:port
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// contact is what is known of the connection to etcd.
type contact struct {
	mu    sync.Mutex
	since time.Time     // of the last answer
	lost  chan struct{} // closed while the contact is lost
	err   error         // why it is
}

// Contact returns a channel that is closed when the contact to etcd is lost, or why it is lost now.
func (s *Store) Contact() (lost <-chan struct{}, err error) {
	s.contact.mu.Lock()
	defer s.contact.mu.Unlock()
	if s.contact.err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoContact, s.contact.err)
	}
	return s.contact.lost, nil
}

// Answered returns when a majority of etcd answered last.
func (s *Store) Answered() time.Time {
	s.contact.mu.Lock()
	defer s.contact.mu.Unlock()
	return s.contact.since
}

// answered notes that etcd answered at a time.
func (c *contact) answered(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = now
	if c.err != nil {
		c.err, c.lost = nil, make(chan struct{})
	}
}

// failed notes that etcd didn't.
func (c *contact) failed(now time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && now.Sub(c.since) >= contactLoss {
		c.err = err
		close(c.lost)
	}
}

// keepContact looks at etcd until ctx ends: whether a majority of it answers, and whether the watch keeps up with what
// it holds. A watch that an etcd member serves which hangs is begun anew, at another one.
func (s *Store) keepContact(ctx context.Context) error {
	ticker := time.NewTicker(contactInterval)
	defer ticker.Stop()
	var behind int64 // the guard that the View lacked at the last look
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		guard, err := s.readGuard(ctx)
		if err != nil {
			s.contact.failed(time.Now(), err)
			continue
		}
		s.contact.answered(time.Now())
		_, have := s.guarded()
		switch {
		case guard <= have:
			behind = 0
		case behind > have:
			signal(s.behind)
			signal(s.statusBehind)
			behind = 0
		default:
			behind = guard
		}
	}
}

// signal wakes the reader of a channel of one place.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// readGuard reads etcd's revision of the revision key, from a majority.
func (s *Store) readGuard(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeouts[0])
	defer cancel()
	resp, err := s.client.Get(ctx, keyRevision)
	if err != nil {
		return 0, err
	}
	return modRevision(resp.Kvs), nil
}

// Sync returns the View once it is at least as new as everything that was committed before the call.
func (s *Store) Sync(ctx context.Context) (uint64, error) {
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) { return s.client.Get(ctx, keyRevision) })
	if err != nil {
		return 0, fmt.Errorf("etcd: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return 0, nil
	}
	revision, err := parseRevision(resp.Kvs[0].Value)
	if err != nil {
		return 0, err
	}
	_, err = s.Wait(ctx, revision)
	return revision, err
}

// attemptTimeouts are how long the attempts of one call may take. The client asks another member of etcd each time.
var attemptTimeouts = [...]time.Duration{2 * time.Second, 2 * time.Second, 6 * time.Second}

// repeat makes a call to etcd that may be made more than once, until it is answered.
func repeat[T any](ctx context.Context, call func(context.Context) (T, error)) (v T, err error) {
	for _, t := range attemptTimeouts {
		attempt, cancel := context.WithTimeout(ctx, t)
		v, err = call(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || !unanswered(err) {
			return v, err
		}
	}
	return v, err
}

// unanswered reports whether an error leaves open what etcd did.
func unanswered(err error) bool {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code() == codes.Unavailable || e.Code() == codes.DeadlineExceeded
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return false
}

// announce keeps saying that this controller is alive, until ctx ends.
func (s *Store) announce(ctx context.Context) error {
	if s.Self.ID == "" {
		return nil
	}
	ticker := time.NewTicker(presenceTTL * time.Second / 3)
	defer ticker.Stop()
	var lease clientv3.LeaseID
	for {
		if next, err := s.sign(ctx, lease); err == nil {
			lease = next
		}
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeouts[0])
			defer cancel()
			if lease != 0 {
				_, _ = s.client.Revoke(ctx, lease) // it ends by itself soon
			}
			return nil
		case <-ticker.C:
		}
	}
}

// sign keeps a lease, and the key on it, alive; it makes both where etcd has forgotten them.
func (s *Store) sign(ctx context.Context, lease clientv3.LeaseID) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeouts[0])
	defer cancel()
	if lease != 0 {
		_, err := s.client.KeepAliveOnce(ctx, lease)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return lease, err
		}
	}
	granted, err := s.client.Grant(ctx, presenceTTL)
	if err != nil {
		return 0, err
	}
	value, err := json.Marshal(s.Self)
	if err != nil {
		return 0, err
	}
	_, err = s.client.Put(ctx, prefixController+s.Self.ID, string(value), clientv3.WithLease(granted.ID))
	return granted.ID, err
}

// Controllers returns the controllers that are alive, in order of their names.
func (s *Store) Controllers(ctx context.Context) ([]Controller, error) {
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.client.Get(ctx, prefixController, clientv3.WithPrefix())
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	var out []Controller
	for _, kv := range resp.Kvs {
		c := Controller{ID: strings.TrimPrefix(string(kv.Key), prefixController)}
		if err := json.Unmarshal(kv.Value, &c); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errContent, kv.Key, err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Controller) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}
