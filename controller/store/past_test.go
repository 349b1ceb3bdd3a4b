package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/store"
)

// Each revision can be read as it was, until etcd compacts it.
func TestPastRevisions(t *testing.T) {
	t.Parallel()
	e := open(t, t.TempDir())
	s := run(t, e, ignore)
	for i := range 5 {
		update(t, s, compile.Change{Object: tenant(fmt.Sprint("t", i))})
	}
	gone := tenant("t0").Key
	if v := update(t, s, compile.Change{ObjectGone: &gone}); v.Revision != 6 {
		t.Fatalf("revision %d, want 6", v.Revision)
	}
	for revision, want := range []int{4, 1, 2, 3, 4, 5, 4} { // 0 is the newest
		p, err := s.At(timeout(t), uint64(revision))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.View.Intent.Len(); got != want {
			t.Errorf("revision %d has %d objects, want %d", revision, got, want)
		}
	}
	p, err := s.At(timeout(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	if o := p.View.Intent.Get(gone); p.View.Revision != 4 || o == nil || o.Origin.Line != 3 {
		t.Errorf("revision 4 is %d and has %+v", p.View.Revision, o)
	}
	if _, err := s.At(timeout(t), 7); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision 7: %v", err)
	}
	now, err := e.Client.Get(timeout(t), "nothing")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client.Compact(timeout(t), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	_, err = s.At(timeout(t), 3)
	if want := "revision 3 is not kept any more: the oldest that can be read is 6; see weft-controller --history"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := s.At(timeout(t), 6); err != nil {
		t.Error(err)
	}
}
