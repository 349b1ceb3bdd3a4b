package agent

import (
	"context"
	"time"

	"github.com/weftfabric/weft/agent/ovs"
)

// convergeShields keeps the node's own network stack off the interfaces that others have plugged and the agent has
// bound, while vswitchd forwards in userspace: what the guest sends would else reach the node's addresses past every
// policy. It takes the shield off what is bound no more.
func (a *Agent) convergeShields(s *state, now time.Time) {
	if s.shields == nil {
		a.start(s, now, "find shielded links", a.findShields)
		return
	}
	wanted := map[string]uint32{}
	for _, i := range s.ovs.Interfaces {
		at, ok := s.attachments[i.Name]
		if ok && at.Kind == kindBound && i.Type == "" && i.OFPort != 0 && s.datapath != ovs.System {
			wanted[i.Name] = i.OFPort
		}
	}
	for name, port := range wanted {
		if have, ok := s.shields[name]; !ok || have != port { // another number: perhaps another device of that name
			a.start(s, now, "shield "+name, func(ctx context.Context) error {
				if err := a.cfg.Links.Shield(ctx, name); err != nil {
					return err
				}
				return a.do(ctx, func(s *state) { s.shields[name] = port })
			})
		}
	}
	for name := range s.shields {
		if _, ok := wanted[name]; !ok {
			a.start(s, now, "unshield "+name, func(ctx context.Context) error {
				if err := a.cfg.Links.Unshield(ctx, name); err != nil {
					return err
				}
				return a.do(ctx, func(s *state) { delete(s.shields, name) })
			})
		}
	}
}

// findShields takes over what an earlier run has shielded.
func (a *Agent) findShields(ctx context.Context) error {
	names, err := a.cfg.Links.Shielded(ctx)
	if err != nil {
		return err
	}
	return a.do(ctx, func(s *state) {
		s.shields = map[string]uint32{}
		for _, name := range names {
			s.shields[name] = 0
		}
	})
}
