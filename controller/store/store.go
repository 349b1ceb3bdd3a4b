package store

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/controller/state"
)

// opTimeout bounds every single call to etcd.
const opTimeout = 10 * time.Second

// maxAttempts bounds how often Update starts again after another controller was faster.
const maxAttempts = 30

// maxBackoff bounds the random pause between two attempts, which lets the writers take turns.
const maxBackoff = 50 * time.Millisecond

var (
	// ErrContention says that other writers were faster each time.
	ErrContention = errors.New("the store is being changed by others all the time: try again")
	// ErrNotMember says that the batch's member is no member of the fabric any more.
	ErrNotMember = errors.New("the node is not a member of the fabric")
)

// Store is the controller's copy of etcd's content, and the way to change it.
type Store struct {
	// Self is this controller, for others to see; one without an ID stays unseen. It is set before Run.
	Self Controller

	client  *clientv3.Client
	writer  chan struct{} // holds one token: whoever has it may write
	contact contact
	// behind and statusBehind say that a watch doesn't keep up with what etcd holds.
	behind, statusBehind chan struct{}

	mu       sync.Mutex
	view     *state.View
	guard    int64 // etcd's revision of the revision key
	changed  chan struct{}
	etcdRev  int64 // etcd's revision that view stands for
	statuses roster
}

// Commit is a step from one View to a later one.
type Commit struct {
	Before, After *state.View
	Changes       []state.Change
}

// New loads everything from etcd. Run keeps it up to date from there on.
func New(ctx context.Context, client *clientv3.Client) (*Store, error) {
	s := &Store{
		client: client, writer: make(chan struct{}, 1), changed: make(chan struct{}), statuses: newRoster(),
		contact: contact{since: time.Now(), lost: make(chan struct{})}, behind: make(chan struct{}, 1), statusBehind: make(chan struct{}, 1),
	}
	if err := checkRestored(ctx, client); err != nil {
		return nil, err
	}
	if _, err := s.load(ctx); err != nil {
		return nil, err
	}
	if err := s.loadStatuses(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// View returns the newest state.
func (s *Store) View() *state.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Wait returns the first View at or after a revision.
func (s *Store) Wait(ctx context.Context, revision uint64) (*state.View, error) {
	for {
		s.mu.Lock()
		view, changed := s.view, s.changed
		s.mu.Unlock()
		if view.Revision >= revision {
			return view, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for revision %d of the store: %w", revision, ctx.Err())
		}
	}
}

// Update changes the state by one transaction. Edit computes the batch from a View; it runs again when
// another controller changed the store in between, so it must have no effect of its own. An empty batch
// changes nothing and keeps the revision. Update returns the View after the change; a caller that gets an
// error from edit gets that error. After another error the change may have been made or not.
func (s *Store) Update(ctx context.Context, edit func(*state.View) (state.Batch, error)) (*state.View, error) {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other changes: %w", ctx.Err())
	}
	for attempt := range maxAttempts {
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
		view, guard := s.guarded()
		batch, err := edit(view)
		if err != nil {
			return nil, err
		}
		if batch.Empty() {
			return view, nil
		}
		ok, err := s.commit(ctx, batch, view.Revision+1, guard)
		if err != nil {
			return nil, err
		}
		after, err := s.Wait(ctx, view.Revision+1)
		if err != nil {
			return nil, err
		}
		if ok {
			return after, nil
		}
	}
	return nil, ErrContention
}

// pause waits for a random time that grows with the attempts; the first doesn't wait.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	t := time.NewTimer(rand.N(min(time.Millisecond<<attempt, maxBackoff)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other changes: %w", ctx.Err())
	}
}

func (s *Store) guarded() (*state.View, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.guard
}

// commit tries the transaction; ok is false when the store was changed meanwhile.
func (s *Store) commit(ctx context.Context, b state.Batch, revision uint64, guard int64) (ok bool, err error) {
	puts, err := operations(b, revision)
	if err != nil {
		return false, err
	}
	// An attempt that etcd doesn't answer may have been made, or be made later. All attempts have one mark and one
	// guard, so that one of them at most succeeds, and it is seen which.
	mark, markKey := crand.Text(), commitKey(revision)
	puts = append(puts, clientv3.OpPut(markKey, mark))
	if revision > maxCommits {
		puts = append(puts, clientv3.OpDelete(prefixCommit, clientv3.WithRange(commitKey(revision-maxCommits))))
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(keyRevision), "=", guard)
	ifs := []clientv3.Cmp{unchanged}
	if b.Member != "" {
		ifs = append(ifs, isMember(b.Member))
	}
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return s.client.Txn(ctx).If(ifs...).Then(puts...).Else(clientv3.OpGet(keyRevision), clientv3.OpGet(markKey)).Commit()
	})
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps):
		return false, fmt.Errorf("the change has %d parts, more than this etcd accepts in a transaction: apply it in several parts, or start etcd with a larger --max-txn-ops", len(puts))
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return false, fmt.Errorf("the change is larger than this etcd accepts: apply it in several parts, or start etcd with a larger --max-request-bytes")
	case err != nil && unanswered(err):
		return false, fmt.Errorf("etcd doesn't answer, so the change may have been made or not; make it again: %w", err)
	case err != nil:
		return false, fmt.Errorf("etcd: %w", err)
	case resp.Succeeded:
		return true, nil
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 && string(kvs[0].Value) == mark {
		return true, nil
	}
	// The revision key tells the two reasons of failure apart.
	if kvs := resp.Responses[0].GetResponseRange().Kvs; b.Member != "" && modRevision(kvs) == guard {
		return false, fmt.Errorf("%w: %s", ErrNotMember, b.Member)
	}
	return false, nil
}

// maxCommits is how many transactions are remembered in prefixCommit. An attempt is over long before so many others.
const maxCommits = 256

// commitKey is where a transaction leaves its mark; the keys are in the order of the revisions.
func commitKey(revision uint64) string { return fmt.Sprintf("%s%020d", prefixCommit, revision) }

// operations encodes a batch. etcd wants each key once in a transaction: of two changes of one thing, such as
// the number of a network that goes to another, the later stands.
func operations(b state.Batch, revision uint64) ([]clientv3.Op, error) {
	ops := []clientv3.Op{clientv3.OpPut(keyRevision, strconv.FormatUint(revision, 10))}
	at := make(map[string]int, len(b.Changes))
	for _, c := range b.Changes {
		key, value, err := encode(c)
		if err != nil {
			return nil, err
		}
		op := clientv3.OpDelete(key)
		if value != nil {
			op = clientv3.OpPut(key, string(value))
		}
		if i, ok := at[key]; ok {
			ops[i] = op
			continue
		}
		at[key] = len(ops)
		ops = append(ops, op)
	}
	if b.Expel != "" {
		ops = append(ops, clientv3.OpDelete(prefixMember+string(b.Expel)), clientv3.OpDelete(prefixStatus+string(b.Expel)))
	}
	return ops, nil
}
