package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/wire/cniwire"
)

// check reports whether a container's interface is as add left it.
func (a *Agent) check(ctx context.Context, r cniwire.Check) error {
	if err := checkAttachment(r.Attachment); err != nil {
		return err
	}
	name := hostName(r.Attachment)
	at, ok, err := a.existing(ctx, name)
	if err != nil {
		return err
	}
	if !ok || at.Container != r.Attachment {
		return refuse(cniwire.CodeNotFound, "container %s has no interface %s that is attached to the fabric", r.ContainerID, r.IfName)
	}
	type found struct {
		in       *cniwire.Interface
		flows    pipeline.Attachment
		enforced bool
		problem  string
	}
	f, err := ask(ctx, a, func(s *state) (f found, err error) {
		f.in, f.flows, err = s.describe(at)
		i, _ := s.ovs.Interface(name)
		f.enforced, f.problem = s.isEnforced(name), i.Error
		return f, err
	})
	if err != nil {
		return err
	}
	place := placeOf(at)
	if r.Netns != "" {
		place.Namespace = r.Netns
	}
	inside, err := a.cfg.Links.Inspect(ctx, place)
	if err != nil {
		return err
	}
	want := slices.SortedFunc(slices.Values(f.in.Addresses), netip.Prefix.Compare)
	bad := func(what string, got, want any) error {
		return refuse(cniwire.CodeConflict, "interface %s of container %s: its %s is %v, and should be %v", r.IfName, r.ContainerID, what, got, want)
	}
	asked := slices.SortedFunc(slices.Values(r.Addresses), netip.Prefix.Compare)
	switch {
	case f.problem != "":
		return refuse(cniwire.CodeConflict, "Open vSwitch can't use interface %s: %s", name, f.problem)
	case inside.MAC != f.in.MAC:
		return bad("MAC address", inside.MAC, f.in.MAC)
	case !r.MAC.IsZero() && r.MAC != f.in.MAC:
		return bad("MAC address as the runtime remembers it", r.MAC, f.in.MAC)
	case missing(inside.Addresses, want) != nil:
		return bad("list of addresses", inside.Addresses, want)
	case missing(want, asked) != nil:
		return bad("list of addresses as the runtime remembers it", asked, want)
	case !inside.Up:
		return bad("state", "down", "up")
	case !f.enforced:
		return refuse(cniwire.CodeUnavailable, "the flows of interface %s are not confirmed by the switch", name)
	}
	return nil
}

// missing returns what have lacks of want.
func missing(have, want []netip.Prefix) error {
	for _, p := range want {
		if !slices.Contains(have, p) {
			return fmt.Errorf("%s is missing", p)
		}
	}
	return nil
}

// status tells the agent's state; unless a brief answer is wanted, with drop counters that are read now if the switch
// answers in time.
func (a *Agent) status(ctx context.Context, r cniwire.Status) (*cniwire.AgentStatus, error) {
	if r.Brief {
		return ask(ctx, a, func(s *state) (*cniwire.AgentStatus, error) { return s.status(a.cfg.Node, a.cfg.Version), nil })
	}
	before, err := ask(ctx, a, func(s *state) (uint64, error) {
		s.flows.dumpDue = true
		return s.flows.dumped, nil
	})
	if err != nil {
		return nil, err
	}
	// Counters that are a little old are better than no answer.
	_ = a.waitFor(ctx, wait{For: "the switch's counters", Timeout: statusTimeout, Condition: func(s *state) (bool, error) {
		return s.flows.dumped > before || !s.flows.connected || !s.havePlan, nil
	}})
	return ask(ctx, a, func(s *state) (*cniwire.AgentStatus, error) { return s.status(a.cfg.Node, a.cfg.Version), nil })
}
