package openflow

import (
	"context"
	"fmt"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

const msgPortMod = 16

// PortSettings are the bits of ofp_port_config (OpenFlow 1.5.1, section 7.2.1.1).
type PortSettings uint32

// The settings that keep packets from where flows send them. Whether the port is down belongs to its link, too.
const (
	PortNoReceive  PortSettings = 1 << 2
	PortNoForward  PortSettings = 1 << 5
	PortNoPacketIn PortSettings = 1 << 6
)

// String names the settings that keep packets away, as ovs-ofctl mod-port does.
func (s PortSettings) String() string {
	var out []string
	for _, n := range []struct {
		bit  PortSettings
		name string
	}{{PortNoReceive, "no-receive"}, {PortNoForward, "no-forward"}, {PortNoPacketIn, "no-packet-in"}} {
		if s&n.bit != 0 {
			out = append(out, n.name)
		}
	}
	return strings.Join(out, " ")
}

// PortMod clears settings of a port.
type PortMod struct {
	Number uint32
	MAC    fabric.MAC // the port's, as the switch tells it
	Clear  PortSettings
}

// String says what is done.
func (m PortMod) String() string { return fmt.Sprintf("clear %s of port %d", m.Clear, m.Number) }

// append appends struct ofp_port_mod: port(4) pad(4) hw_addr(6) pad(2) config(4) mask(4).
func (m PortMod) append(b []byte, xid uint32) ([]byte, error) {
	body := be.AppendUint32(nil, m.Number)
	body = append(body, 0, 0, 0, 0)
	body = append(body, m.MAC[:]...)
	body = append(body, 0, 0)
	body = be.AppendUint32(body, 0)
	return appendOctets(b, msgPortMod, xid, be.AppendUint32(body, uint32(m.Clear))), nil
}

// ClearPort clears settings of a port.
func (c *Conn) ClearPort(ctx context.Context, m PortMod) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	return c.sendEach(ctx, []indexed{{0, m}})
}
