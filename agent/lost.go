package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
)

// keepLost remembers what was attached before a new connection to the database shows it no more: its file was damaged
// or replaced while the server was down. The caller is about to take over what the database says now. Interfaces that a
// request works on are that request's; those that others plugged, they have to plug again.
func (s *state) keepLost(o ovs.State) {
	for name, at := range s.attachments {
		if _, there := o.Interface(name); !there && at.Kind != kindBound && s.locked[name] == nil {
			s.lost[name] = at
		}
	}
}

// forgetFound forgets what was lost and is in the database again.
func (s *state) forgetFound() {
	for _, i := range s.ovs.Interfaces {
		delete(s.lost, i.Name)
	}
}

// lostProblems says what is about to be plugged again.
func (s *state) lostProblems() (out []string) {
	for name := range s.lost {
		out = append(out, fmt.Sprintf("interface %s: Open vSwitch's database has lost it; it is plugged again", name))
	}
	slices.Sort(out)
	return out
}

// convergeLost plugs again what the database has lost. Until then the addresses stay taken.
func (a *Agent) convergeLost(s *state, now time.Time) {
	if !s.bridgeReady || s.ovs.Bridge.Name == "" {
		return
	}
	for name := range s.lost {
		if s.locked[name] == nil {
			a.start(s, now, "plug "+name+" again", func(ctx context.Context) error { return a.plugAgain(ctx, name) })
		}
	}
}

// plugAgain plugs a lost interface, as it was recorded. A container's whose link is gone as well stays lost.
func (a *Agent) plugAgain(ctx context.Context, name string) error {
	unlock, err := a.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	var (
		at   attachment
		lost bool
	)
	if err := a.do(ctx, func(s *state) { at, lost = s.lost[name] }); err != nil || !lost {
		return err
	}
	links, err := a.cfg.Links.List(ctx)
	if err != nil {
		return err
	}
	if at.Kind == kindContainer && !slices.ContainsFunc(links, func(l host.Link) bool { return l.Name == name }) {
		a.cfg.Logger.Warn("Open vSwitch's database has lost a container whose link is gone, too", "interface", name, "container", at.Container.ContainerID)
		return a.do(ctx, func(s *state) { delete(s.lost, name) })
	}
	a.cfg.Logger.Warn("Open vSwitch's database has lost an interface: plugging it again", "interface", name, "for", at.Name)
	return a.cfg.Database.AddPort(ctx, ovs.PortSpec{Name: name, ExternalIDs: withoutEmpty(at.externalIDs())})
}
