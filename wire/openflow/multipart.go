package openflow

import (
	"context"
	"fmt"
)

// Types of multipart messages (OpenFlow 1.5.1, section 7.3.5).
const (
	mpFlow        = 1
	mpTable       = 3
	mpPortStats   = 4
	mpGroupDesc   = 7
	mpMeter       = 9
	mpMeterConfig = 10
	mpPortDesc    = 13
	mpMore        = 1
	multipartHead = 8 // type(2) flags(2) pad(4)
)

// multipart sends a request and hands the body of each part of the reply to each, after the last has come.
func (c *Conn) multipart(ctx context.Context, kind uint16, body []byte, each func(*cursor) error) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var parts [][]byte
	var failed error
	size := 0
	k, err := c.begin(1, func(_ *call, m message) bool {
		switch size += len(m.body); {
		case m.kind == msgError:
			failed = decodeError(m.body)
		case m.kind != msgMultipartReply || len(m.body) < multipartHead || be.Uint16(m.body) != kind:
			failed = fmt.Errorf("message type %d doesn't answer the request", m.kind)
		case size > maxReply:
			failed = fmt.Errorf("the reply has more than %d octets", maxReply)
		default:
			parts = append(parts, m.body[multipartHead:])
			return be.Uint16(m.body[2:])&mpMore == 0
		}
		return true
	})
	if err != nil {
		return err
	}
	defer c.end(k)
	head := be.AppendUint16(nil, kind)
	head = append(head, 0, 0, 0, 0, 0, 0)
	if err := c.send(ctx, appendOctets(nil, msgMultipartRequest, k.first, append(head, body...))); err != nil {
		return err
	}
	if err := c.wait(ctx, k); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	for _, p := range parts {
		cur := cursor{b: p}
		for len(cur.b) > 0 {
			if err := each(&cur); err != nil {
				return err
			}
			if cur.bad {
				return errShort
			}
		}
	}
	return nil
}
