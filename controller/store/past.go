package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
)

var (
	// ErrForgotten says that etcd has compacted a revision.
	ErrForgotten = errors.New("is not kept any more")
	// ErrNoRevision says that the store never had a revision.
	ErrNoRevision = errors.New("does not exist")
)

// Past is what the store held at a revision: the newest that it held before the next one.
type Past struct {
	View     *state.View
	Statuses map[fabric.NodeName]Status
}

// At returns what the store held at a revision; 0 is the newest. The errors ErrForgotten and ErrNoRevision say which
// revisions there are.
func (s *Store) At(ctx context.Context, revision uint64) (Past, error) {
	view := s.View()
	if revision == 0 || revision == view.Revision {
		statuses, _ := s.Statuses()
		return Past{View: view, Statuses: statuses}, nil
	}
	at, err := s.find(ctx, revision)
	if err != nil {
		return Past{}, fmt.Errorf("revision %d %w", revision, err)
	}
	p, err := s.past(ctx, at)
	if errors.Is(err, rpctypes.ErrCompacted) {
		err = ErrForgotten
	}
	if err != nil {
		return Past{}, fmt.Errorf("revision %d: %w", revision, err)
	}
	return p, nil
}

// past reads everything as etcd had it at one of its own revisions.
func (s *Store) past(ctx context.Context, etcdRev int64) (Past, error) {
	resp, err := s.readAt(ctx, prefixState, etcdRev, clientv3.WithPrefix())
	if err != nil {
		return Past{}, err
	}
	kept, err := decodeState(resp.Kvs)
	if err != nil {
		return Past{}, err
	}
	p := Past{View: state.NewView().With(kept.revision, kept.sets), Statuses: make(map[fabric.NodeName]Status)}
	if resp, err = s.readAt(ctx, prefixStatus, etcdRev, clientv3.WithPrefix()); err != nil {
		return Past{}, err
	}
	for _, kv := range resp.Kvs {
		n, err := decodeStatus(kv)
		if err != nil {
			return Past{}, err
		}
		p.Statuses[fabric.NodeName(strings.TrimPrefix(string(kv.Key), prefixStatus))] = n.Status
	}
	return p, nil
}

// find returns the last of etcd's revisions at which the store had a revision. Both rise together, so that halving finds
// it, without a table of them.
func (s *Store) find(ctx context.Context, revision uint64) (etcdRev int64, err error) {
	resp, err := s.readAt(ctx, keyRevision, 0)
	if err != nil {
		return 0, err
	}
	newest, _, err := revisionOf(resp.Kvs)
	if err != nil {
		return 0, err
	}
	if revision > newest {
		return 0, fmt.Errorf("%w yet: the newest is %d", ErrNoRevision, newest)
	}
	var found int64
	oldest := newest // that can be read
	compacted := false
	for low, high := int64(1), resp.Header.Revision; low <= high; {
		middle := low + (high-low)/2
		resp, err := s.readAt(ctx, keyRevision, middle)
		if errors.Is(err, rpctypes.ErrCompacted) {
			compacted, low = true, middle+1
			continue
		}
		if err != nil {
			return 0, err
		}
		have, _, err := revisionOf(resp.Kvs)
		if err != nil {
			return 0, err
		}
		oldest = min(oldest, have)
		if have > revision {
			high = middle - 1
			continue
		}
		if have == revision {
			found = middle
		}
		low = middle + 1
	}
	switch {
	case found != 0:
		return found, nil
	case compacted && revision < oldest:
		return 0, fmt.Errorf("%w: the oldest that can be read is %d; see weft-controller --history", ErrForgotten, oldest)
	}
	return 0, fmt.Errorf("%w: a restored store goes on at a later one", ErrNoRevision)
}

// readAt reads at one of etcd's revisions; 0 is the newest.
func (s *Store) readAt(ctx context.Context, key string, etcdRev int64, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.client.Get(ctx, key, append(opts, clientv3.WithRev(etcdRev))...)
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return resp, nil
}

// revisionOf reads the revision key: its value, and etcd's revision of it. A store without one is at revision 0.
func revisionOf(kvs []*mvccpb.KeyValue) (revision uint64, guard int64, err error) {
	if len(kvs) == 0 {
		return 0, 0, nil
	}
	revision, err = parseRevision(kvs[0].Value)
	return revision, kvs[0].ModRevision, err
}

// kept is the content of prefixState.
type kept struct {
	revision uint64
	guard    int64 // etcd's revision of the revision key
	sets     []state.Change
}

func decodeState(kvs []*mvccpb.KeyValue) (kept, error) {
	var k kept
	for _, kv := range kvs {
		if string(kv.Key) == keyRevision {
			var err error
			if k.revision, k.guard, err = revisionOf([]*mvccpb.KeyValue{kv}); err != nil {
				return k, err
			}
			continue
		}
		c, err := decode(string(kv.Key), kv.Value)
		if err != nil {
			return k, err
		}
		k.sets = append(k.sets, c)
	}
	return k, nil
}
