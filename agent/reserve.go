package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
)

// maxNeeds bounds the questions to the controller for one reservation: a lease of each family, an identity, a
// Port, and more because requests that came at the same time may take what was leased.
const maxNeeds = 32

// reserve turns what is wanted into an attachment with identity and addresses, and keeps those for the caller until
// release. What the plan lacks, it asks the controller for.
func (a *Agent) reserve(ctx context.Context, want attachment) (attachment, error) {
	if !want.Port.IsZero() {
		if err := a.do(ctx, func(s *state) { s.placing++ }); err != nil {
			return attachment{}, err
		}
		defer func() { _ = a.do(a.life, func(s *state) { s.placing-- }) }() // fails only when the agent ends
	}
	if err := a.knowAttachments(ctx); err != nil {
		return attachment{}, err
	}
	for range maxNeeds {
		var lacking *need
		got, err := ask(ctx, a, func(s *state) (got attachment, err error) {
			if !s.havePlan {
				return got, refuse(cniwire.CodeUnavailable, "this node has no plan yet; controller: %s", s.controller)
			}
			got, lacking, err = a.tryReserve(s, want)
			return got, err
		})
		if err != nil {
			return attachment{}, err
		}
		if lacking == nil {
			return got, nil
		}
		if err := a.satisfy(ctx, *lacking); err != nil {
			return attachment{}, err
		}
	}
	return attachment{}, refuse(cniwire.CodeUnavailable, "others took every address that was leased for %s: try again", want.Interface)
}

// release gives back what reserve kept. The record in the database, if there is one, stands for itself.
func (a *Agent) release(name string) {
	_ = a.do(a.life, func(s *state) { // fails only when the agent ends
		delete(s.reserved, name)
		s.flows.dirty = s.flows.dirty || !s.isEnforced(name)
	})
}

// tryReserve reserves, or says what is lacking.
func (a *Agent) tryReserve(s *state, want attachment) (attachment, *need, error) {
	got := want
	var fixed []netip.Addr
	if !want.Port.IsZero() {
		for _, o := range s.all() {
			if o.Port == want.Port && o.Interface != want.Interface {
				return got, nil, refuse(cniwire.CodeConflict, "port %s is attached to interface %s of this node: detach it there first", want.Port, o.Interface)
			}
		}
		if s.isReleasing(want.Port) {
			return got, a.needReleased(want.Port), nil
		}
		p, ok := s.index.ports[want.Port]
		if !ok {
			return got, a.needPort(want), nil
		}
		if !want.MAC.IsZero() && want.MAC != p.MAC {
			return got, nil, refuse(cniwire.CodeInvalid, "port %s has the MAC address %s, not %s", p.Ref, p.MAC, want.MAC)
		}
		got.MAC, got.Network, got.Subnet, fixed = p.MAC, s.index.refs[p.Network], p.Subnet, p.Addresses
	}
	n, ok := s.index.networks[got.Network]
	if !ok {
		return got, a.needLease(lease{network: got.Network, subnet: got.Subnet}), nil
	}
	sub, err := chooseSubnet(n, got)
	if err != nil {
		return got, nil, err
	}
	got.Subnet = sub.Name
	if want.Port.IsZero() {
		labels := got.Labels.Without(s.index.ignored)
		if !s.index.mayAttach(n.ID, labels) {
			return got, a.needIdentity(n.Ref, labels), nil
		}
	}
	if got.Addresses, err = fixedAddresses(want, fixed); err != nil {
		return got, nil, err
	}
	if len(fixed) == 0 {
		var lacking *need
		if got.Addresses, lacking, err = a.chooseAddresses(s, n, sub, want.Addresses); lacking != nil || err != nil {
			return got, lacking, err
		}
	}
	if other, ok := s.macUser(n, got); ok {
		return got, nil, refuse(cniwire.CodeConflict, "MAC address %s is in use in network %s by interface %s", got.MAC, n.Ref, other)
	}
	if got.Kind != kindBound {
		got.Number = s.nextNumber()
		s.flows.dirty = true // its flows go into the switch while it is plugged
	}
	s.reserved[got.Interface] = got
	for _, addr := range got.Addresses {
		s.lastAddress[poolKey{n.ID, sub.Name, familyOf(addr)}] = addr
	}
	return got, nil, nil
}

// chooseSubnet returns the subnet that is named, else that of the addresses asked for, else the first one.
func chooseSubnet(n plan.Network, want attachment) (plan.Subnet, error) {
	if want.Subnet == "" && len(want.Addresses) > 0 {
		if sub, ok := subnetWith(n, want.Addresses[0]); ok {
			return sub, nil
		}
		return plan.Subnet{}, refuse(cniwire.CodeInvalid, "address %s is in no subnet of network %s", want.Addresses[0], n.Ref)
	}
	sub, ok := subnetOf(n, want.Subnet)
	if !ok {
		return plan.Subnet{}, refuse(cniwire.CodeNotFound, "network %s has no subnet %q", n.Ref, want.Subnet)
	}
	return sub, nil
}

