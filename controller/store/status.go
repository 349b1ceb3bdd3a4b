package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/fabric"
)

// Silence is how long a node may say nothing and still count as connected.
const Silence = 45 * time.Second

// Status is what is known of a node's agent. It is no part of the View: plans don't depend on it.
type Status struct {
	// Session names the plan stream that the node has, or had last.
	Session string `json:"session,omitempty"`
	// Open says that the stream has not ended.
	Open     bool      `json:"open,omitempty"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
	Version  string    `json:"version,omitempty"`
	// Enforced is the plan revision that the node acknowledged last, and Hash that plan's hash, when it was the
	// newest one at that time.
	Enforced uint64 `json:"enforced,omitempty"`
	Hash     []byte `json:"hash,omitempty"`
	// Report is the node's last report: a weft.v1.NodeReport in binary form.
	Report []byte `json:"report,omitempty"`
}

// Connected reports whether the node counts as connected at a time.
func (s Status) Connected(now time.Time) bool { return s.Open && now.Sub(s.LastSeen) < Silence }

// roster holds the statuses of all nodes.
type roster struct {
	byNode  map[fabric.NodeName]nodeStatus
	etcdRev int64
	changed chan struct{}
}

type nodeStatus struct {
	Status
	modRevision int64
}

func newRoster() roster {
	return roster{byNode: map[fabric.NodeName]nodeStatus{}, changed: make(chan struct{})}
}

// Status returns what is known of a node.
func (s *Store) Status(node fabric.NodeName) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses.byNode[node].Status
}

// Statuses returns what is known of all nodes, and a channel that is closed when some of it changes.
func (s *Store) Statuses() (map[fabric.NodeName]Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[fabric.NodeName]Status, len(s.statuses.byNode))
	for n, st := range s.statuses.byNode {
		out[n] = st.Status
	}
	return out, s.statuses.changed
}

// UpdateStatus changes what is known of a node. Edit may run more than once; it returns false to leave the
// status as it is.
func (s *Store) UpdateStatus(ctx context.Context, node fabric.NodeName, edit func(*Status) bool) error {
	s.mu.Lock()
	have := s.statuses.byNode[node]
	s.mu.Unlock()
	key := prefixStatus + string(node)
	for range maxAttempts {
		next := have.Status
		if !edit(&next) {
			return nil
		}
		value, err := json.Marshal(next)
		if err != nil {
			return err
		}
		resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
			return s.client.Txn(ctx).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", have.modRevision), isMember(node)).
				Then(clientv3.OpPut(key, string(value))).
				Else(clientv3.OpGet(key), clientv3.OpGet(prefixMember+string(node))).Commit()
		})
		if err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
		if resp.Succeeded {
			s.setStatus(node, nodeStatus{next, resp.Header.Revision})
			return nil
		}
		if len(resp.Responses[1].GetResponseRange().Kvs) == 0 {
			return fmt.Errorf("%w: %s", ErrNotMember, node)
		}
		have = nodeStatus{}
		if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			if have, err = decodeStatus(kvs[0]); err != nil {
				return err
			}
		}
	}
	return ErrContention
}

func decodeStatus(kv *mvccpb.KeyValue) (nodeStatus, error) {
	n := nodeStatus{modRevision: kv.ModRevision}
	if err := json.Unmarshal(kv.Value, &n.Status); err != nil {
		return n, fmt.Errorf("%w: %s: %w", errContent, kv.Key, err)
	}
	return n, nil
}

// setStatus takes over a status, unless a newer one is known.
func (s *Store) setStatus(node fabric.NodeName, n nodeStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.modRevision < s.statuses.byNode[node].modRevision {
		return
	}
	s.statuses.byNode[node] = n
	s.statusesChanged()
}

func (s *Store) statusesChanged() {
	close(s.statuses.changed)
	s.statuses.changed = make(chan struct{})
}

func (s *Store) loadStatuses(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	resp, err := s.client.Get(ctx, prefixStatus, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read the nodes' status from etcd: %w", err)
	}
	byNode := make(map[fabric.NodeName]nodeStatus, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		n, err := decodeStatus(kv)
		if err != nil {
			return err
		}
		byNode[fabric.NodeName(strings.TrimPrefix(string(kv.Key), prefixStatus))] = n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses.byNode, s.statuses.etcdRev = byNode, resp.Header.Revision
	s.statusesChanged()
	return nil
}

func (s *Store) followStatuses(ctx context.Context) error {
	for {
		s.mu.Lock()
		from := s.statuses.etcdRev + 1
		s.mu.Unlock()
		if err := s.watch(ctx, watching{prefixStatus, from, s.statusBehind}, s.applyStatuses); !errors.Is(err, errWatch) {
			return err
		}
		if _, err := retry(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.loadStatuses(ctx) }); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (s *Store) applyStatuses(events []*clientv3.Event) error {
	for _, e := range events {
		node := fabric.NodeName(strings.TrimPrefix(string(e.Kv.Key), prefixStatus))
		if e.Type == mvccpb.DELETE {
			s.mu.Lock()
			delete(s.statuses.byNode, node)
			s.statusesChanged()
			s.mu.Unlock()
			continue
		}
		n, err := decodeStatus(e.Kv)
		if err != nil {
			return err
		}
		s.setStatus(node, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses.etcdRev = events[len(events)-1].Kv.ModRevision
	return nil
}
