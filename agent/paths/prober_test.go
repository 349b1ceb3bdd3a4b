package paths

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a prober until the test ends, or stop is called.
func run(t *testing.T, p *Prober) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// await waits until the only path is as it should be.
func await(t *testing.T, p *Prober, what string, ok func(Path) bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if paths := p.Paths(); len(paths) == 1 && ok(paths[0].Path) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", what, p.Paths())
		}
	}
}

func TestProbersMeasureEachOther(t *testing.T) {
	// Loopback addresses of this test alone.
	a, b := netip.MustParseAddr("127.83.1.1"), netip.MustParseAddr("127.83.1.2")
	pa, pb := New(), New()
	run(t, pa)
	stop := run(t, pb)
	pa.SetTargets(a, []Target{{"b", b, 1420}})
	pb.SetTargets(b, []Target{{"a", a, 1420}})
	await(t, pa, "measured", func(p Path) bool { return p.Up && p.Measured && p.RTT > 0 && p.MTU == 1420 })
	stop()
	await(t, pa, "down", func(p Path) bool { return !p.Up })
	select {
	case <-pa.Changed():
	default:
		t.Error("nobody was told that the path went down")
	}
	pb = New()
	run(t, pb)
	pb.SetTargets(b, nil)
	await(t, pa, "up again", func(p Path) bool { return p.Up })
	pa.SetTargets(a, nil)
	if paths := pa.Paths(); len(paths) != 0 {
		t.Errorf("without targets there are %v", paths)
	}
}

func TestParseRefusesWhatIsNoProbe(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, probeBytes), question(1, 0, netip.IPv4Unspecified())[:probeBytes-1]} {
		if _, _, ok := parse(b); ok {
			t.Errorf("%x was taken for a probe", b)
		}
	}
	if kind, sequence, ok := parse(question(7, 100, netip.IPv4Unspecified())); !ok || kind != kindQuestion || sequence != 7 {
		t.Errorf("got %d %d %v", kind, sequence, ok)
	}
}
