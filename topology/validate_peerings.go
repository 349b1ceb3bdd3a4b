package topology

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// sides are the two networks of a peering, as one of them declares it.
type sides struct{ local, remote fabric.NetworkRef }

// peerings checks the peerings: each against the other side's, and the addresses that they join.
func (v *validator) peerings() {
	declared := map[sides]*Object{}
	var order []*Object
	for _, o := range v.intent.Objects() {
		if o.Peering == nil {
			continue
		}
		s := sides{o.Peering.Local(), o.Peering.Remote()}
		switch first := declared[s]; {
		case s.local == s.remote:
			v.errorf(o, "spec.peer.network", "joins Network %s with itself: name another network", s.local)
		case first != nil:
			v.errorf(o, "spec.peer.network", "joins %s with %s, as %s does, declared at %s: remove one", s.local, s.remote, first.Key, first.Origin)
		default:
			declared[s] = o
			order = append(order, o)
		}
	}
	for _, o := range order {
		s := sides{o.Peering.Local(), o.Peering.Remote()}
		if declared[sides{s.remote, s.local}] == nil {
			v.warnf(o, "spec.peer", "is one-sided, so it joins nothing yet: tenant %s must declare a Peering of Network %s with %s", s.remote.Tenant, s.remote.Name, s.local)
			continue
		}
		v.peeredAddresses(o, s)
	}
}

// peeredAddresses refuses that a network meets one address twice: in a peer and in itself, or in two peers.
func (v *validator) peeredAddresses(o *Object, s sides) {
	if s.local.Compare(s.remote) < 0 { // else the other side reports it
		if p, q, ok := v.overlap(s.local, s.remote); ok {
			v.errorf(o, "spec.peer.network", "joins %s and %s, whose ranges %s and %s overlap: change one of them", s.local, s.remote, p, q)
		}
	}
	for _, other := range v.intent.PeersOf(s.local) {
		if other.Compare(s.remote) >= 0 {
			break // each pair once, at the later peer
		}
		if p, q, ok := v.overlap(other, s.remote); ok {
			v.errorf(o, "spec.peer.network", "joins %s with %s, whose range %s overlaps %s of its other peer %s: change one of them", s.local, s.remote, q, p, other)
		}
	}
}

// overlap returns the first ranges of two networks that share an address.
func (v *validator) overlap(a, b fabric.NetworkRef) (p, q netip.Prefix, ok bool) {
	for _, p := range v.prefixes(a) {
		others := v.prefixes(b)
		if i := slices.IndexFunc(others, p.Overlaps); i >= 0 {
			return p, others[i], true
		}
	}
	return p, q, false
}

// prefixes returns the ranges of a network; none when it doesn't exist or couldn't be read.
func (v *validator) prefixes(ref fabric.NetworkRef) []netip.Prefix {
	o := v.intent.Get(Key{KindNetwork, ref.Tenant, ref.Name})
	if o == nil || o.broken() {
		return nil
	}
	var out []netip.Prefix
	for _, s := range o.Network.Spec.Subnets {
		out = append(out, s.Prefixes()...)
	}
	return out
}
