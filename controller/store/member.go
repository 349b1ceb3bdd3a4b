package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/fabric"
)

// maxMemberKeys is how many keys of a node are good at once: the one in use, and its successor.
const maxMemberKeys = 2

// Member is a node that joined: it may speak with these keys.
type Member struct {
	// Keys are SHA-256 sums of public keys in PKIX form, the newest first.
	Keys [][]byte `json:"keys"`
}

// Has reports whether the node may speak with a key.
func (m Member) Has(key []byte) bool {
	return slices.ContainsFunc(m.Keys, func(k []byte) bool { return slices.Equal(k, key) })
}

// ErrJoined says that a node of the name has joined with another key.
var ErrJoined = errors.New("has already joined")

func isMember(node fabric.NodeName) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(prefixMember+string(node)), ">", 0)
}

// Member returns a node's membership; it is empty when the node never joined, or was deleted.
func (s *Store) Member(ctx context.Context, node fabric.NodeName) (Member, error) {
	m, _, err := s.member(ctx, node)
	return m, err
}

func (s *Store) member(ctx context.Context, node fabric.NodeName) (m Member, modRevision int64, err error) {
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.client.Get(ctx, prefixMember+string(node))
	})
	if err != nil {
		return m, 0, fmt.Errorf("etcd: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return m, 0, nil
	}
	if err := json.Unmarshal(resp.Kvs[0].Value, &m); err != nil {
		return m, 0, fmt.Errorf("%w: %s: %w", errContent, resp.Kvs[0].Key, err)
	}
	return m, resp.Kvs[0].ModRevision, nil
}

// Admit makes a node a member with a key. A node that is a member with other keys is refused with
// ErrJoined, unless replace is set: then the key takes the place of all others.
func (s *Store) Admit(ctx context.Context, node fabric.NodeName, key []byte, replace bool) error {
	return s.editMember(ctx, node, func(m Member) (Member, error) {
		if len(m.Keys) > 0 && !m.Has(key) && !replace {
			return m, ErrJoined
		}
		return Member{Keys: [][]byte{key}}, nil
	})
}

// AddKey lets a member speak with a further key; only the one it uses now stays good beside it.
func (s *Store) AddKey(ctx context.Context, node fabric.NodeName, inUse, key []byte) error {
	return s.editMember(ctx, node, func(m Member) (Member, error) {
		if !m.Has(inUse) {
			return m, ErrNotMember
		}
		keys := slices.CompactFunc([][]byte{key, inUse}, slices.Equal)
		return Member{Keys: keys[:min(len(keys), maxMemberKeys)]}, nil
	})
}

func (s *Store) editMember(ctx context.Context, node fabric.NodeName, edit func(Member) (Member, error)) error {
	for range maxAttempts {
		have, rev, err := s.member(ctx, node)
		if err != nil {
			return err
		}
		next, err := edit(have)
		if err != nil {
			return fmt.Errorf("node %s: %w", node, err)
		}
		ok, err := s.putIf(ctx, prefixMember+string(node), rev, next)
		if ok || err != nil {
			return err
		}
	}
	return ErrContention
}

// putIf stores a value when the key was last changed at an etcd revision; 0: when it doesn't exist. Where etcd was slow
// to answer, ok can be false although the value is stored: callers read again.
func (s *Store) putIf(ctx context.Context, key string, modRevision int64, v any) (ok bool, err error) {
	value, err := json.Marshal(v)
	if err != nil {
		return false, err
	}
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", modRevision)).
			Then(clientv3.OpPut(key, string(value))).Commit()
	})
	if err != nil {
		return false, fmt.Errorf("etcd: %w", err)
	}
	return resp.Succeeded, nil
}

// Token is a join token at rest: its secret is hashed.
type Token struct {
	ID      string          `json:"-"`
	Hash    []byte          `json:"hash"`
	Node    fabric.NodeName `json:"node,omitempty"`
	Expires time.Time       `json:"expires"`
}

// AddToken stores a new token. etcd forgets it some time after it expired.
func (s *Store) AddToken(ctx context.Context, t Token, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	lease, err := s.client.Grant(ctx, int64((ttl+time.Hour)/time.Second))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if _, err := s.client.Put(ctx, prefixToken+t.ID, string(value), clientv3.WithLease(lease.ID)); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}

// Token returns the token with an id; ok is false when there is none.
func (s *Store) Token(ctx context.Context, id string) (t Token, ok bool, err error) {
	all, err := s.tokens(ctx, prefixToken+id)
	if err != nil || len(all) == 0 {
		return t, false, err
	}
	return all[0], true, nil
}

// Tokens returns all tokens, ordered by id.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	return s.tokens(ctx, prefixToken, clientv3.WithPrefix())
}

func (s *Store) tokens(ctx context.Context, key string, opts ...clientv3.OpOption) ([]Token, error) {
	resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) { return s.client.Get(ctx, key, opts...) })
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	var out []Token
	for _, kv := range resp.Kvs {
		t := Token{ID: strings.TrimPrefix(string(kv.Key), prefixToken)}
		if err := json.Unmarshal(kv.Value, &t); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errContent, kv.Key, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// RevokeToken deletes a token; ok is false when there was none.
func (s *Store) RevokeToken(ctx context.Context, id string) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	resp, err := s.client.Delete(ctx, prefixToken+id)
	if err != nil {
		return false, fmt.Errorf("etcd: %w", err)
	}
	return resp.Deleted > 0, nil
}

// CA returns the certificate authority that all controllers on this etcd share, as generate made it for the first
// of them.
func (s *Store) CA(ctx context.Context, generate func() ([]byte, error)) ([]byte, error) {
	for range maxAttempts {
		resp, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) { return s.client.Get(ctx, keyCA) })
		if err != nil {
			return nil, fmt.Errorf("etcd: %w", err)
		}
		if len(resp.Kvs) > 0 {
			return resp.Kvs[0].Value, nil
		}
		ca, err := generate()
		if err != nil {
			return nil, err
		}
		if _, err := s.putIf(ctx, keyCA, 0, json.RawMessage(ca)); err != nil {
			return nil, err
		}
	}
	return nil, ErrContention
}
