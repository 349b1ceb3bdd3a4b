// Package health draws conclusions from what nodes report again and again: which tunnels lead nowhere, and which
// identities a node doesn't have any more. It keeps what it needs to know of the past in memory, and takes the time as an
// argument; nothing is lost when it forgets, only later decided.
package health

import (
	"sync"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology/overlay"
)

// State is what a node says of a tunnel.
type State uint8

// The states. Unknown is also what a node says that says nothing.
const (
	Unknown State = iota
	Up
	Down
)

// A tunnel that failed is taken back into use when both ends have called it up for a while, which doubles with each
// failure of the last minutes. So one that flaps moves traffic ever more rarely.
const (
	holdFirst = 10 * time.Second
	holdMost  = 5 * time.Minute
	forget    = 10 * time.Minute
)

// Known is what is decided already, and what others said.
type Known struct {
	// Failed reports whether a link counts as failed.
	Failed func(overlay.Link) bool
	// Other returns what another node said last of its tunnel with the one that reports.
	Other func(fabric.NodeName) State
}

// Judge decides which links count as failed. The zero value is ready for use, by any number of goroutines.
type Judge struct {
	mu    sync.Mutex
	links map[overlay.Link]*record
}

// record is the past of a link that failed.
type record struct {
	failures []time.Time // those of the last minutes, in order
	up       time.Time   // since when nobody calls it down; zero while somebody does
}

// Report takes what a node says of its tunnels, and returns the links that count differently from now on: whether as
// failed. A link fails as soon as one end says so.
func (j *Judge) Report(now time.Time, node fabric.NodeName, tunnels map[fabric.NodeName]State, k Known) map[overlay.Link]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[overlay.Link]bool{}
	for other, state := range tunnels {
		l := overlay.LinkOf(node, other)
		failed := k.Failed(l)
		switch {
		case state == Down && !failed:
			r := j.record(l)
			r.failures, r.up = append(r.recent(now), now), time.Time{}
			out[l] = true
		case state == Down:
			if r := j.record(l); !r.up.IsZero() { // it fails again while it is being watched
				r.failures, r.up = append(r.recent(now), now), time.Time{}
			}
		case state == Up && failed:
			r := j.record(l)
			if k.Other(other) == Down {
				r.up = time.Time{}
			} else if r.up.IsZero() {
				r.up = now
			}
			if !r.up.IsZero() && now.Sub(r.up) >= r.hold(now) {
				out[l] = false
			}
		case state == Up:
			if r := j.links[l]; r != nil && len(r.recent(now)) == 0 {
				delete(j.links, l)
			}
		}
	}
	return out
}

func (j *Judge) record(l overlay.Link) *record {
	if j.links == nil {
		j.links = map[overlay.Link]*record{}
	}
	if j.links[l] == nil {
		j.links[l] = &record{}
	}
	return j.links[l]
}

func (r *record) recent(now time.Time) []time.Time {
	for i, at := range r.failures {
		if now.Sub(at) < forget {
			return r.failures[i:]
		}
	}
	return nil
}

// hold is how long both ends must call the link up.
func (r *record) hold(now time.Time) time.Duration {
	hold := holdFirst
	for range len(r.recent(now)) - 1 {
		if hold *= 2; hold >= holdMost {
			return holdMost
		}
	}
	return hold
}
