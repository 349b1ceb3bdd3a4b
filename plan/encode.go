package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// hashVersion stands at the start of what Hash digests; it changes with the encoding.
const hashVersion = 3

// Hash digests a plan. Equal plans have equal hashes, whatever the order of their slices, and wherever in the files
// their rules stand.
func Hash(n Node) [sha256.Size]byte {
	n = Canonical(n)
	var e encoder
	e.number(hashVersion)
	e.text(string(n.Name))
	n.each(e.entry)
	return sha256.Sum256(e.b)
}

// Equal reports whether two plans say the same, whatever the order of their slices, and wherever in the files their
// rules stand.
func Equal(a, b Node) bool { return Hash(a) == Hash(b) }

// encoder writes values so that equal bytes mean equal values: numbers as varints, everything of variable
// length after its length. It serves comparison and digests, and is never stored.
type encoder struct{ b []byte }

func (e *encoder) number(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) signed(v int64)  { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) text(s string)   { e.number(uint64(len(s))); e.b = append(e.b, s...) }

// addr writes the family, the bytes and the zone; "none" has no bytes.
func (e *encoder) addr(a netip.Addr) {
	e.number(uint64(a.BitLen()))
	if a.IsValid() {
		b := a.As16()
		e.b = append(e.b, b[:]...)
	}
	e.text(a.Zone())
}

func (e *encoder) prefix(p netip.Prefix) { e.addr(p.Addr()); e.signed(int64(p.Bits())) }

func (e *encoder) bool(v bool) {
	if v {
		e.number(1)
	} else {
		e.number(0)
	}
}

func encodeEach[T any](e *encoder, s []T, encode func(T)) {
	e.number(uint64(len(s)))
	for _, v := range s {
		encode(v)
	}
}

func (e *encoder) block(b fabric.VNIBlock) { e.number(uint64(b.Base)); e.number(uint64(b.Bits)) }

// mtu ends an entry with what few of them have; without it the entry's digest is what it was before there were any.
func (e *encoder) mtu(v int) {
	if v != 0 {
		e.text("mtu")
		e.signed(int64(v))
	}
}

func (e *encoder) identity(id fabric.Identity) { e.number(uint64(id)) }

// entry writes the kind of v's part, its key and its content.
func (e *encoder) entry(v Entry) {
	switch {
	case v.Settings != nil:
		s := v.Settings
		e.text("settings")
		e.addr(s.VTEP)
		e.number(uint64(s.VXLANPort))
		e.number(s.VirtualMAC.Uint64())
		e.signed(int64(s.WorkloadMTU))
		encodeEach(e, s.IgnoredLabels, e.text)
		e.addr(s.Underlay)
		e.encryption(s.Encryption)
		e.bool(s.StrictIdentity)
		e.bool(s.LogDenials)
	case v.Peer != nil:
		e.text("peer")
		e.text(string(v.Peer.Name))
		e.addr(v.Peer.VTEP)
	case v.Tunnel != nil:
		e.text("tunnel")
		e.tunnel(v.Tunnel)
	case v.Hop != nil:
		e.text("hop")
		e.hop(v.Hop)
	case v.Placement != nil:
		e.text("placement")
		e.placement(v.Placement)
	case v.Network != nil:
		e.text("network")
		e.network(v.Network)
	case v.Identity != nil:
		e.text("identity")
		e.identity(v.Identity.ID)
		e.number(uint64(v.Identity.Network))
		e.labels(v.Identity.Labels)
	case v.Route != nil:
		r := v.Route
		e.text("route")
		e.number(uint64(r.Network))
		e.prefix(r.Prefix)
		e.text(string(r.Node))
		e.addr(r.VTEP)
		e.bool(r.Lease)
		e.text(r.Subnet)
		e.mtu(r.MTU)
	case v.Port != nil:
		e.text("port")
		e.port(v.Port)
	case v.Rule != nil:
		e.text("rule")
		e.number(uint64(v.Rule.Network))
		e.rule(&v.Rule.Rule)
	}
}

func (e *encoder) labels(l fabric.Labels) {
	encodeEach(e, l.Keys(), func(key string) {
		e.text(key)
		e.text(l[key])
	})
}

func (e *encoder) port(p *Port) {
	e.text(p.Ref.Tenant)
	e.text(p.Ref.Name)
	e.text(p.UID)
	e.number(uint64(p.Network))
	e.text(p.Subnet)
	e.identity(p.Identity)
	e.number(p.MAC.Uint64())
	encodeEach(e, p.Addresses, e.addr)
	if !p.Client.Key.IsZero() {
		e.b = append(e.b, p.Client.Key[:]...)
		e.number(uint64(p.Client.Listen))
	}
}

func (e *encoder) network(n *Network) {
	e.number(uint64(n.ID))
	e.text(n.Ref.Tenant)
	e.text(n.Ref.Name)
	e.bool(n.Hosted)
	e.bool(n.Encrypted)
	encodeEach(e, n.Blocks, e.block)
	encodeEach(e, n.Subnets, func(s Subnet) {
		e.text(s.Name)
		e.prefix(s.IPv4)
		e.prefix(s.IPv6)
		e.addr(s.Gateway4)
		e.addr(s.Gateway6)
		encodeEach(e, s.DNS, e.addr)
	})
	encodeEach(e, n.Peers, func(id fabric.NetworkID) { e.number(uint64(id)) })
	encodeEach(e, n.Reserved, e.addr)
	e.mtu(n.MTU)
}

func (e *encoder) rule(r *firewall.Rule) {
	e.number(uint64(r.ID))
	e.number(uint64(r.Tier))
	e.number(uint64(r.Direction))
	e.number(uint64(r.Action))
	e.bool(r.Order.Last)
	e.signed(int64(r.Order.Priority))
	e.text(r.Order.Policy)
	e.signed(int64(r.Order.Index))
	e.bool(r.Subject.Any)
	encodeEach(e, r.Subject.IDs, e.identity)
	e.bool(r.Peers.Any)
	encodeEach(e, r.Peers.IDs, e.identity)
	encodeEach(e, r.Peers.Blocks, e.block)
	encodeEach(e, r.Peers.CIDRs, func(c firewall.CIDR) {
		e.prefix(c.Prefix)
		encodeEach(e, c.Except, e.prefix)
	})
	encodeEach(e, r.Services, func(s firewall.Service) {
		e.number(uint64(s.Protocol))
		e.number(uint64(s.Ports.First))
		e.number(uint64(s.Ports.Last))
		e.signed(int64(s.Type))
		e.signed(int64(s.Code))
	})
	e.bool(r.Log)
	// File and line are left out: the same rule in another place of the files is the same rule.
	e.text(r.Origin.Policy)
	e.text(r.Origin.Rule)
}

// comparer compares entries of one key without allocating anew for each.
type comparer struct{ a, b encoder }

func (c *comparer) equal(a, b Entry) bool {
	c.a.b, c.b.b = c.a.b[:0], c.b.b[:0]
	c.a.entry(a)
	c.b.entry(b)
	return bytes.Equal(c.a.b, c.b.b)
}
