package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// need is something that a reservation lacks and the controller can give. It returns once the plan holds it.
type need func(context.Context) error

// flight is a need that is being satisfied, for all who have it.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// once runs f, unless the same is under way: then it waits for that one's result. f lives on when the caller gives
// up, until its own time is over.
func (a *Agent) once(ctx context.Context, key string, f func(context.Context) error) error {
	fl, err := ask(ctx, a, func(s *state) (*flight, error) {
		if fl := s.flights[key]; fl != nil {
			return fl, nil
		}
		fl := &flight{done: make(chan struct{})}
		s.flights[key] = fl
		a.work.Go(func() {
			ctx, cancel := context.WithTimeout(a.life, controllerTimeout+planTimeout)
			defer cancel()
			fl.err = f(ctx)
			_ = a.do(a.life, func(s *state) { delete(s.flights, key) }) // fails only when the agent ends
			close(fl.done)
		})
		return fl, nil
	})
	if err != nil {
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
func (a *Agent) needLease(l lease) need {
	return func(ctx context.Context) error {
		what := fmt.Sprintf("lease an IPv%d block of network %s subnet %q", l.family, l.network, l.subnet)
		return a.once(ctx, what, func(ctx context.Context) error {
			block, err := a.leaseBlock(ctx, l)
			if err != nil {
				return fromController(fmt.Sprintf("lease a block of addresses of network %s", l.network), err)
			}
			a.cfg.Logger.Info("leased a block of addresses", "network", l.network, "block", block)
			return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold the lease of %s", block), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
				n, ok := s.index.networks[l.network]
				return ok && slices.ContainsFunc(bothFamilies[:], func(f family) bool {
					return slices.ContainsFunc(n.Subnets, func(sub plan.Subnet) bool {
						return slices.Contains(s.index.leases[poolKey{n.ID, sub.Name, f}], block)
					})
				}), nil
			}})
		})
	}
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

// needIdentity has the identity of a label set made, and waits until the plan holds it.
func (a *Agent) needIdentity(network fabric.NetworkRef, labels fabric.Labels) need {
	return func(ctx context.Context) error {
		what := fmt.Sprintf("resolve the labels %s of network %s", labels, network)
		return a.once(ctx, what, func(ctx context.Context) error {
			callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
			defer cancel()
			id, err := a.cfg.Controller.ResolveIdentity(callCtx, &weftv1.ResolveIdentityRequest{Network: network.String(), Labels: labels})
			if err != nil {
				return fromController(what, err)
			}
			return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold identity %s", id), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
				n, ok := s.index.networks[network]
				if !ok {
					return false, nil
				}
				_, ok = s.index.identity(n.ID, labels.Without(s.index.ignored))
				return ok, nil
			}})
		})
	}
}

// needPort has a Port bound to this node, and waits until the plan holds it.
func (a *Agent) needPort(ref fabric.PortRef) need {
	return func(ctx context.Context) error {
		what := fmt.Sprintf("bind port %s", ref)
		return a.once(ctx, what, func(ctx context.Context) error {
			callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
			defer cancel()
			if _, err := a.cfg.Controller.BindPort(callCtx, ref.String()); err != nil {
				return fromController(what, err)
			}
			return a.waitFor(ctx, wait{For: fmt.Sprintf("the plan to hold port %s", ref), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
				_, ok := s.index.ports[ref]
				return ok, nil
			}})
		})
	}
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
