package controller_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// watcher reads a watch as short texts.
type watcher struct {
	t      *testing.T
	stream *connect.ServerStreamForClient[weftv1.WatchResponse]
}

func (f *fixture) watch(req *weftv1.WatchRequest) *watcher {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	stream, err := f.admin.Intent.Watch(ctx, connect.NewRequest(req))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		cancel()
		_ = stream.Close()
	})
	return &watcher{f.t, stream}
}

func (w *watcher) want(events ...string) {
	w.t.Helper()
	var got []string
	for range events {
		if !w.stream.Receive() {
			w.t.Fatalf("the watch ended: %v", w.stream.Err())
		}
		m := w.stream.Msg()
		if m.Synced {
			got = append(got, "synced")
			continue
		}
		got = append(got, m.Verb.String()+" "+m.Object.Key.Kind+" "+m.Object.Key.Name)
	}
	if d := cmp.Diff(events, got); d != "" {
		w.t.Error(d)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	all := f.watch(&weftv1.WatchRequest{})
	all.want("VERB_ADDED Tenant acme", "VERB_ADDED Network prod", "synced")
	ports := f.watch(&weftv1.WatchRequest{Kind: "Port", FromRevision: 1})
	ports.want("synced")

	f.apply(acme + acmePort)
	f.tryApply(&weftv1.ApplyRequest{Files: files(acme), Prune: true})
	all.want("VERB_ADDED Port vm-1", "VERB_REMOVED Port vm-1")
	ports.want("VERB_ADDED Port vm-1", "VERB_REMOVED Port vm-1")

	f.watch(&weftv1.WatchRequest{FromRevision: 1}).want("VERB_ADDED Port vm-1", "VERB_REMOVED Port vm-1", "synced")
	future := f.watch(&weftv1.WatchRequest{FromRevision: 99})
	if future.stream.Receive() {
		t.Error("a watch from the future began")
	}
	wantCode(t, future.stream.Err(), connect.CodeOutOfRange)
}

func TestWatchAfterRestartSaysWhatItForgot(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply(acme)
	f.apply(acme + acmePort)
	f.stop()
	f = startIn(t, f.dir)
	w := f.watch(&weftv1.WatchRequest{FromRevision: 1})
	if w.stream.Receive() {
		t.Error("a watch of forgotten changes began")
	}
	wantCode(t, w.stream.Err(), connect.CodeOutOfRange)
	f.watch(&weftv1.WatchRequest{FromRevision: 2}).want("synced")
}
