package openflow

import (
	"encoding/binary"
	"errors"
)

// be is the order of octets on the wire; all appending to messages goes through it.
var be = binary.BigEndian

// zeros is the source of padding.
var zeros [64]byte

// pad appends zeros until the part of b from start is a multiple of 8 octets.
func pad(b []byte, start int) []byte {
	return append(b, zeros[:-(len(b)-start)&7]...)
}

// errShort says that a structure ends before its own lengths say so.
var errShort = errors.New("the message is too short")

// errTrailing says that octets follow a structure that should be all there is.
var errTrailing = errors.New("octets follow the end")

// cursor reads a structure from the front. After a read past the end every read returns zeros and bad is
// set, so that a decoder checks once.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return be.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return be.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return be.Uint64(p)
	}
	return 0
}

// err returns errShort after a read past the end.
func (c *cursor) err() error {
	if c.bad {
		return errShort
	}
	return nil
}

// property is one element of a list of type-length-value properties, as OpenFlow 1.4 introduced them:
// 2 octets type, 2 octets length with this header, the body, padding to 8 octets.
type property struct {
	kind uint16
	body []byte
}

// properties reads the rest of the cursor as properties.
func (c *cursor) properties() ([]property, error) {
	var out []property
	for len(c.b) > 0 && !c.bad {
		kind, n := c.u16(), int(c.u16())
		out = append(out, property{kind, c.take(n - 4)})
		c.take(min(-n&7, len(c.b)))
	}
	return out, c.err()
}
