package store_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func open(t *testing.T, dir string) *store.Etcd {
	t.Helper()
	e, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// run makes a store that follows etcd until the test ends, and counts its commits.
func run(t *testing.T, e *store.Etcd, commit func(store.Commit)) *store.Store {
	t.Helper()
	s, err := store.New(t.Context(), e.Client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, commit) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func ignore(store.Commit) {}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func update(t *testing.T, s *store.Store, changes ...compile.Change) *state.View {
	t.Helper()
	v, err := s.Update(timeout(t), func(*state.View) (state.Batch, error) { return batch(changes...), nil })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func batch(changes ...compile.Change) state.Batch {
	var b state.Batch
	for _, c := range changes {
		b.Changes = append(b.Changes, state.Change{Change: c, Meta: state.ObjectMeta{Revision: 1, ApplySet: "default"}, Made: 1})
	}
	return b
}

func tenant(name string) *topology.Object {
	o, _ := topology.NewObject(&topology.Tenant{Metadata: topology.Metadata{Name: name}})
	o.Origin = topology.Origin{File: "a.yaml", Line: 3}
	return o
}

func node(name fabric.NodeName, vtep string) compile.Change {
	return compile.Change{Node: &compile.NodeChange{Name: name, State: &compile.NodeState{VTEP: netip.MustParseAddr(vtep)}}}
}

// everything is one change of each kind.
func everything() []compile.Change {
	prod := fabric.NetworkRef{Tenant: "acme", Name: "prod"}
	block := fabric.VNIBlock{Base: 0x100, Bits: 16}
	return []compile.Change{
		{Object: tenant("acme")},
		{Network: &compile.NetworkChange{Network: prod, Alloc: &compile.NetworkAlloc{ID: 1, Blocks: []fabric.VNIBlock{block}}}},
		{Identity: &compile.IdentityChange{ID: 0x101, Alloc: &compile.IdentityAlloc{Network: prod, Labels: fabric.Labels{"app": "web"}}}},
		{Lease: &compile.LeaseChange{Key: compile.LeaseKey{Network: prod, Prefix: netip.MustParsePrefix("2001:db8::/122")}, Lease: &compile.Lease{Node: "n1", Subnet: "web"}}},
		{Binding: &compile.BindingChange{Port: fabric.PortRef{Tenant: "acme", Name: "vm-1"}, Node: "n1"}},
		node("n1", "192.0.2.1"),
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	e, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("write", func(t *testing.T) { update(t, run(t, e, ignore), everything()...) })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	s := run(t, open(t, dir), ignore)
	v := s.View()
	if v.Revision != 1 || len(v.Networks) != 1 || len(v.Leases) != 1 || len(v.Bindings) != 1 || len(v.Nodes) != 1 {
		t.Errorf("got %+v", v)
	}
	o := v.Intent.Get(topology.Key{Kind: topology.KindTenant, Name: "acme"})
	if o == nil || o.Origin.Line != 3 || v.Objects[o.Key].ApplySet != "default" {
		t.Errorf("got %+v", o)
	}
	if id, ok := v.Identity(fabric.NetworkRef{Tenant: "acme", Name: "prod"}, fabric.Labels{"app": "web"}); !ok || id != 0x101 || v.IdentityRevisions[id] != 1 {
		t.Errorf("identity %v %v", id, ok)
	}
}

func TestEverythingCanBeRemoved(t *testing.T) {
	s := run(t, open(t, t.TempDir()), ignore)
	update(t, s, everything()...)
	prod := fabric.NetworkRef{Tenant: "acme", Name: "prod"}
	v := update(t, s,
		compile.Change{ObjectGone: &topology.Key{Kind: topology.KindTenant, Name: "acme"}},
		compile.Change{Network: &compile.NetworkChange{Network: prod}},
		compile.Change{Identity: &compile.IdentityChange{ID: 0x101}},
		compile.Change{Lease: &compile.LeaseChange{Key: compile.LeaseKey{Network: prod, Prefix: netip.MustParsePrefix("2001:db8::/122")}}},
		compile.Change{Binding: &compile.BindingChange{Port: fabric.PortRef{Tenant: "acme", Name: "vm-1"}}},
		compile.Change{Node: &compile.NodeChange{Name: "n1"}})
	if n := v.Intent.Len() + len(v.Networks) + len(v.Identities) + len(v.Leases) + len(v.Bindings) + len(v.Nodes) + len(v.Objects); n != 0 || v.Revision != 2 {
		t.Errorf("got %+v", v)
	}
}

// Two controllers on one etcd see one sequence of revisions, and none overwrites the other.
func TestTwoControllersOnOneEtcd(t *testing.T) {
	e := open(t, t.TempDir())
	var mu sync.Mutex
	var seen [2][]uint64
	var stores [2]*store.Store
	for i := range stores {
		stores[i] = run(t, e, func(c store.Commit) {
			mu.Lock()
			defer mu.Unlock()
			seen[i] = append(seen[i], c.After.Revision)
		})
	}
	const each = 10
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for range each {
				_, err := s.Update(timeout(t), func(v *state.View) (state.Batch, error) {
					// Each adds the tenant that comes next in the view: lost updates would leave gaps.
					o := tenant("t" + strings.Repeat("x", v.Intent.Len()))
					return batch(compile.Change{Object: o}), nil
				})
				if err != nil {
					t.Errorf("store %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for i, s := range stores {
		v, err := s.Wait(timeout(t), 2*each)
		if err != nil {
			t.Fatal(err)
		}
		if v.Revision != 2*each || v.Intent.Len() != 2*each {
			t.Errorf("store %d: revision %d, %d objects", i, v.Revision, v.Intent.Len())
		}
	}
}

func TestEmptyBatchKeepsTheRevision(t *testing.T) {
	s := run(t, open(t, t.TempDir()), ignore)
	if v := update(t, s); v.Revision != 0 {
		t.Errorf("revision %d", v.Revision)
	}
}

func TestEditErrorChangesNothing(t *testing.T) {
	s := run(t, open(t, t.TempDir()), ignore)
	want := errors.New("no")
	_, err := s.Update(timeout(t), func(*state.View) (state.Batch, error) { return batch(node("n1", "192.0.2.1")), want })
	if !errors.Is(err, want) || s.View().Revision != 0 {
		t.Errorf("got %v", err)
	}
}

func TestOnlyMembersWrite(t *testing.T) {
	s := run(t, open(t, t.TempDir()), ignore)
	ctx := timeout(t)
	write := func() error {
		_, err := s.Update(ctx, func(v *state.View) (state.Batch, error) {
			b := batch(node("n1", "192.0.2.1"))
			b.Member = "n1"
			return b, nil
		})
		return err
	}
	touch := func() error {
		return s.UpdateStatus(ctx, "n1", func(st *store.Status) bool { st.Open = true; return true })
	}
	if err := write(); !errors.Is(err, store.ErrNotMember) {
		t.Errorf("before it joined: %v", err)
	}
	if err := touch(); !errors.Is(err, store.ErrNotMember) {
		t.Errorf("status before it joined: %v", err)
	}
	if err := s.Admit(ctx, "n1", []byte("key"), false); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(), touch()); err != nil {
		t.Error(err)
	}
	if err := s.Admit(ctx, "n1", []byte("other"), false); !errors.Is(err, store.ErrJoined) {
		t.Errorf("another key: %v", err)
	}
	if _, err := s.Update(ctx, func(*state.View) (state.Batch, error) { return state.Batch{Expel: "n1"}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := touch(); !errors.Is(err, store.ErrNotMember) {
		t.Errorf("status after it was expelled: %v", err)
	}
}

// A network's number may go to another network within one transaction; etcd wants each key once.
func TestOneKeyTwiceInABatch(t *testing.T) {
	s := run(t, open(t, t.TempDir()), ignore)
	update(t, s, everything()...)
	dev := fabric.NetworkRef{Tenant: "acme", Name: "dev"}
	v := update(t, s,
		compile.Change{Identity: &compile.IdentityChange{ID: 0x101}},
		compile.Change{Identity: &compile.IdentityChange{ID: 0x101, Alloc: &compile.IdentityAlloc{Network: dev}}})
	if v.Identities[0x101].Network != dev {
		t.Errorf("got %+v", v.Identities)
	}
}

func TestLongDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-name/", 12))
	update(t, run(t, open(t, dir), ignore), node("n1", "192.0.2.1"))
}

func TestDataDirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := run(t, open(t, dir), ignore)
	if _, err := store.Open(t.Context(), store.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another controller") {
		t.Errorf("got %v", err)
	}
	update(t, s, node("n1", "192.0.2.1")) // the first one still works
}

func TestCAIsMadeOnce(t *testing.T) {
	e := open(t, t.TempDir())
	made := 0
	generate := func() ([]byte, error) { made++; return []byte(`"ca"`), nil }
	for range 2 {
		s := run(t, e, ignore)
		if ca, err := s.CA(timeout(t), generate); err != nil || string(ca) != `"ca"` {
			t.Errorf("%s %v", ca, err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}
