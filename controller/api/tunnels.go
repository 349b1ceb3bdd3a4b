package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/health"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology/overlay"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// keysWait is how long Register waits for the other ends of a node's tunnels to act on its keys.
const keysWait = 5 * time.Second

// wireGuard reads a key and its port; none is zero.
func wireGuard(m *weftv1.WireGuardEnd) (compile.WireGuard, error) {
	if m == nil {
		return compile.WireGuard{}, nil
	}
	var w compile.WireGuard
	if len(m.Key) != len(w.Key) {
		return w, badArgument("the WireGuard key has %d bytes, not %d", len(m.Key), len(w.Key))
	}
	if w.Key = fabric.PublicKey(m.Key); w.Key.IsZero() {
		return w, badArgument("the WireGuard key is all zero")
	}
	if m.Port > 65535 {
		return w, badArgument("the WireGuard port %d is out of range 0-65535", m.Port)
	}
	w.Port = uint16(m.Port)
	return w, nil
}

// The time that a node waits for its turn to change its key, in all and between looks.
const (
	turnWait  = 15 * time.Second
	turnCheck = 200 * time.Millisecond
)

// errNotYet says that it isn't a node's turn to change its key.
var errNotYet = errors.New("a neighbour changes its key")

// register announces a node. Of neighbours one at a time changes its key, because handshakes of two that do so at once can
// miss each other: a next key is taken once no neighbour has one. When that takes too long, the node is announced without.
func (s *nodeService) register(ctx context.Context, name fabric.NodeName, n compile.NodeState) (revision uint64, view *state.View, turn bool, err error) {
	for deadline := s.Now().Add(turnWait); ; {
		revision, view, err = s.commit(ctx, func(v *state.View) (state.Batch, error) {
			if n.Next != (compile.WireGuard{}) && n.Next != v.Nodes[name].Next && s.neighbourRotates(v, name) {
				return state.Batch{}, errNotYet
			}
			return edit.Register(v, name, n)
		})
		if !errors.Is(err, errNotYet) {
			return revision, view, err == nil, err
		}
		if s.Now().After(deadline) {
			n.Next = compile.WireGuard{}
			revision, view, err = s.commit(ctx, func(v *state.View) (state.Batch, error) { return edit.Register(v, name, n) })
			return revision, view, false, err
		}
		select {
		case <-ctx.Done():
			return 0, nil, false, toConnect(ctx.Err())
		case <-time.After(turnCheck/2 + rand.N(turnCheck)):
		}
	}
}

// neighbourRotates reports whether a connected node with a tunnel to name has announced its next key. One that isn't
// connected may have died on the way.
func (s *nodeService) neighbourRotates(v *state.View, name fabric.NodeName) bool {
	statuses, _ := s.Store.Statuses()
	now := s.Now()
	own, _ := s.Planner.Planned(name)
	return slices.ContainsFunc(own.Plan.Tunnels, func(t plan.Tunnel) bool {
		return v.Nodes[t.Name].Next != (compile.WireGuard{}) && statuses[t.Name].Connected(now)
	})
}

// waitKeys returns once every connected node with a tunnel to the calling one acts on a revision; false when the time
// for that is up.
func (s *nodeService) waitKeys(ctx context.Context, revision uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, keysWait)
	defer cancel()
	for {
		statuses, changed := s.Store.Statuses()
		waiting := s.untold(statuses, node(ctx), revision)
		if waiting == "" {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.Log.Warn("a node is slow to learn the WireGuard keys of another", "waiting", waiting, "keys", node(ctx))
			return false
		}
	}
}

// untold returns a connected node with a tunnel to self that doesn't act on a revision yet, or "".
func (s *nodeService) untold(statuses map[fabric.NodeName]store.Status, self fabric.NodeName, revision uint64) fabric.NodeName {
	now := s.Now()
	own, _ := s.Planner.Planned(self)
	for _, t := range own.Plan.Tunnels {
		p, ok := s.Planner.Planned(t.Name)
		if st := statuses[t.Name]; ok && st.Connected(now) && !enforces(p, st, revision) {
			return t.Name
		}
	}
	return ""
}

