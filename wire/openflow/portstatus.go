package openflow

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// PortChange is a port of the bridge that is new, has changed, or is gone.
type PortChange struct {
	PortDesc
	Deleted bool
}

// portReasonDelete is the reason of a port status message about a port that is gone (OpenFlow 1.5.1, section 7.4.3).
const portReasonDelete = 1

// PortChanges waits for ports to change, and returns the last change of each since the call before, by number. There is
// one reader. It fails once the connection has ended.
func (c *Conn) PortChanges(ctx context.Context) ([]PortChange, error) {
	select {
	case <-c.portChanged:
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []PortChange
	for _, number := range slices.Sorted(maps.Keys(c.ports)) {
		out = append(out, c.ports[number])
	}
	clear(c.ports)
	return out, nil
}

// receivePortStatus notes what a port status message says: reason(1) pad(7) struct ofp_port.
func (c *Conn) receivePortStatus(body []byte) {
	cur := cursor{b: body}
	reason := cur.u8()
	cur.skip(7)
	p, err := cur.port()
	if err != nil {
		return // the switch wrote what it doesn't write; the port is found when it is asked for
	}
	c.mu.Lock()
	c.ports[p.Number] = PortChange{PortDesc: p, Deleted: reason == portReasonDelete}
	c.mu.Unlock()
	select {
	case c.portChanged <- struct{}{}:
	default:
	}
}

// port reads struct ofp_port: port(4) length(2) pad(2) hw_addr(6) pad(2) name(16) config(4) state(4) properties.
func (c *cursor) port() (PortDesc, error) {
	p := PortDesc{Number: c.u32()}
	n := int(c.u16())
	body := cursor{b: c.take(n - 6)}
	body.skip(2)
	copy(p.MAC[:], body.take(6))
	body.skip(2)
	p.Name = strings.TrimRight(string(body.take(portNameLen)), "\x00")
	config := body.u32()
	p.Up, p.Settings = config&portConfigDown == 0, PortSettings(config)
	p.Up = body.u32()&portStateDown == 0 && p.Up
	return p, body.err()
}
