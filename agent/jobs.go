package agent

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// maxJobs bounds the jobs that run at the same time.
const maxJobs = 16

// job is something that the loop wants done, outside the loop. A job that fails is tried again with growing
// pauses, as long as the loop still wants it.
type job struct {
	running bool
	next    time.Time // not before
	backoff time.Duration
	problem string // of the last try
	wanted  bool   // since the last pass of the loop
}

// start runs f with a deadline unless the job runs already or has to pause. What f returns becomes the job's
// problem; what it changes comes back to the loop as an event of its own.
func (a *Agent) start(s *state, now time.Time, name string, f func(context.Context) error) {
	j := s.jobs[name]
	if j == nil {
		j = &job{}
		s.jobs[name] = j
	}
	j.wanted = true
	if j.running || now.Before(j.next) || s.runningJobs() >= maxJobs {
		return
	}
	j.running = true
	a.work.Go(func() {
		ctx, cancel := context.WithTimeout(a.life, jobTimeout)
		defer cancel()
		err := f(ctx)
		_ = a.send(a.life, func(s *state) { j.finish(name, err, time.Now()) }) // fails only when the agent ends
	})
}

// finish notes a job's result.
func (j *job) finish(name string, err error, now time.Time) {
	j.running = false
	if err == nil {
		j.problem, j.backoff, j.next = "", 0, now.Add(jobCooldown)
		return
	}
	j.problem = name + ": " + err.Error()
	j.backoff = min(max(2*j.backoff, minBackoff), maxBackoff)
	j.next = now.Add(j.backoff/2 + rand.N(j.backoff/2))
}

// runningJobs counts the jobs that run.
func (s *state) runningJobs() int {
	n := 0
	for _, j := range s.jobs {
		if j.running {
			n++
		}
	}
	return n
}

// nextJob forgets the jobs that nobody wants any more, and returns after how long the loop has to look again.
func (s *state) nextJob(now time.Time) time.Duration {
	wait := resyncInterval
	maps.DeleteFunc(s.jobs, func(_ string, j *job) bool { return !j.wanted && !j.running && now.After(j.next) })
	full := s.runningJobs() >= maxJobs // then the end of one of them is the next event
	for _, j := range s.jobs {
		if j.wanted && !j.running && !full {
			wait = min(wait, max(j.next.Sub(now), time.Millisecond))
		}
		j.wanted = false
	}
	if f := &s.flows; f.dirty && f.connected && f.synced && !f.busy {
		wait = time.Millisecond // what was rendered last is not what is wanted by now
	}
	if !s.flows.retryAt.IsZero() {
		wait = min(wait, max(s.flows.retryAt.Sub(now), time.Millisecond))
	}
	return wait
}

// jobProblems returns what failed and will be tried again.
func (s *state) jobProblems() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
		if p := s.jobs[name].problem; p != "" {
			out = append(out, p)
		}
	}
	return out
}
