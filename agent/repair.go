package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/weftfabric/weft/agent/host"
)

// convergeIdentities has the identities made that attachments need and the plan lacks.
func (a *Agent) convergeIdentities(s *state, now time.Time) {
	if s.controller != connected {
		return
	}
	for _, at := range s.all() {
		n, ok := s.index.networks[at.Network]
		if !ok || !at.Port.IsZero() {
			continue
		}
		labels := at.Labels.Without(s.index.ignored)
		if !s.index.mayAttach(n.ID, labels) {
			a.start(s, now, "identity of "+at.Interface, func(ctx context.Context) error { return a.satisfy(ctx, *a.needIdentity(n.Ref, labels)) })
		}
	}
}

// convergeDeadLinks removes the ports of containers whose link has been gone for a while: the container has ended
// and nobody has said so, as after a crash of the node.
func (a *Agent) convergeDeadLinks(s *state, now time.Time) {
	for _, i := range s.ovs.Interfaces {
		at, ok := s.attachments[i.Name]
		since, dead := s.deadSince(i.Name)
		if !ok || !dead || at.Kind != kindContainer || s.locked[i.Name] != nil || now.Sub(since) < deadLinkTime {
			continue
		}
		a.start(s, now, "remove the dead port "+i.Name, func(ctx context.Context) error {
			unlock, err := a.lock(ctx, at.Interface)
			if err != nil {
				return err
			}
			defer unlock()
			a.cfg.Logger.Info("removing the port of a container that is gone", "container", at.Container.ContainerID, "interface", at.Interface)
			return a.unplug(ctx, at)
		})
	}
}

// deadSince says since when an interface has had no link. The switch tells of a link that it can't open, but not of one
// that goes while it is open.
func (s *state) deadSince(name string) (since time.Time, dead bool) {
	if since, dead = s.failedSince[name]; !dead {
		since, dead = s.goneSince[name]
	}
	return since, dead
}

// watchLinks looks from time to time for containers whose link is gone.
func (a *Agent) watchLinks(s *state, now time.Time) {
	if now.Sub(s.linksListed) < resyncInterval {
		return
	}
	before := maps.Clone(s.attachments)
	a.start(s, now, "look for links that are gone", func(ctx context.Context) error {
		links, err := a.cfg.Links.List(ctx)
		if err != nil {
			return err
		}
		return a.do(ctx, func(s *state) { s.noteGone(before, links, time.Now()) })
	})
}

// noteGone takes over which links there were after the attachments before.
func (s *state) noteGone(before map[string]attachment, links []host.Link, now time.Time) {
	s.linksListed = now
	there := map[string]bool{}
	for _, l := range links {
		there[l.Name] = true
	}
	gone := map[string]time.Time{}
	for name := range before {
		at, attached := s.attachments[name]
		if there[name] || !attached || at.Kind != kindContainer || s.locked[name] != nil {
			continue
		}
		gone[name] = now
		if since, ok := s.goneSince[name]; ok {
			gone[name] = since
		}
	}
	s.goneSince = gone
}

// convergeOrphans removes, once in a run, the links that an earlier run made and didn't come to plug.
func (a *Agent) convergeOrphans(s *state, now time.Time) {
	if s.orphansRemoved {
		return
	}
	a.start(s, now, "remove orphaned links", func(ctx context.Context) error {
		if err := a.removeOrphans(ctx); err != nil {
			return err
		}
		return a.do(ctx, func(s *state) { s.orphansRemoved = true })
	})
}

// removeOrphans removes the links of the agent that are on no bridge.
func (a *Agent) removeOrphans(ctx context.Context) error {
	links, err := a.cfg.Links.List(ctx)
	for _, l := range links {
		err = errors.Join(err, a.removeOrphan(ctx, l))
	}
	return err
}

// removeOrphan removes a link of the agent that is on no bridge.
func (a *Agent) removeOrphan(ctx context.Context, l host.Link) error {
	unlock, err := a.lock(ctx, l.Name)
	if err != nil {
		return err
	}
	defer unlock()
	used, err := ask(ctx, a, func(s *state) (bool, error) {
		_, plugged := s.ovs.Interface(l.Name)
		_, lost := s.lost[l.Name]
		return plugged || lost || s.deleting[l.Name], nil // what is being deleted needs nobody else
	})
	if err != nil || used {
		return err
	}
	a.cfg.Logger.Info("removing a link that was left over", "link", l.Name, "for", l.For)
	return a.cfg.Links.Delete(ctx, l.Name)
}
