package controller_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/controller/backup"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/controller/store/etcdtest"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// online makes a backup of the running controller.
func (f *fixture) online(path string) backup.Backup {
	f.t.Helper()
	b, err := backup.Save(path, func(w io.Writer) error {
		stream, err := f.admin.Intent.Backup(f.ctx(), connect.NewRequest(&weftv1.BackupRequest{}))
		if err != nil {
			return err
		}
		for stream.Receive() {
			if _, err := w.Write(stream.Msg().Data); err != nil {
				return err
			}
		}
		return errors.Join(stream.Err(), stream.Close())
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	a := f.agent("n1", "192.0.2.1")
	a.lease("acme/prod")
	a.wait("a route", func() bool { return len(a.plan.Routes) > 0 })
	path := filepath.Join(t.TempDir(), "weft.backup")
	b := f.online(path)
	lost := f.apply(acmePolicy[4:]) // after the backup
	a.waitRevision(lost.Revision)
	a.leave()
	f.stop()
	offline, err := controller.Backup(t.Context(), controller.Config{DataDir: f.dir}, path+".offline")
	if err != nil || offline.Revision != lost.Revision || len(offline.Entries) != len(b.Entries)+1 {
		t.Errorf("the offline backup has revision %d and %d keys: %v", offline.Revision, len(offline.Entries), err)
	}

	dir := t.TempDir()
	if _, err := controller.Restore(t.Context(), controller.Config{DataDir: dir}, path); err != nil {
		t.Fatal(err)
	}
	if _, err := controller.Restore(t.Context(), controller.Config{DataDir: dir}, path); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
	g := startIn(t, dir)
	if got := g.revision(); got != 1_000_000 {
		t.Errorf("the restored store begins at revision %d", got)
	}
	list, err := g.admin.Intent.List(g.ctx(), connect.NewRequest(&weftv1.ListRequest{}))
	if err != nil || len(list.Msg.Objects) != 3 {
		t.Errorf("restored %v, %v", list, err)
	}
	// The node is a member still, with its certificate, and has its lease.
	a.client = newClient(t, g.server, a.credentials)
	before := a.plan
	hash := plan.Hash(a.plan)
	a.follow(&weftv1.WatchPlanRequest{HaveRevision: lost.Revision, HaveHash: hash[:]})
	now, revision, _ := a.now()
	if revision < 1_000_000 || len(now.Routes) != len(before.Routes) || len(now.Tables[0].Rules) >= len(before.Tables[0].Rules) {
		t.Errorf("at revision %d the node has %+v", revision, now)
	}
	if resp := g.apply(acmePolicy[4:]); resp.Revision != 1_000_001 {
		t.Errorf("got revision %d", resp.Revision)
	}
}

func TestDamagedBackupChangesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	path := filepath.Join(t.TempDir(), "weft.backup")
	f.online(path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cut off":   whole[:len(whole)/2],
		"a letter":  bytes.Replace(whole, []byte("acme"), []byte("acne"), 1),
		"empty":     nil,
		"a picture": []byte("\x89PNG\r\n"),
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "damaged")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := controller.Restore(t.Context(), controller.Config{DataDir: filepath.Join(dir, "data")}, file); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it made a data directory: %v", name, err)
		}
	}
}

func TestBackupNeedsAStore(t *testing.T) {
	dir := t.TempDir()
	if _, err := controller.Backup(t.Context(), controller.Config{DataDir: dir}, filepath.Join(dir, "b")); err == nil || !strings.Contains(err.Error(), "there is no store") {
		t.Errorf("got %v", err)
	}
}

func TestBackupBesideARunningControllerIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, err := controller.Backup(t.Context(), controller.Config{DataDir: f.dir}, filepath.Join(t.TempDir(), "b"))
	if err == nil || !strings.Contains(err.Error(), "another controller uses the directory") {
		t.Errorf("got %v", err)
	}
}

// A backup of the embedded store can go to a cluster, and back.
func TestRestoreIntoACluster(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme + acmePort)
	path := filepath.Join(t.TempDir(), "weft.backup")
	f.online(path)
	etcd := etcdtest.Start(t, 1)
	external := controller.Config{DataDir: t.TempDir(), Etcd: etcd.Endpoints()}
	if _, err := controller.Restore(t.Context(), external, path); err != nil {
		t.Fatal(err)
	}
	if _, err := controller.Restore(t.Context(), external, path); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
	p := newProcess(t, "a", etcd.Endpoints())
	list, err := p.admin.Intent.List(t.Context(), connect.NewRequest(&weftv1.ListRequest{}))
	if err != nil || len(list.Msg.Objects) != 3 || list.Msg.Revision != 1_000_000 {
		t.Errorf("restored %v, %v", list, err)
	}
	p.kill()
	back, err := controller.Backup(t.Context(), external, path+".back")
	if err != nil || back.Revision != 1_000_000 {
		t.Errorf("back: %d, %v", back.Revision, err)
	}
}