// place notes that the calling node has workloads of an identity, and returns the view and the revision that other
// nodes have to know.
func (s *nodeService) place(ctx context.Context, view *state.View, id fabric.Identity, made uint64) (*state.View, uint64, error) {
	if edit.Place(view, node(ctx), id).Empty() {
		return view, made, nil
	}
	_, view, err := s.commit(ctx, func(v *state.View) (state.Batch, error) { return edit.Place(v, node(ctx), id), nil })
	if err != nil {
		return nil, 0, err
	}
	return view, view.Revision, nil
}

// observe draws the conclusions of a report: about tunnels, and about identities that are gone.
func (s *nodeService) observe(ctx context.Context, name fabric.NodeName, r *weftv1.NodeReport) error {
	planned, ok := s.Planner.Planned(name)
	if !ok {
		return nil
	}
	view, now := s.Store.View(), s.Now()
	links := s.judge.Report(now, name, tunnelStates(planned.Plan, r), health.Known{
		Failed: func(l overlay.Link) bool { return view.Failed[l] },
		Other: func(other fabric.NodeName) health.State {
			return stateOf(s.Store.Status(other), name, now)
		},
	})
	var present []fabric.Identity
	for _, a := range r.Attachments {
		present = append(present, fabric.Identity(a.Identity))
	}
	slices.Sort(present)
	present = slices.Compact(present)
	var gone, unplaced []fabric.Identity
	if view.Intent.Settings().StrictIdentity {
		gone = s.absences.Report(now, name, present, placedOn(view, name))
		unplaced = slices.DeleteFunc(present, func(id fabric.Identity) bool { return edit.Place(view, name, id).Empty() })
	}
	if len(gone)+len(unplaced) > 0 {
		if _, err := s.Store.Update(ctx, func(v *state.View) (state.Batch, error) {
			b := edit.Displace(v, name, gone)
			for _, id := range unplaced { // attached just when the placement ended
				b.Changes = append(b.Changes, edit.Place(v, name, id).Changes...)
			}
			return b, nil
		}); err != nil {
			return err
		}
	}
	for l, failed := range links {
		s.Log.Info("a tunnel changed", "from", l.A, "to", l.B, "failed", failed, "reported by", name)
	}
	return s.links.put(ctx, links)
}

// tunnelStates returns what a report says of the tunnels that the node has.
func tunnelStates(n plan.Node, r *weftv1.NodeReport) map[fabric.NodeName]health.State {
	out := map[fabric.NodeName]health.State{}
	for _, t := range r.GetWireguard().GetTunnels() {
		other := fabric.NodeName(t.Node)
		if slices.ContainsFunc(n.Tunnels, func(have plan.Tunnel) bool { return have.Name == other }) {
			out[other] = healthState(t.State)
		}
	}
	return out
}

func healthState(s weftv1.TunnelHealth_State) health.State {
	switch s {
	case weftv1.TunnelHealth_STATE_UP:
		return health.Up
	case weftv1.TunnelHealth_STATE_DOWN:
		return health.Down
	}
	return health.Unknown
}

// stateOf returns what a connected node said last of its tunnel with another.
func stateOf(st store.Status, with fabric.NodeName, now time.Time) health.State {
	if !st.Connected(now) {
		return health.Unknown
	}
	var r weftv1.NodeReport
	if err := proto.Unmarshal(st.Report, &r); err != nil {
		return health.Unknown
	}
	for _, t := range r.GetWireguard().GetTunnels() {
		if t.Node == string(with) {
			return healthState(t.State)
		}
	}
	return health.Unknown
}

// placedOn returns the identities that are placed on a node, in order.
func placedOn(v *state.View, name fabric.NodeName) []fabric.Identity {
	var out []fabric.Identity
	for p := range v.Placed {
		if p.Node == name {
			out = append(out, p.Identity)
		}
	}
	slices.Sort(out)
	return out
}
