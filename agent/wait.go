package agent

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// waiter is somebody who waits until the state satisfies a condition.
type waiter struct {
	ctx       context.Context
	condition func(*state) (bool, error)
	done      chan error
}

// wait is a condition on the state. An error ends the waiting.
type wait struct {
	For       string // what is waited for, for the error
	Timeout   time.Duration
	Condition func(*state) (bool, error)
}

// waitFor returns once the condition holds.
func (a *Agent) waitFor(ctx context.Context, w wait) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	entry := &waiter{ctx: ctx, condition: w.Condition, done: make(chan error, 1)}
	if err := a.send(ctx, func(s *state) { s.waiters = append(s.waiters, entry) }); err != nil {
		return fmt.Errorf("wait for %s: %w", w.For, err)
	}
	select {
	case err := <-entry.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", w.For, context.Cause(ctx))
	}
}

// wakeWaiters ends the waiting of those whose condition holds, and forgets those that gave up.
func (s *state) wakeWaiters() {
	s.waiters = slices.DeleteFunc(s.waiters, func(w *waiter) bool {
		if w.ctx.Err() != nil {
			return true
		}
		ok, err := w.condition(s)
		if ok || err != nil {
			w.done <- err
			return true
		}
		return false
	})
}

// abandonWaiters ends all waiting because the agent ends.
func (s *state) abandonWaiters() {
	for _, w := range s.waiters {
		w.done <- errStopped
	}
	s.waiters = nil
}
