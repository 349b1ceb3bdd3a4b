package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/weftfabric/weft/wire/cniwire"
)

const (
	// closeTimeout bounds the wait for the switch to drop the flows of what is unplugged. A switch that takes longer is busy
	// with other ports, or dead; without link and port the flows do nothing, and nobody else gets their address before they
	// are gone.
	closeTimeout = 50 * time.Millisecond
	// maxDeletions is the number of links waiting for their deletion at which it no longer waits for a quiet moment.
	maxDeletions = 64
)

// unplug removes what a request has made, or what is left of an attachment: first the flows, then the port, last the
// link. Of a container's pair the kernel needs 10 to 20 ms to let go, during which it does nothing else to any link; so
// the container's end is put aside at once, and the pair goes later. It goes on after errors.
func (a *Agent) unplug(ctx context.Context, at attachment) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	name := at.Interface
	deleting, err := ask(ctx, a, func(s *state) (bool, error) {
		s.leaving[name], s.flows.dirty = true, true
		delete(s.lost, name)
		return s.deleting[name], nil
	})
	if err != nil {
		return err
	}
	defer func() { // fails only when the agent ends
		_ = a.do(a.life, func(s *state) {
			delete(s.leaving, name)
			s.flows.dirty = true
		})
	}()
	aside := make(chan error, 1)
	go func() {
		if at.Kind != kindContainer || deleting {
			aside <- nil
			return
		}
		aside <- a.cfg.Links.Retire(ctx, placeOf(at))
	}()
	a.awaitClosed(ctx, name)
	retired := <-aside
	err = a.cfg.Database.DeletePort(ctx, name)
	switch {
	case deleting:
	case at.Kind == kindContainer && retired == nil:
		err = errors.Join(err, a.do(ctx, func(s *state) { s.deleting[name] = true }))
	case at.Kind == kindContainer || at.OwnsTap:
		err = errors.Join(err, a.cfg.Links.Delete(ctx, name))
	}
	if err != nil {
		return err
	}
	return a.waitFor(ctx, wait{For: "the database to forget " + name, Timeout: undoTimeout, Condition: func(s *state) (bool, error) {
		_, ok := s.ovs.Interface(name)
		return !ok, nil
	}})
}

// awaitClosed waits until the switch has dropped the flows of an interface that is leaving, if it can.
func (a *Agent) awaitClosed(ctx context.Context, name string) {
	_ = a.waitFor(ctx, wait{For: "the switch to drop the flows of " + name, Timeout: closeTimeout, Condition: func(s *state) (bool, error) {
		_, there := s.flows.enforced[name]
		return !there || !s.flows.connected || !s.havePlan, nil
	}})
}

// convergeDeletions deletes the pairs that were put aside, all of them at once, in a moment in which nobody makes a link
// if there is one, and at once when somebody waits.
func (a *Agent) convergeDeletions(s *state, now time.Time) {
	if len(s.deleting) == 0 {
		return
	}
	if len(s.reserved)+len(s.leaving) > 0 && len(s.deleting) < maxDeletions && !s.deletionAwaited {
		return
	}
	s.deletionAwaited = false
	const name = "delete links"
	if j := s.jobs[name]; j != nil && !j.running && j.problem == "" {
		j.next = now // what came since the last time has not been tried
	}
	names := slices.Sorted(maps.Keys(s.deleting))
	a.start(s, now, name, func(ctx context.Context) error {
		if err := a.cfg.Links.DeleteAll(ctx, names); err != nil {
			return err
		}
		return a.do(ctx, func(s *state) {
			for _, name := range names {
				delete(s.deleting, name)
			}
		})
	})
}

// awaitDeleted waits until an earlier link of that name is gone.
func (a *Agent) awaitDeleted(ctx context.Context, name string) error {
	pending, err := ask(ctx, a, func(s *state) (bool, error) {
		s.deletionAwaited = s.deletionAwaited || s.deleting[name]
		return s.deleting[name], nil
	})
	if err != nil || !pending {
		return err
	}
	return a.waitFor(ctx, wait{For: "the kernel to delete an earlier link " + name, Timeout: jobTimeout, Condition: func(s *state) (bool, error) {
		return !s.deleting[name], nil
	}})
}

// del detaches a container's interface. What is missing is no error: runtimes call DEL twice, and after failures.
func (a *Agent) del(ctx context.Context, r cniwire.Del) error {
	if err := checkAttachment(r.Attachment); err != nil {
		return err
	}
	name := hostName(r.Attachment)
	unlock, err := a.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	at, recorded, err := a.existing(ctx, name)
	if err != nil {
		return err
	}
	if !recorded {
		at = attachment{Interface: name, Kind: kindContainer, Netns: r.Netns, Container: r.Attachment}
	}
	return a.unplug(ctx, at)
}
