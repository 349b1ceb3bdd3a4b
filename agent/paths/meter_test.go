package paths

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// walk plays a network: carries says of each probe whether it is answered, and rtt after how long.
type walk struct {
	*Meter
	now      time.Time
	sequence uint32
	rtt      time.Duration
	carries  func(size int) bool
	changes  int
}

func newWalk(mtu int) *walk {
	return &walk{Meter: NewMeter(mtu), now: time.Unix(0, 0), rtt: time.Millisecond, carries: func(int) bool { return true }}
}

func (w *walk) step() {
	w.now = w.now.Add(interval)
	if w.Expire(w.now) {
		w.changes++
	}
	w.sequence++
	size := w.Size()
	w.Sent(w.sequence, size, w.now)
	if w.carries(size) && w.Answered(w.sequence, w.now.Add(w.rtt)) {
		w.changes++
	}
}

// steps returns how long it took until the path was up, or down.
func (w *walk) until(t *testing.T, up bool) time.Duration {
	t.Helper()
	start := w.now
	for range 1000 {
		if w.Path().Up == up {
			return w.now.Sub(start)
		}
		w.step()
	}
	t.Fatalf("the path never became up=%v", up)
	return 0
}

func (w *walk) steps(n int) {
	for range n {
		w.step()
	}
}

func none(int) bool { return false }
func all(int) bool  { return true }

func TestPathGoesDownWithinTwoSeconds(t *testing.T) {
	w := newWalk(1420)
	w.steps(100)
	if p := w.Path(); !p.Up || !p.Measured || p.RTT != time.Millisecond || p.Lost != 0 || p.MTU != 1420 {
		t.Fatalf("a perfect path is %+v", p)
	}
	w.carries = none
	if d := w.until(t, false); d > 2*time.Second {
		t.Errorf("down after %v", d)
	}
	w.carries = all
	if d := w.until(t, true); d > 4*time.Second {
		t.Errorf("up again after %v", d)
	}
	if p := w.Path(); p.Falls != 1 || p.Since.IsZero() || p.Lost == 0 {
		t.Errorf("afterwards it is %+v", p)
	}
}

// One lost probe, or three, change nothing.
func TestPathSurvivesShortLoss(t *testing.T) {
	w := newWalk(1420)
	for range 20 {
		w.carries = none
		w.steps(downAfter - 1)
		w.carries = all
		w.steps(5)
	}
	if w.changes != 0 {
		t.Errorf("%d changes", w.changes)
	}
}

func TestFlappingIsDamped(t *testing.T) {
	w := newWalk(1420)
	var last time.Duration
	for i := range 4 {
		w.carries = none
		w.until(t, false)
		w.carries = all
		took := w.until(t, true)
		if i > 0 && took < last*3/2 {
			t.Errorf("after fall %d it was up again after %v, after the one before %v", i+1, took, last)
		}
		last = took
	}
	w.steps(int(flapMemory/interval) + 1)
	w.carries = none
	w.until(t, false)
	w.carries = all
	if took := w.until(t, true); took > last/2 {
		t.Errorf("after a quiet time the path is still damped: %v", took)
	}
}

// An answer that comes too late is none.
func TestLateAnswers(t *testing.T) {
	w := newWalk(1420)
	w.rtt = patience + time.Millisecond
	if d := w.until(t, false); d > 2*time.Second {
		t.Errorf("down after %v", d)
	}
}

// searchTime is what the search for a size takes at most.
const searchTime = 75 * time.Second

