package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// need is something that a reservation lacks and the controller can give.
type need struct {
	what string // equal for equal needs
	// met reports whether the plan holds it by now.
	met func(*state) bool
	// get asks the controller for it, and returns once the plan holds it.
	get func(context.Context) error
}

// flight is a need that is being satisfied, for all who have it.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// satisfy gets what is needed, unless it is there or the same is under way: then it waits for that one's result. Once
// begun, it goes on when the caller gives up, until its own time is over.
func (a *Agent) satisfy(ctx context.Context, n need) error {
	fl, err := ask(ctx, a, func(s *state) (*flight, error) {
		if fl := s.flights[n.what]; fl != nil || n.met(s) {
			return fl, nil
		}
		fl := &flight{done: make(chan struct{})}
		s.flights[n.what] = fl
		a.work.Go(func() {
			ctx, cancel := context.WithTimeout(a.life, controllerTimeout+planTimeout)
			defer cancel()
			fl.err = n.get(ctx)
			_ = a.do(a.life, func(s *state) { delete(s.flights, n.what) }) // fails only when the agent ends
			close(fl.done)
		})
		return fl, nil
	})
	if err != nil || fl == nil {
		return err
	}
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lease names what a block is leased for.
type lease struct {
	network fabric.NetworkRef
	subnet  string
	family  family // 0: whichever the subnet has, when the plan doesn't tell
}

// needLease leases a block and waits until the plan holds it.
func (a *Agent) needLease(l lease) *need {
	met := func(s *state) bool {
		n, ok := s.index.networks[l.network]
		if !ok || l.family == 0 {
			return ok
		}
		sub, ok := subnetOf(n, l.subnet)
		if ok {
			_, ok = s.pool(n, sub, l.family).Next(netip.Addr{})
		}
		return ok
	}
	return &need{fmt.Sprintf("lease an IPv%d block of network %s, subnet %q", l.family, l.network, l.subnet), met, func(ctx context.Context) error {
		block, err := a.leaseBlock(ctx, l)
		if err != nil {
			return fromController(fmt.Sprintf("lease a block of addresses of network %s", l.network), err)
		}
		a.cfg.Logger.Info("leased a block of addresses", "network", l.network, "block", block)
		return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold the lease of %s", block), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
			return s.holdsLease(l.network, block), nil
		}})
	}}
}

// holdsLease reports whether the plan leases a block to this node.
func (s *state) holdsLease(network fabric.NetworkRef, block netip.Prefix) bool {
	n, ok := s.index.networks[network]
	return ok && slices.ContainsFunc(n.Subnets, func(sub plan.Subnet) bool {
		return slices.Contains(s.index.leases[poolKey{n.ID, sub.Name, familyOf(block.Addr())}], block)
	})
}

// leaseBlock asks the controller; of a network that the plan doesn't hold yet it asks for whatever family there is.
func (a *Agent) leaseBlock(ctx context.Context, l lease) (block netip.Prefix, err error) {
	ctx, cancel := context.WithTimeout(ctx, controllerTimeout)
	defer cancel()
	for _, f := range bothFamilies[:] {
		if l.family != 0 && l.family != f {
			continue
		}
		request := &weftv1.LeaseBlockRequest{Network: l.network.String(), Subnet: l.subnet, Family: weftv1.LeaseBlockRequest_FAMILY_IPV4}
		if f == 6 {
			request.Family = weftv1.LeaseBlockRequest_FAMILY_IPV6
		}
		if block, err = a.cfg.Controller.LeaseBlock(ctx, request); err == nil || !isCode(fromController("", err), cniwire.CodeNotFound) {
			return block, err
		}
	}
	return block, err
}

// needIdentity has the identity of a label set made, and waits until the plan holds it. Ignored labels are left out.
func (a *Agent) needIdentity(network fabric.NetworkRef, labels fabric.Labels) *need {
	what := fmt.Sprintf("resolve the labels %s of network %s", labels, network)
	met := func(s *state) bool {
		n, ok := s.index.networks[network]
		if ok {
			ok = s.index.mayAttach(n.ID, labels)
		}
		return ok
	}
	return &need{what, met, func(ctx context.Context) error {
		callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
		defer cancel()
		id, err := a.cfg.Controller.ResolveIdentity(callCtx, &weftv1.ResolveIdentityRequest{Network: network.String(), Labels: labels})
		if err != nil {
			return fromController(what, err)
		}
		return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold identity %s", id), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
			return met(s), nil
		}})
	}}
}

// needPort has the Port bound to this node that an attachment wants, and waits until the plan holds it. The controller
// refuses it to an attachment that can't have it.
func (a *Agent) needPort(want attachment) *need {
	ref, request := want.Port, bindRequest(want.Port.String(), want)
	what := fmt.Sprintf("bind port %s", ref)
	if request.Mac != "" || len(request.Addresses) > 0 {
		what += fmt.Sprintf(" as %s", strings.Join(append(request.Addresses, request.Mac), " "))
	}
	met := func(s *state) bool {
		_, ok := s.index.ports[ref]
		return ok
	}
	return &need{what, met, func(ctx context.Context) error {
		callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
		defer cancel()
		if _, err := a.cfg.Controller.BindPort(callCtx, request); err != nil {
			return fromController(what, err)
		}
		return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold port %s", ref), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
			return met(s), nil
		}})
	}}
}

// bindRequest asks for a Port, by name or UID, with what its attachment has.
func bindRequest(port string, at attachment) *weftv1.BindPortRequest {
	r := &weftv1.BindPortRequest{Port: port}
	if !at.MAC.IsZero() {
		r.Mac = at.MAC.String()
	}
	for _, addr := range at.Addresses {
		r.Addresses = append(r.Addresses, addr.String())
	}
	return r
}

// lockToken tells one lock from a later one of the same name.
type lockToken struct{ name string }

// lock makes the caller the only one that works on an interface. The returned function ends that.
func (a *Agent) lock(ctx context.Context, name string) (unlock func(), err error) {
	token := &lockToken{name}
	release := func() {
		_ = a.do(a.life, func(s *state) { // fails only when the agent ends
			if s.locked[name] == token {
				delete(s.locked, name)
			}
		})
	}
	err = a.waitFor(ctx, wait{For: "an earlier request for " + name, Timeout: requestTimeout, Condition: func(s *state) (bool, error) {
		if s.locked[name] != nil {
			return false, nil
		}
		s.locked[name] = token
		return true, nil
	}})
	if err != nil {
		release() // the lock may have been given while the caller gave up
		return nil, err
	}
	return release, nil
}
