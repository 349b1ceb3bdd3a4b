package wireguard

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	for _, row := range []struct {
		name  string
		n     int           // packets
		every time.Duration // that come together
		fast  bool
	}{
		{"a question and its answer", 1, 200 * time.Microsecond, false},
		{"one by one, fast", 1, 20 * time.Microsecond, true},
		{"in bursts", 16, time.Millisecond, true},
		{"rare bursts", 16, 5 * time.Millisecond, false},
		{"pings", 1, 10 * time.Millisecond, false},
	} {
		p, at := newPace(), time.Unix(1000, 0)
		for range 100 {
			at = at.Add(row.every)
			p.note(row.n, at)
		}
		if p.fast() != row.fast {
			t.Errorf("%s: fast is %t: %s between packets", row.name, p.fast(), p.each)
		}
		// After a pause, a packet that comes alone doesn't wait.
		at = at.Add(time.Second)
		if p.note(1, at); p.fast() {
			t.Errorf("%s: still fast after a second", row.name)
		}
		if p.note(0, at); p.last != at {
			t.Errorf("%s: no packets were noted", row.name)
		}
	}
}

func TestModerationWaits(t *testing.T) {
	m, err := newModeration()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	m.wait()
	if took := time.Since(start); took < moderate {
		t.Errorf("it waited for %s", took)
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
	m.wait() // returns at once
}
