package controller

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/weftfabric/weft/controller/backup"
	"github.com/weftfabric/weft/controller/store"
)

// Backup writes the store of a controller that doesn't run to a file. A store that doesn't exist yet is an error.
func Backup(ctx context.Context, cfg Config, path string) (backup.Backup, error) {
	s := cfg.store()
	s.MustExist = true
	etcd, err := store.Open(ctx, s)
	if err != nil {
		return backup.Backup{}, err
	}
	b, err := store.Snapshot(ctx, etcd.Client, time.Now(), cfg.Version)
	if closeErr := etcd.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return b, err
	}
	return backup.Save(path, func(w io.Writer) error { return backup.Write(w, b) })
}

// Restore makes the store of a new controller from a file. The store must not exist, or be an external etcd that holds
// no fabric. A damaged file changes nothing.
func Restore(ctx context.Context, cfg Config, path string) (backup.Backup, error) {
	b, err := backup.Load(path)
	if err != nil {
		return b, err
	}
	s := cfg.store()
	if len(s.Endpoints) == 0 {
		return b, store.RestoreDir(ctx, s.Dir, b)
	}
	etcd, err := store.Open(ctx, s)
	if err != nil {
		return b, err
	}
	err = store.Restore(ctx, etcd.Client, b)
	if closeErr := etcd.Close(); err == nil {
		err = closeErr
	}
	return b, err
}

// store says which etcd the controller uses.
func (cfg Config) store() store.Config {
	return store.Config{Dir: filepath.Join(cfg.DataDir, "etcd"), Endpoints: cfg.Etcd, TLS: cfg.EtcdTLS, History: cfg.History}
}
