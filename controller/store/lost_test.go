package store_test

import (
	"context"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/controller/state"
)

// lossy is an etcd whose answers to the next transactions get lost: before they are made, or after.
type lossy struct {
	clientv3.KV
	before, after atomic.Int32
	made          atomic.Int32
}

func (l *lossy) Txn(ctx context.Context) clientv3.Txn { return &lossyTxn{l.KV.Txn(ctx), l} }

type lossyTxn struct {
	clientv3.Txn
	l *lossy
}

func (t *lossyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *lossyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *lossyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *lossyTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.l.before.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	t.l.made.Add(1)
	resp, err := t.Txn.Commit()
	if t.l.after.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return resp, err
}

func TestLostAnswers(t *testing.T) {
	for _, row := range []struct {
		name          string
		before, after int32
		made          int32
	}{
		{"none", 0, 0, 1},
		{"the request is lost", 1, 0, 1},
		{"the answer is lost", 0, 1, 2},
		{"two answers are lost", 0, 2, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := open(t, t.TempDir())
			l := &lossy{KV: e.Client.KV}
			e.Client.KV = l
			s := run(t, e, ignore)
			l.before.Store(row.before)
			l.after.Store(row.after)
			edits := 0
			v, err := s.Update(t.Context(), func(*state.View) (state.Batch, error) {
				edits++
				return batch(node("n1", "192.0.2.1")), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if v.Revision != 1 || edits != 1 || l.made.Load() != row.made {
				t.Errorf("revision %d after %d edits and %d transactions", v.Revision, edits, l.made.Load())
			}
			if v, err = s.Update(t.Context(), func(*state.View) (state.Batch, error) { return batch(node("n2", "192.0.2.2")), nil }); err != nil || v.Revision != 2 {
				t.Errorf("the next change: %v", err)
			}
		})
	}
}
