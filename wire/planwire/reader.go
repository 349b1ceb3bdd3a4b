package planwire

import (
	"fmt"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// reader checks the parts of a message and keeps the first error. After an error its results mean nothing.
type reader struct{ err error }

func (r *reader) check(ok bool, format string, args ...any) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) number(what string, v, low, high uint32) uint32 {
	r.check(low <= v && v <= high, "%s: %d is not in %d-%d", what, v, low, high)
	return v
}

func (r *reader) networkID(what string, v uint32) fabric.NetworkID {
	return fabric.NetworkID(r.number(what, v, 1, uint32(fabric.MaxNetworkID)))
}

func (r *reader) identity(what string, v uint32) fabric.Identity {
	return fabric.Identity(r.number(what, v, 1, uint32(fabric.MaxIdentity)))
}

// icmp reads a type or a code; every negative number means all of them.
func (r *reader) icmp(what string, v int32) int16 {
	r.check(-1 <= v && v <= 255, "%s: %d is not in -1-255", what, v)
	return int16(v)
}

func (r *reader) name(what, s string) string {
	if err := fabric.CheckName(s); err != nil {
		r.check(false, "%s: %w", what, err)
	}
	return s
}

func (r *reader) node(what, s string) fabric.NodeName { return fabric.NodeName(r.name(what, s)) }

func (r *reader) mac(what, s string) fabric.MAC {
	m, err := fabric.ParseMAC(s)
	if err != nil {
		r.check(false, "%s: %w", what, err)
	}
	return m
}

// addr reads an address in canonical text, without a zone.
func (r *reader) addr(what, s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	r.check(err == nil && a.String() == s && a.Zone() == "" && !a.Is4In6(), "%s: %q is not an address in canonical form", what, s)
	return a
}

// prefix reads a prefix in canonical text, without host bits.
func (r *reader) prefix(what, s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	r.check(err == nil && p.String() == s && p == p.Masked() && !p.Addr().Is4In6(), "%s: %q is not a prefix in canonical form", what, s)
	return p
}
