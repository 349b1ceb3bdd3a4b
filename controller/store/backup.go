package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weftfabric/weft/controller/backup"
)

// The keys that a backup leaves out: they are about the present, and not worth more than that. Join tokens expire
// within days; nodes that joined stay members.
var transient = []string{prefixStatus, prefixToken, prefixCommit, prefixController, keyRestoring}

// restoreGap: a restored store begins at a multiple of it, so that its revisions are others than those that the lost
// one gave after the backup, which nodes and people may still name.
const restoreGap = 1_000_000

// restoreBatch is how many keys are written at once: what every etcd accepts (--max-txn-ops is 128 by default).
const restoreBatch = 100

var (
	// ErrNotEmpty says that a store holds a fabric already.
	ErrNotEmpty = errors.New("the store holds a fabric already")
	// errRestoring says that a restore was begun and not finished.
	errRestoring = errors.New("a backup was being restored into this store, and that was never finished: restore it again")
)

// Snapshot reads a backup from etcd: everything at one moment. What this version doesn't understand, it refuses.
func Snapshot(ctx context.Context, client *clientv3.Client, now time.Time, version string) (backup.Backup, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	resp, err := client.Get(ctx, prefixAll, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return backup.Backup{}, fmt.Errorf("read the store: %w", err)
	}
	b := backup.Backup{Made: now, Version: version}
	for _, kv := range resp.Kvs {
		if e := (backup.Entry{Key: string(kv.Key), Value: kv.Value}); !isTransient(e.Key) {
			b.Entries = append(b.Entries, e)
		}
	}
	b.Revision, err = checkEntries(b.Entries)
	return b, err
}

// Backup reads a backup of the store.
func (s *Store) Backup(ctx context.Context, now time.Time, version string) (backup.Backup, error) {
	return Snapshot(ctx, s.client, now, version)
}

func isTransient(key string) bool {
	for _, p := range transient {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// checkEntries makes sure that a controller can start with entries, and returns their revision.
func checkEntries(entries []backup.Entry) (revision uint64, err error) {
	for _, e := range entries {
		switch {
		case !strings.HasPrefix(e.Key, prefixAll) || isTransient(e.Key):
			return 0, fmt.Errorf("%w: %.100q", errContent, e.Key)
		case e.Key == keyRevision:
			revision, err = parseRevision(e.Value)
		case strings.HasPrefix(e.Key, prefixState):
			_, err = decode(e.Key, e.Value)
		}
		if err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// Restore writes a backup into an etcd that holds no fabric, or a half restored one. The revision comes last: until
// then no controller starts.
func Restore(ctx context.Context, client *clientv3.Client, b backup.Backup) error {
	if _, err := checkEntries(b.Entries); err != nil {
		return fmt.Errorf("the backup is not restored: %w", err)
	}
	have, err := repeat(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return client.Get(ctx, prefixAll, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	})
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	half := false
	for _, kv := range have.Kvs {
		half = half || string(kv.Key) == keyRestoring
	}
	if len(have.Kvs) > 0 && !half {
		return fmt.Errorf("%w (%d keys): restore into an empty one", ErrNotEmpty, len(have.Kvs))
	}
	write := func(ops ...clientv3.Op) error {
		_, err := repeat(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) { return client.Txn(ctx).Then(ops...).Commit() })
		if err != nil {
			return fmt.Errorf("write the store: %w", err)
		}
		return nil
	}
	err = write(clientv3.OpPut(keyRestoring, b.Made.Format(time.RFC3339)),
		clientv3.OpDelete(prefixAll, clientv3.WithRange(keyRestoring)),
		clientv3.OpDelete(keyRestoring+"\x00", clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefixAll))))
	if err != nil {
		return err
	}
	for entries := range slices.Chunk(b.Entries, restoreBatch) {
		var ops []clientv3.Op
		for _, e := range entries {
			if e.Key != keyRevision {
				ops = append(ops, clientv3.OpPut(e.Key, string(e.Value)))
			}
		}
		if err := write(ops...); err != nil {
			return err
		}
	}
	return write(clientv3.OpPut(keyRevision, strconv.FormatUint(restoredRevision(b.Revision), 10)), clientv3.OpDelete(keyRestoring))
}

// restoredRevision is the first multiple of restoreGap after a revision.
func restoredRevision(backedUp uint64) uint64 { return (backedUp/restoreGap + 1) * restoreGap }

// checkRestored makes sure that no restore is half done.
func checkRestored(ctx context.Context, client *clientv3.Client) error {
	resp, err := client.Get(ctx, keyRestoring)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if len(resp.Kvs) > 0 {
		return errRestoring
	}
	return nil
}

// RestoreDir makes the data directory of an embedded etcd from a backup. The directory must not exist; it appears
// when it is whole.
func RestoreDir(ctx context.Context, dir string, b backup.Backup) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s exists; move it away first", ErrNotEmpty, dir), err)
	}
	draft := dir + ".restoring"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	if err := restoreDraft(ctx, draft, b); err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	if err := os.Rename(draft, dir); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func restoreDraft(ctx context.Context, draft string, b backup.Backup) error {
	etcd, err := Open(ctx, Config{Dir: draft})
	if err != nil {
		return err
	}
	return errors.Join(Restore(ctx, etcd.Client, b), etcd.Close())
}
