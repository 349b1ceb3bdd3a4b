package health_test

import (
	"slices"
	"testing"
	"time"

	"github.com/weftfabric/weft/controller/health"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology/overlay"
)

// link is a and b's tunnel as a controller sees it, second by second.
type link struct {
	judge  health.Judge
	failed bool
	last   map[fabric.NodeName]health.State
}

var ab = overlay.LinkOf("a", "b")

// say has an end report at a second, and returns whether the link counts as failed then.
func (l *link) say(second int, node fabric.NodeName, s health.State) bool {
	other := fabric.NodeName("b")
	if node == "b" {
		other = "a"
	}
	if l.last == nil {
		l.last = map[fabric.NodeName]health.State{}
	}
	l.last[node] = s
	at := time.Unix(int64(second), 0)
	out := l.judge.Report(at, node, map[fabric.NodeName]health.State{other: s}, health.Known{
		Failed: func(overlay.Link) bool { return l.failed },
		Other:  func(n fabric.NodeName) health.State { return l.last[n] },
	})
	if failed, ok := out[ab]; ok {
		l.failed = failed
	}
	return l.failed
}

func TestLinkFailsAtOnceAndHealsLate(t *testing.T) {
	steps := []struct {
		second int
		node   fabric.NodeName
		state  health.State
		failed bool
	}{
		{0, "a", health.Up, false},
		{1, "a", health.Down, true},
		{1, "b", health.Down, true},
		{5, "a", health.Up, true},   // b still calls it down
		{6, "b", health.Up, true},   // held from here on
		{15, "a", health.Up, true},  // 9 s
		{16, "a", health.Up, false}, // 10 s
		{20, "a", health.Unknown, false},
		{60, "b", health.Down, true}, // the second failure within minutes: 20 s
		{61, "b", health.Up, true},
		{62, "a", health.Up, true},
		{75, "b", health.Up, true},
		{81, "a", health.Up, false},
		{90, "a", health.Down, true}, // the third: 40 s
		{91, "a", health.Up, true},
		{100, "b", health.Down, true}, // down again in between: the time begins anew
		{101, "b", health.Up, true},
		{180, "b", health.Up, true}, // and it is the fourth: 80 s
		{181, "b", health.Up, false},
		{2000, "a", health.Down, true}, // long after, the past is forgotten
		{2001, "a", health.Up, true},
		{2011, "a", health.Up, false},
	}
	var l link
	for _, s := range steps {
		if got := l.say(s.second, s.node, s.state); got != s.failed {
			t.Fatalf("second %d, %s says %v: failed %v, want %v", s.second, s.node, s.state, got, s.failed)
		}
	}
}

// A link that flaps every 30 s moves traffic a few times in an hour, not 120 times.
func TestFlapsAreDamped(t *testing.T) {
	var l link
	moves, before := 0, false
	for second := range 3600 {
		state := health.Up
		if second%30 < 2 {
			state = health.Down
		}
		for _, node := range []fabric.NodeName{"a", "b"} {
			if failed := l.say(second, node, state); failed != before {
				moves, before = moves+1, failed
			}
		}
	}
	if moves > 8 {
		t.Errorf("%d moves in an hour", moves)
	}
}

// After a start nothing is known of a link that counts as failed.
func TestHealAfterRestart(t *testing.T) {
	l := link{failed: true}
	if l.say(0, "a", health.Up); !l.failed {
		t.Error("healed at once")
	}
	if l.say(10, "b", health.Up); l.failed {
		t.Error("not healed")
	}
}

func TestAbsences(t *testing.T) {
	var a health.Absences
	at := func(minute int) time.Time { return time.Unix(int64(60*minute), 0) }
	ids := func(ids ...fabric.Identity) []fabric.Identity { return ids }
	steps := []struct {
		minute          int
		present, placed []fabric.Identity
		want            []fabric.Identity
	}{
		{0, ids(1), ids(1, 2, 3), nil},
		{5, ids(1, 3), ids(1, 2, 3), nil},
		{10, ids(1), ids(1, 2, 3), ids(2)},
		{12, ids(1), ids(1, 3), nil},
		{19, ids(1), ids(1, 3), nil},
		{20, ids(1), ids(1, 3), ids(3)},
	}
	for _, s := range steps {
		if got := a.Report(at(s.minute), "a", s.present, s.placed); !slices.Equal(got, s.want) {
			t.Errorf("minute %d: %v is gone, want %v", s.minute, got, s.want)
		}
	}
	if got := a.Report(at(30), "b", nil, ids(3)); len(got) != 0 {
		t.Errorf("another node's: %v", got)
	}
}
