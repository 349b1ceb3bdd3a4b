package openflow

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// Value is the value or the mask of a field: an unsigned number of up to 128 bits.
type Value struct{ Hi, Lo uint64 }

// Num makes a Value of up to 64 bits.
func Num(v uint64) Value { return Value{Lo: v} }

// And returns the bitwise conjunction.
func (v Value) And(m Value) Value { return Value{v.Hi & m.Hi, v.Lo & m.Lo} }

// or returns the bitwise disjunction.
func (v Value) or(m Value) Value { return Value{v.Hi | m.Hi, v.Lo | m.Lo} }

// not returns the bitwise complement, of 128 bits.
func (v Value) not() Value { return Value{^v.Hi, ^v.Lo} }

// shl returns v shifted to the left by n bits.
func (v Value) shl(n int) Value {
	switch {
	case n == 0:
		return v
	case n >= 128:
		return Value{}
	case n >= 64:
		return Value{v.Lo << (n - 64), 0}
	}
	return Value{v.Hi<<n | v.Lo>>(64-n), v.Lo << n}
}

// shr returns v shifted to the right by n bits.
func (v Value) shr(n int) Value {
	switch {
	case n == 0:
		return v
	case n >= 128:
		return Value{}
	case n >= 64:
		return Value{0, v.Hi >> (n - 64)}
	}
	return Value{v.Hi >> n, v.Lo>>n | v.Hi<<(64-n)}
}

// IsZero reports whether no bit is set.
func (v Value) IsZero() bool { return v == Value{} }

// AddrValue returns an address as a number of 32 or 128 bits.
func AddrValue(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Num(uint64(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefixMask returns the mask of the upper n bits of width bits.
func prefixMask(n, width int) Value {
	m := Value{^uint64(0), ^uint64(0)}
	shift := width - n // clear the low bits
	switch {
	case shift >= 128:
		m = Value{}
	case shift >= 64:
		m = Value{m.Hi << (shift - 64), 0}
	default:
		m.Lo <<= shift
	}
	return m.And(ones(width))
}

// ones returns the value whose lower n bits are set.
func ones(n int) Value {
	switch {
	case n >= 128:
		return Value{^uint64(0), ^uint64(0)}
	case n > 64:
		return Value{1<<(n-64) - 1, ^uint64(0)}
	case n == 64:
		return Value{0, ^uint64(0)}
	}
	return Num(1<<n - 1)
}

// FieldMatch matches the bits of a field that Mask selects. Value has no bit outside Mask.
type FieldMatch struct {
	Field Field
	Value Value
	Mask  Value
}

// Exact matches a whole field of up to 64 bits.
func Exact(f Field, v uint64) FieldMatch {
	return FieldMatch{f, Num(v), ones(f.Bits())}
}

// Masked matches the bits of a field of up to 64 bits that mask selects.
func Masked(f Field, v, mask uint64) FieldMatch {
	return FieldMatch{f, Num(v & mask), Num(mask)}
}

// MAC matches a whole Ethernet address.
func MAC(f Field, m fabric.MAC) FieldMatch { return Exact(f, m.Uint64()) }

// Addr matches a whole IP address; f must be of the address's family.
func Addr(f Field, a netip.Addr) FieldMatch {
	return FieldMatch{f, AddrValue(a), ones(f.Bits())}
}

// Prefix matches the prefix of an IP address; f must be of the prefix's family.
func Prefix(f Field, p netip.Prefix) FieldMatch {
	m := prefixMask(p.Bits(), f.Bits())
	return FieldMatch{f, AddrValue(p.Addr()).And(m), m}
}

// Match is a conjunction of field matches in canonical order: by Field, each field once, no empty mask.
// Make one with NewMatch; prerequisites (eth_type for ip_dst, and so on) are the caller's to give.
type Match []FieldMatch

// NewMatch brings field matches into canonical order. A later match of the same field replaces an
// earlier one; a match with an empty mask is left out.
func NewMatch(ms ...FieldMatch) Match {
	out := make(Match, 0, len(ms))
	for _, m := range ms {
		i, found := slices.BinarySearchFunc(out, m.Field, func(a FieldMatch, f Field) int { return int(a.Field) - int(f) })
		switch {
		case m.Mask.IsZero():
			if found {
				out = slices.Delete(out, i, i+1)
			}
		case found:
			out[i] = m
		default:
			out = slices.Insert(out, i, m)
		}
	}
	return out
}

// With returns a new match with ms added.
func (m Match) With(ms ...FieldMatch) Match {
	return NewMatch(append(slices.Clone(m), ms...)...)
}