// A path that carries less than it should is found out to the byte within a minute or so, whatever it should carry, and the
// verdict comes once and stays. Lost large probes don't bring it down. It is found out too when the path changes.
func TestUsableMTU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		should := rapid.SampledFrom([]int{1420, 1440, 8890, 65425}).Draw(t, "should")
		w := newWalk(should)
		for _, real := range rapid.SliceOfN(rapid.IntRange(smallestSize-5, should+10), 1, 4).Draw(t, "real") {
			w.carries = func(size int) bool { return size <= real }
			before := w.changes
			w.steps(int(searchTime / interval))
			// What is known already is looked at by turns: a way that grew is noticed after three turns.
			w.steps(3 * largeEvery)
			want := min(real, should)
			if want < smallestSize {
				want = 0
			}
			p := w.Path()
			if p.MTU != want || p.Narrow != (want < should) {
				t.Fatalf("usable MTU %d, narrow %v, the path carries %d", p.MTU, p.Narrow, want)
			}
			if w.changes > before+1 {
				t.Fatalf("%d changes", w.changes-before)
			}
			if !p.Up {
				t.Fatal("lost large probes brought the path down")
			}
		}
	})
}

// What is counted since the beginning only grows, and agrees with the window while that isn't full.
func TestCountsSinceTheBeginning(t *testing.T) {
	w := newWalk(1420)
	n := 0
	w.carries = func(size int) bool { n++; return size > 0 || n%10 != 0 }
	last := w.Path()
	for range 5 * window {
		w.step()
		p := w.Path()
		if p.Judged < last.Judged || p.Missed < last.Missed || p.Judged-last.Judged < p.Missed-last.Missed {
			t.Fatalf("from %+v to %+v", last, p)
		}
		if p.Sent < window && (p.Judged != uint64(p.Sent) || p.Missed != uint64(p.Lost)) {
			t.Fatalf("the window isn't full yet: %+v", p)
		}
		last = p
	}
	if last.Judged < 5*window-10 || last.Missed < last.Judged/12 || last.Missed > last.Judged/8 {
		t.Errorf("after %d steps: %+v", 5*window, last)
	}
}

// Common lies are found out sooner, and loss alone is none.
func TestSearchIsShort(t *testing.T) {
	for _, tt := range []struct {
		should, real int
		within       time.Duration
	}{{1440, 1400, 40 * time.Second}, {8940, 1440, 50 * time.Second}, {8940, 8900, 40 * time.Second}} {
		w := newWalk(tt.should)
		w.carries = func(size int) bool { return size <= tt.real }
		start := w.now
		for !w.Path().Narrow && w.now.Sub(start) < searchTime {
			w.step()
		}
		if took := w.now.Sub(start); w.Path().MTU != tt.real || took > tt.within {
			t.Errorf("%d of %d: %d after %v", tt.real, tt.should, w.Path().MTU, took)
		}
	}
	w, r := newWalk(1440), rand.New(rand.NewPCG(1, 1))
	w.carries = func(int) bool { return r.IntN(10) > 0 }
	for range 100_000 { // eight hours
		w.step()
		if w.Path().Narrow {
			t.Fatalf("loss of a tenth made the path narrow: %d", w.Path().MTU)
		}
	}
}

// Large probes are rare: one in four during a search, else one in 32.
func TestRateOfLargeProbes(t *testing.T) {
	w := newWalk(1440)
	large := 0
	w.carries = func(size int) bool {
		if size > 0 {
			large++
		}
		return size <= 1000
	}
	w.steps(4000)
	if most := int(searchTime/interval)/searchEvery + 4000/largeEvery; large > most {
		t.Errorf("%d of 4000 probes are large, at most %d should be", large, most)
	}
}

// Another plan asks for another size; whether the path is up, and for how long, stays known.
func TestExpectAnotherSize(t *testing.T) {
	w := newWalk(1440)
	w.carries = none
	w.until(t, false)
	before := w.Path()
	w.Expect(1340)
	if p := w.Path(); p.Up || p.Since != before.Since || p.Sent != before.Sent {
		t.Errorf("from %+v to %+v", before, p)
	}
	w.carries = func(size int) bool { return size <= 1340 }
	w.until(t, true)
	w.steps(2 * largeEvery)
	if p := w.Path(); p.MTU != 1340 || p.Narrow {
		t.Errorf("%+v", p)
	}
}
