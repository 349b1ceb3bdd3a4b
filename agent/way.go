package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Overlay is the node's encrypted way to others; overlay.Manager is one.
type Overlay interface {
	// Apply makes the way as it has to be; it stands once Apply returns nil.
	Apply(context.Context, overlay.Want) error
	PublicKeys() (current, next fabric.PublicKey)
	// Announce makes the next key, unless there is one; Switch uses it.
	Announce() error
	Switch() error
	Status() (overlay.Status, error)
}

// Paths measures the ways to other nodes; paths.Prober is one.
type Paths interface {
	SetTargets(local netip.Addr, targets []paths.Target)
	Paths() []paths.Measured
	// Changed yields a value after a path went up or down, or is known to carry another size than before.
	Changed() <-chan struct{}
}

const (
	wayCheck    = 5 * time.Second        // between looks whether the way still is as it was made
	wayRetry    = 200 * time.Millisecond // after a failure
	wayPatience = 5 * time.Second        // for the first try, before flows of an earlier run are changed
)

// way is what the loop knows of the node's encrypted way to others.
type way struct {
	want    overlay.Want
	from    wayFrom // what want follows from
	version uint64  // of want
	// standing is the version that was made last, made what that was, and session that of the switch in which it was: a
	// switch that restarts forgets the bridge's address, and a default route could lead tunnel packets past the way.
	standing, session uint64
	made              overlay.Want
	// revision is the plan's whose way was standing last.
	revision uint64
	problem  string
	tried    bool // in this run
}

// wayFrom tells whether a want may have changed.
type wayFrom struct {
	revision uint64
	datapath ovs.DatapathType
}

// setWay takes over what the plan asks for.
func (s *state) setWay() {
	from := wayFrom{s.revision, s.datapath}
	if s.way.from == from && s.way.version > 0 {
		return
	}
	s.way.from = from
	want := overlay.Of(&s.plan, s.datapath == ovs.System, s.wireguardPort)
	if s.way.version == 0 || !want.Equal(s.way.want) {
		s.way.want = want
		s.way.version++
	}
	if s.way.standing == s.way.version {
		s.way.revision = s.revision
	}
}

// wayStands reports whether tunnel packets may leave: they are sent in the plain by intent, or the way is made.
func (s *state) wayStands() bool {
	if !s.plan.Settings.Encryption.WireGuard {
		return true
	}
	// Peers may come, go and change their keys meanwhile: what isn't known of them yet is dropped by WireGuard.
	return s.way.want.Encrypts() && s.way.standing != 0 && s.way.made.SameLink(s.way.want) && s.way.session == s.flows.sessions
}

// enforced returns the revision of the plan that the node acts on as a whole: flows and the way to others.
func (s *state) enforced() uint64 {
	if !s.way.want.Encrypts() {
		return s.flows.revision
	}
	return min(s.flows.revision, s.way.revision)
}

// awaitsWay reports whether the flows of an earlier run may still be right, once the way has been tried.
func (s *state) awaitsWay(now time.Time) bool {
	return s.way.want.Encrypts() && !s.way.tried && now.Before(s.waitUntil.Add(wayPatience))
}

// vtep returns the outer source of the node's tunnel packets; own is the address that the node was started with.
func (s *state) vtep(own netip.Addr) netip.Addr {
	if e := s.plan.Settings.Encryption; e.WireGuard && s.plan.Settings.VTEP.IsValid() {
		return s.plan.Settings.VTEP
	}
	return own
}

// outerSource returns the address that the tunnel port has to insist on: the node's VTEP, for packets that leave and
// that arrive; none where some peers have keys and others don't, so that the VTEP of a peer decides.
func (s *state) outerSource(own netip.Addr) netip.Addr {
	if e := s.plan.Settings.Encryption; e.WireGuard && !e.Required {
		return netip.Addr{}
	}
	return s.vtep(own)
}

// convergeWay has the way made that the plan asks for, when it doesn't stand.
func (a *Agent) convergeWay(s *state) {
	if a.cfg.Overlay == nil || !s.havePlan {
		return
	}
	s.setWay()
	if s.way.version != s.way.standing || s.way.session != s.flows.sessions {
		signal(a.ways)
	}
}

// wayLoop makes the node's way to others as the plan says, and looks from time to time whether it still is.
func (a *Agent) wayLoop(ctx context.Context) {
	if a.cfg.Overlay == nil {
		return
	}
	for ctx.Err() == nil {
		pause := wayCheck
		if err := a.makeWay(ctx); err != nil && ctx.Err() == nil {
			pause = wayRetry
		}
		select {
		case <-ctx.Done():
		case <-a.ways:
		case <-time.After(pause):
		}
	}
}

