package wireguard

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// moderate is for how long the reader waits for more packets while they come fast.
	moderate = 100 * time.Microsecond
	// fastPace is the time between packets below which they come fast, and slowPace the longest that counts.
	fastPace = 100 * time.Microsecond
	slowPace = 10 * time.Millisecond
	// paceWeight is that of the last packets in the smoothed time between them.
	paceWeight = 8
)

// moderation lets a reader wait a moment for more packets while they come fast, as network cards moderate their interrupts
// (ethtool(8), --coalesce): to wake the reader, a worker and the sender costs more than to encrypt a packet, and is then shared
// by many. A packet that comes alone never waits. It is for one goroutine.
type moderation struct {
	timer *os.File // of timerfd_create(2): those of Go's poller are exact to a millisecond only
	raw   syscall.RawConn
	pace  pace
}

func newModeration() (*moderation, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	m := &moderation{timer: os.NewFile(uintptr(fd), "timerfd"), pace: newPace()}
	if m.raw, err = m.timer.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("timerfd: %w", err), m.timer.Close())
	}
	return m, nil
}

// wait waits for as long as moderate. Where the timer fails it doesn't.
func (m *moderation) wait() {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(moderate))}
	var failed error
	if err := m.raw.Control(func(fd uintptr) { failed = unix.TimerfdSettime(int(fd), 0, &spec, nil) }); err != nil || failed != nil {
		return
	}
	_ = m.raw.Read(func(fd uintptr) (done bool) {
		var expirations [8]byte
		_, err := unix.Read(int(fd), expirations[:])
		return !errors.Is(err, unix.EAGAIN)
	})
}

func (m *moderation) close() error { return m.timer.Close() }

// pace is how fast packets come.
type pace struct {
	last time.Time
	each time.Duration // between two packets, smoothed
}

func newPace() pace { return pace{each: slowPace} }

// note takes in that there were n packets at a time.
func (p *pace) note(n int, at time.Time) {
	if n == 0 {
		return
	}
	each := min(at.Sub(p.last)/time.Duration(n), slowPace)
	p.last = at
	p.each += (each - p.each) / paceWeight
}

func (p *pace) fast() bool { return p.each < fastPace }
