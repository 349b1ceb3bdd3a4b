package topology

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// peerOverlap returns the families in which somebody can be both peers of a pair's rules.
func (v *validator) peerOverlap(p pair, a, b Peer) families {
	switch {
	case a.Workloads != nil && b.Workloads != nil:
		if p.sameNetwork(*a.Workloads, *b.Workloads) && Compatible(a.Workloads.Selector, b.Workloads.Selector) {
			return bothFamilies
		}
		return 0
	case a.Workloads != nil:
		return v.workloadsIn(p, *a.Workloads, v.ranges(p.b, b))
	case b.Workloads != nil:
		return v.workloadsIn(p, *b.Workloads, v.ranges(p.a, a))
	}
	var out families
	for _, x := range v.ranges(p.a, a) {
		for _, y := range v.ranges(p.b, b) {
			out |= x.overlap(y)
		}
	}
	return out
}

// sameNetwork reports whether a workload of one network can be meant by both.
func (p pair) sameNetwork(x, y WorkloadPeer) bool {
	if p.a.PlatformPolicy != nil { // absent parts mean any
		either := func(a, b string) bool { return a == "" || b == "" || a == b }
		return either(x.Tenant, y.Tenant) && either(x.Network, y.Network)
	}
	own := p.subjectNetwork()
	rx, ry := p.peerNetwork(x), p.peerNetwork(y)
	switch {
	case x.Network == "" && y.Network == "":
		return true // the subject's own, whichever it is
	case x.Network == "":
		return ry.Tenant == own.Tenant && (own.Name == "" || own.Name == ry.Name)
	case y.Network == "":
		return rx.Tenant == own.Tenant && (own.Name == "" || own.Name == rx.Name)
	}
	return rx == ry
}

// peerNetwork returns the network that a tenant's rule names, or that of the subjects.
func (p pair) peerNetwork(w WorkloadPeer) fabric.NetworkRef {
	if w.Network == "" {
		return p.subjectNetwork()
	}
	if w.Tenant == "" {
		return fabric.NetworkRef{Tenant: p.a.Key.Tenant, Name: w.Network}
	}
	return fabric.NetworkRef{Tenant: w.Tenant, Name: w.Network}
}

// workloadsIn returns the families in which a workload that a peer means can have an address in one of the ranges.
func (v *validator) workloadsIn(p pair, w WorkloadPeer, ranges []addressRange) families {
	if !Compatible(w.Selector) {
		return 0
	}
	meant := func(n *Network) bool {
		if p.a.PlatformPolicy != nil {
			return (w.Tenant == "" || w.Tenant == n.Metadata.Tenant) && (w.Network == "" || w.Network == n.Metadata.Name)
		}
		ref := p.peerNetwork(w)
		return ref.Tenant == n.Metadata.Tenant && (ref.Name == "" || ref.Name == n.Metadata.Name)
	}
	var out families
	for _, n := range v.intent.Networks() {
		if !meant(n) {
			continue
		}
		for _, s := range n.Spec.Subnets {
			for _, subnet := range s.Prefixes() {
				for _, r := range ranges {
					out |= r.overlap(addressRange{prefix: subnet})
				}
			}
		}
	}
	return out
}

// addressRange is a prefix without some parts of it.
type addressRange struct {
	prefix netip.Prefix
	except []netip.Prefix
}

// ranges returns the addresses of a peer that is no workloads: of a CIDR or of an address group.
func (v *validator) ranges(o *Object, p Peer) []addressRange {
	if p.CIDR != nil {
		return []addressRange{{p.CIDR.CIDR, p.CIDR.Except}}
	}
	group := v.intent.Get(Key{Kind: KindAddressGroup, Tenant: o.Key.Tenant, Name: p.AddressGroup})
	if group == nil {
		return nil // the reference was reported
	}
	var out []addressRange
	for _, prefix := range group.AddressGroup.Spec.Prefixes {
		out = append(out, addressRange{prefix: prefix})
	}
	return out
}

// overlap returns the family of the ranges, when they have an address in common.
func (r addressRange) overlap(s addressRange) families {
	if !r.prefix.IsValid() || !s.prefix.IsValid() || !r.prefix.Overlaps(s.prefix) {
		return 0
	}
	both := r.prefix.Masked()
	if s.prefix.Bits() > both.Bits() {
		both = s.prefix.Masked()
	}
	if covered(both, slices.Concat(r.except, s.except)) {
		return 0
	}
	return familyOf(both.Addr().Is6())
}

// covered reports whether every address of p is in one of the prefixes.
func covered(p netip.Prefix, by []netip.Prefix) bool {
	by = slices.DeleteFunc(slices.Clone(by), func(e netip.Prefix) bool { return !e.IsValid() || !e.Overlaps(p) })
	if slices.ContainsFunc(by, func(e netip.Prefix) bool { return e.Bits() <= p.Bits() }) {
		return true
	}
	if len(by) == 0 || p.IsSingleIP() {
		return false
	}
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(b)
	return covered(netip.PrefixFrom(p.Addr(), p.Bits()+1), by) && covered(netip.PrefixFrom(upper, p.Bits()+1), by)
}