// makeWay makes the way once.
func (a *Agent) makeWay(ctx context.Context) error {
	now, err := ask(ctx, a, func(s *state) (way, error) {
		w := s.way
		w.session = s.flows.sessions
		w.tried = s.havePlan && s.bridgeReady && s.flows.connected // whether there is something to try
		return w, nil
	})
	if err != nil || !now.tried {
		return err
	}
	applyCtx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	problem := a.cfg.Overlay.Apply(applyCtx, now.want)
	if problem == nil && a.cfg.Paths != nil {
		a.cfg.Paths.SetTargets(now.want.Link.Probe, now.want.Targets())
	}
	err = a.do(ctx, func(s *state) {
		s.way.tried = true
		if problem != nil {
			if was := s.way.problem; was != "encrypted way: "+problem.Error() {
				s.way.problem = "encrypted way: " + problem.Error()
				a.cfg.Logger.Warn("the encrypted way can't be made", "error", problem)
			}
			if s.way.standing == now.version {
				s.way.standing = 0 // it is not as it was any more
				s.flows.dirty = true
			}
			return
		}
		s.way.problem = ""
		stood := s.wayStands()
		s.way.standing, s.way.made, s.way.session = now.version, now.want, now.session
		if s.wayStands() != stood {
			s.flows.dirty = true
		}
		if s.way.version == now.version && s.way.revision != s.revision {
			s.way.revision = s.revision
			a.wantReport()
		}
	})
	if problem != nil {
		return problem
	}
	return err
}

// pathLoop reports at once when a path changes, and logs when one carries less than planned, or no longer does.
func (a *Agent) pathLoop(ctx context.Context) {
	if a.cfg.Paths == nil {
		return
	}
	logged := map[fabric.NodeName]int{} // what paths were found to carry
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.cfg.Paths.Changed():
			a.wantReport()
			a.logNarrow(logged)
		}
	}
}

// logNarrow logs what has changed since logged, and notes it there.
func (a *Agent) logNarrow(logged map[fabric.NodeName]int) {
	for _, p := range a.cfg.Paths.Paths() {
		was, known := logged[p.Name]
		switch {
		case p.Narrow && (!known || was != p.Path.MTU):
			a.cfg.Logger.Warn("a tunnel carries less than the fabric's underlayMTU promises", "to", p.Name, "mtu", p.Path.MTU, "planned", p.Target.MTU)
			logged[p.Name] = p.Path.MTU
		case !p.Narrow && known:
			a.cfg.Logger.Info("a tunnel carries again what is planned", "to", p.Name, "mtu", p.Target.MTU)
			delete(logged, p.Name)
		}
	}
}

// wireguardEnds returns what the controller has to know of the node's keys.
func (a *Agent) wireguardEnds() (current, next *weftv1.WireGuardEnd) {
	if a.cfg.Overlay == nil {
		return nil, nil
	}
	key, nextKey := a.cfg.Overlay.PublicKeys()
	current = &weftv1.WireGuardEnd{Key: key[:], Port: uint32(a.cfg.WireGuardPort)}
	if !nextKey.IsZero() && a.announcing.Load() {
		next = &weftv1.WireGuardEnd{Key: nextKey[:], Port: uint32(a.cfg.WireGuardPort)}
	}
	return current, next
}

// wireguardReport says how the tunnels are; nil where there are none.
func (a *Agent) wireguardReport(want overlay.Want) *weftv1.WireGuardReport {
	if a.cfg.Overlay == nil || !want.Encrypts() {
		return nil
	}
	status, err := a.cfg.Overlay.Status()
	if err != nil {
		return nil // it is among the problems, as the reason why the way can't be made
	}
	r := &weftv1.WireGuardReport{Implementation: status.Implementation, Key: status.Key[:], KeySince: timestamppb.New(status.KeySince)}
	measured := map[fabric.NodeName]paths.Measured{}
	if a.cfg.Paths != nil {
		for _, m := range a.cfg.Paths.Paths() {
			measured[m.Name] = m
		}
	}
	for _, t := range status.Tunnels {
		h := &weftv1.TunnelHealth{Node: string(t.Name), ReceivedBytes: t.Received, SentBytes: t.Sent}
		if t.Endpoint.IsValid() {
			h.Endpoint = t.Endpoint.String()
		}
		if !t.Handshake.IsZero() {
			h.Handshake = timestamppb.New(t.Handshake)
		}
		if p, ok := measured[t.Name]; ok {
			h.Sent, h.Lost, h.RttMicros, h.Mtu = uint32(p.Sent), uint32(p.Lost), uint32(p.RTT.Microseconds()), uint32(p.Path.MTU)
			h.PlannedMtu, h.Narrow = uint32(p.Target.MTU), p.Narrow
			switch {
			case !p.Up:
				h.State = weftv1.TunnelHealth_STATE_DOWN
			case p.Measured:
				h.State = weftv1.TunnelHealth_STATE_UP
			}
			if !p.Since.IsZero() {
				h.Since = timestamppb.New(p.Since)
			}
		}
		r.Tunnels = append(r.Tunnels, h)
	}
	return r
}

// tunnelProblems says which tunnels carry less than planned, for people.
func tunnelProblems(r *weftv1.WireGuardReport) []string {
	var out []string
	for _, t := range r.GetTunnels() {
		if t.Narrow {
			out = append(out, fmt.Sprintf("the tunnel to %s carries %s, but %d are planned: the underlay carries less than the Fabric's underlayMTU", t.Node, bytesOrLess(t.Mtu), t.PlannedMtu))
		}
	}
	return out
}

func bytesOrLess(mtu uint32) string {
	if mtu == 0 {
		return "hardly any packet"
	}
	return fmt.Sprintf("packets of %d bytes", mtu)
}
