package paths

import (
	"time"
)

const (
	// A path is down once downAfter probes in a row have stayed without an answer, each for patience.
	downAfter = 4
	patience  = 500 * time.Millisecond
	// A path that was down is up again after upAfter answers in a row, and more of them the more often it fell lately: each
	// fall within flapMemory doubles their number.
	upAfter    = 10
	maxUpAfter = 160
	flapMemory = 5 * time.Minute
	// window is the number of probes over which losses are counted: about a minute's.
	window = 200
)

// Path is what is known of the way to a target.
type Path struct {
	// Up says that packets arrive. A path begins up: not knowing is no reason to lead packets elsewhere.
	Up bool
	// Measured says that a probe has been answered, so that RTT means something.
	Measured bool
	// Since is when Up became what it is; zero before the first change.
	Since time.Time
	// Lost of the last Sent small probes stayed without an answer.
	Sent, Lost int
	// Judged counts the probes that were answered or given up since the measuring began, and Missed those that were given up.
	// Large ones that were given up count as neither: they tell of the MTU.
	Judged, Missed uint64
	// RTT is the smoothed round trip (RFC 6298, section 2: SRTT).
	RTT time.Duration
	// MTU is the largest packet that is known to pass, in bytes; 0 before the first large probe was answered. Narrow says that
	// larger ones were tried, again and again, and don't.
	MTU    int
	Narrow bool
	// Falls counts how often the path went down.
	Falls int
}

// Meter judges one path. The zero value isn't one; see NewMeter.
type Meter struct {
	path Path
	// outstanding are the probes without an answer, in the order in which they were sent.
	outstanding []probe
	results     [window]bool // a ring; true: lost
	next        int
	lost        int // in a row
	answered    int // in a row
	needed      int // answers in a row, to be up again
	fell        time.Time

	sizes sizes
}

type probe struct {
	sequence uint32
	at       time.Time
	size     int
}

// NewMeter returns the meter of a path that should carry packets of mtu bytes.
func NewMeter(mtu int) *Meter {
	return &Meter{path: Path{Up: true}, needed: upAfter, sizes: newSizes(mtu)}
}

// Expect says that the path should carry packets of mtu bytes from now on. Whether it is up doesn't depend on that.
func (m *Meter) Expect(mtu int) { m.sizes = newSizes(mtu) }

// Path returns what is known.
func (m *Meter) Path() Path {
	p := m.path
	p.MTU, p.Narrow = m.sizes.passes, m.sizes.narrow
	return p
}

// Size returns how large the next probe should be, in bytes; 0 for a small one.
func (m *Meter) Size() int {
	if !m.path.Up {
		return 0
	}
	return m.sizes.size()
}

// Sent notes a probe.
func (m *Meter) Sent(sequence uint32, size int, at time.Time) {
	m.outstanding = append(m.outstanding, probe{sequence, at, size})
}

// Answered notes an answer, and reports whether the path went up, or is known to carry another size than before. One that
// comes too late, or twice, counts for nothing.
func (m *Meter) Answered(sequence uint32, at time.Time) (changed bool) {
	for i, p := range m.outstanding {
		if p.sequence != sequence {
			continue
		}
		m.outstanding = append(m.outstanding[:i], m.outstanding[i+1:]...)
		if at.Sub(p.at) > patience {
			return m.miss(p, at)
		}
		return m.hit(p, at)
	}
	return false
}

// Expire gives up probes that have waited long enough. It reports whether the path went down, or is known to carry another
// size than before.
func (m *Meter) Expire(at time.Time) (changed bool) {
	for len(m.outstanding) > 0 && at.Sub(m.outstanding[0].at) > patience {
		p := m.outstanding[0]
		m.outstanding = m.outstanding[1:]
		changed = m.miss(p, at) || changed
	}
	return changed
}

func (m *Meter) hit(p probe, at time.Time) bool {
	rtt := at.Sub(p.at)
	if m.path.Measured {
		rtt = m.path.RTT + (rtt-m.path.RTT)/8
	}
	m.path.RTT, m.path.Measured = rtt, true
	changed := p.size > 0 && m.sizes.answered(p.size)
	m.result(false)
	m.lost = 0
	m.answered++
	if m.path.Up || m.answered < m.needed {
		return changed
	}
	m.path.Up, m.path.Since = true, at
	return true
}

func (m *Meter) miss(p probe, at time.Time) bool {
	if p.size > 0 {
		// A lost large probe says nothing of whether the path is up.
		return m.sizes.missed(p.size)
	}
	m.result(true)
	m.answered = 0
	m.lost++
	if !m.path.Up || m.lost < downAfter {
		return false
	}
	m.path.Falls++
	if m.path.Falls > 1 && at.Sub(m.fell) < flapMemory {
		m.needed = min(2*m.needed, maxUpAfter)
	} else {
		m.needed = upAfter
	}
	m.fell = at
	m.sizes.forget()
	m.path.Up, m.path.Since = false, at
	return true
}

// result counts the losses among the last probes.
func (m *Meter) result(lost bool) {
	m.path.Judged++
	if lost {
		m.path.Missed++
	}
	if m.path.Sent < window {
		m.path.Sent++
	} else if m.results[m.next] {
		m.path.Lost--
	}
	if lost {
		m.path.Lost++
	}
	m.results[m.next] = lost
	m.next = (m.next + 1) % window
}
