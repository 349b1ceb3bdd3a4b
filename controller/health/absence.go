package health

import (
	"slices"
	"sync"
	"time"

	"github.com/weftfabric/weft/fabric"
)

// absentFor is how long a node's reports must lack an identity before it counts as gone: longer than any attachment
// takes from the question for its identity to the next report.
const absentFor = 10 * time.Minute

// Absences decides which identities a node doesn't have any more. The zero value is ready for use, by any number of
// goroutines.
type Absences struct {
	mu    sync.Mutex
	since map[fabric.NodeName]map[fabric.Identity]time.Time
}

// Report takes the identities that a node reports and those that are placed on it, and returns those of the latter that
// it has lacked for long enough, in order.
func (a *Absences) Report(now time.Time, node fabric.NodeName, present, placed []fabric.Identity) []fabric.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.since[node]
	since := map[fabric.Identity]time.Time{}
	var gone []fabric.Identity
	for _, id := range placed {
		if slices.Contains(present, id) {
			continue
		}
		at, known := before[id]
		if !known {
			at = now
		}
		since[id] = at
		if now.Sub(at) >= absentFor {
			gone = append(gone, id)
		}
	}
	if a.since == nil {
		a.since = map[fabric.NodeName]map[fabric.Identity]time.Time{}
	}
	if a.since[node] = since; len(since) == 0 {
		delete(a.since, node)
	}
	slices.Sort(gone)
	return gone
}