// fixedAddresses returns a Port's addresses, of which those asked for must be a part.
func fixedAddresses(want attachment, fixed []netip.Addr) ([]netip.Addr, error) {
	for _, addr := range want.Addresses {
		if len(fixed) > 0 && !slices.Contains(fixed, addr) {
			return nil, refuse(cniwire.CodeInvalid, "port %s has the addresses %s, not %s", want.Port, joinAddresses(fixed), addr)
		}
	}
	return fixed, nil
}

// chooseAddresses returns one address of each family of the subnet: the one asked for, or the next free one.
func (a *Agent) chooseAddresses(s *state, n plan.Network, sub plan.Subnet, asked []netip.Addr) (out []netip.Addr, lacking *need, err error) {
	for _, addr := range asked {
		if !prefixOf(sub, familyOf(addr)).Contains(addr) {
			return nil, nil, refuse(cniwire.CodeInvalid, "address %s is not in subnet %s of network %s", addr, sub.Name, n.Ref)
		}
	}
	closing := s.closing(n)
	for _, f := range families(sub) {
		p := s.pool(n, sub, f)
		taken := p.Taken
		p.Taken = func(addr netip.Addr) bool { return taken(addr) || closing[addr] }
		more := a.needLease(lease{network: n.Ref, subnet: sub.Name, family: f})
		if len(p.Blocks) == 0 {
			return nil, more, nil
		}
		i := slices.IndexFunc(asked, func(addr netip.Addr) bool { return familyOf(addr) == f })
		if i < 0 {
			addr, ok := p.Next(s.lastAddress[poolKey{n.ID, sub.Name, f}])
			if !ok {
				p.Taken = taken
				if addr, ok = p.Next(netip.Addr{}); ok {
					more = a.needClosed(n, addr)
				}
				return nil, more, nil
			}
			out = append(out, addr)
			continue
		}
		switch addr := asked[i]; {
		case !p.Leased(addr):
			return nil, nil, refuse(cniwire.CodeConflict, "address %s is in no block that this node leases: declare a Port with this address", addr)
		case p.Usable(addr) && !taken(addr) && closing[addr]:
			return nil, a.needClosed(n, addr), nil
		case !p.Usable(addr) || p.Taken(addr):
			return nil, nil, refuse(cniwire.CodeConflict, "address %s of network %s is in use or reserved", addr, n.Ref)
		default:
			out = append(out, addr)
		}
	}
	return out, nil, nil
}

// needClosed waits until the switch has dropped the flows of an address whose workload is gone.
func (a *Agent) needClosed(n plan.Network, addr netip.Addr) *need {
	what := fmt.Sprintf("wait for the switch to drop the flows of address %s of network %s", addr, n.Ref)
	met := func(s *state) bool { return !s.closing(n)[addr] }
	return &need{what, met, func(ctx context.Context) error {
		return a.waitFor(ctx, wait{For: what, Timeout: jobTimeout, Condition: func(s *state) (bool, error) { return met(s), nil }})
	}}
}

// macUser returns the interface that has a reservation's MAC address in the same network.
func (s *state) macUser(n plan.Network, got attachment) (string, bool) {
	for _, o := range s.all() {
		if o.Interface == got.Interface {
			continue
		}
		if p, problem := s.resolve(o); problem == "" && p.Network == n.ID && p.MAC == got.MAC {
			return o.Interface, true
		}
	}
	return "", false
}

// describe returns an attachment as its workload sees it.
func (s *state) describe(at attachment) (*cniwire.Interface, pipeline.Attachment, error) {
	p, problem := s.resolve(at)
	if problem != "" {
		return nil, p, refuse(cniwire.CodeUnavailable, "interface %s: %s", at.Interface, problem)
	}
	ref := s.index.refs[p.Network]
	out := &cniwire.Interface{MAC: p.MAC, MTU: s.plan.Settings.MTU(s.index.networks[ref].MTU), HostName: at.Interface, Network: ref.String(), Identity: p.Identity.String()}
	for _, addr := range p.Addresses {
		sub, ok := subnetWith(s.index.networks[ref], addr)
		if !ok {
			return nil, p, refuse(cniwire.CodeConflict, "address %s is in no subnet of network %s any more", addr, ref)
		}
		out.Addresses = append(out.Addresses, netip.PrefixFrom(addr, prefixOf(sub, familyOf(addr)).Bits()))
		if gw := gatewayOf(sub, familyOf(addr)); gw.IsValid() {
			out.Gateways = append(out.Gateways, gw)
		}
	}
	return out, p, nil
}
