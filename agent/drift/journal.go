package drift

import (
	"fmt"
	"slices"
	"time"
)

const (
	// maxEvents is how many flows a journal remembers.
	maxEvents = 50
	// maxApart is how many flows that were found different in the same way at once are remembered each.
	maxApart = 3
	// Memory is for how long an event is told after its flow was repaired.
	Memory = 10 * time.Minute
)

// Event is a difference, and when it was seen.
type Event struct {
	Difference
	Flows       int       // that are different in this way, of which this is the first
	First, Last time.Time // when it was noticed
	Times       int
	Repaired    time.Time // zero until the switch has confirmed it
}

// String says it to people.
func (e Event) String() string {
	text := fmt.Sprintf("somebody else %s a flow at %s: %s", e.Kind, clock(e.First), e.Flow)
	switch {
	case e.Kind == Setting:
		text = fmt.Sprintf("somebody else set %s at %s", e.Flow, clock(e.First))
	case e.Flows > 1:
		text = fmt.Sprintf("somebody else %s %d flows at %s: %s and others", e.Kind, e.Flows, clock(e.First), e.Flow)
	case e.Has != "":
		text += "; found was " + e.Has
	}
	switch {
	case e.Kind == Foreign:
		return text + "; it is not the fabric's to remove: remove it, or give it another table"
	case e.Times > 1:
		text += fmt.Sprintf("; %d times until %s", e.Times, clock(e.Last))
	}
	if e.Repaired.IsZero() {
		return text + "; being repaired"
	}
	return text + "; repaired at " + clock(e.Repaired)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000 MST") }

// Journal remembers what others did to the flows. The zero Journal is empty.
type Journal struct {
	events []Event // the newest last
	// Seen and Repaired count flows since the start.
	Seen, Repaired uint64
	foreign        []Event
}

// Note takes up differences that were just noticed, and are about to be repaired.
func (j *Journal) Note(now time.Time, all []Difference) {
	j.Seen += uint64(len(all))
	for len(all) > 0 {
		d, n := all[0], 1
		for n < len(all) && all[n].Kind == d.Kind {
			n++
		}
		if n <= maxApart {
			n = 1
		}
		all = all[n:]
		j.remember(now, Event{Difference: d, Flows: n})
	}
}

// NoteSettings takes up what was set about ports or the bridge, and was cleared.
func (j *Journal) NoteSettings(now time.Time, cleared []string) {
	for _, c := range cleared {
		j.Seen++
		j.Repaired++
		j.remember(now, Event{Difference: Difference{Kind: Setting, Flow: c}, Flows: 1, Repaired: now})
	}
}

// remember adds an event, or counts it when it is remembered.
func (j *Journal) remember(now time.Time, e Event) {
	e.First = now
	if i := slices.IndexFunc(j.events, func(o Event) bool { return o.Kind == e.Kind && o.Flow == e.Flow && o.Flows == e.Flows }); i >= 0 {
		e.First, e.Times = j.events[i].First, j.events[i].Times
		j.events = slices.Delete(j.events, i, i+1)
	}
	e.Last, e.Times = now, e.Times+1
	j.events = append(j.events, e)
	if len(j.events) > maxEvents {
		j.events = slices.Delete(j.events, 0, 1)
	}
}

// Confirm notes that the switch holds again what it should, and returns how many flows were repaired by that.
func (j *Journal) Confirm(now time.Time) (repaired uint64) {
	for i := range j.events {
		if j.events[i].Repaired.Before(j.events[i].Last) {
			j.events[i].Repaired = now
		}
	}
	repaired = j.Seen - j.Repaired
	j.Repaired = j.Seen
	return repaired
}

// SetForeign takes over which flows of others there are now, and returns those that are new.
func (j *Journal) SetForeign(now time.Time, all []Difference) (fresh []Difference) {
	old := j.foreign
	j.foreign = nil
	for _, d := range all[:min(len(all), maxEvents)] {
		e := Event{Difference: d, Flows: 1, First: now, Last: now, Times: 1}
		if i := slices.IndexFunc(old, func(e Event) bool { return e.Flow == d.Flow }); i >= 0 {
			e.First = old[i].First
		} else {
			fresh = append(fresh, d)
		}
		j.foreign = append(j.foreign, e)
	}
	return fresh
}

// Foreign returns how many flows of others there are now, those beyond what is remembered left out.
func (j *Journal) Foreign() int { return len(j.foreign) }

// Tell says to people what there is at a time, a line each: flows of others that are there, what is being repaired, and what
// was repaired a short while ago; the newest last.
func (j *Journal) Tell(now time.Time) []string {
	var out []string
	for _, e := range j.foreign {
		out = append(out, e.String())
	}
	for _, e := range j.events {
		if e.Repaired.IsZero() || now.Sub(e.Last) < Memory {
			out = append(out, e.String())
		}
	}
	return out
}
