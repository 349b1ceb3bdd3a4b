package openflow

import (
	"context"
	"fmt"
)

// Fragments says what the switch does with IP fragments. The zero value is what a switch does by default.
type Fragments uint16

// The modes (OpenFlow 1.5.1, section 7.3.2, and Open vSwitch's own).
const (
	FragmentsNormal     Fragments = 0 // matched like other packets; the ports of the first one are 0, too
	FragmentsDrop       Fragments = 1
	FragmentsReassemble Fragments = 2
	FragmentsMatch      Fragments = 3 // the first fragment's ports can be matched
	fragmentsMask       Fragments = 3
)

// String returns the name that ovs-ofctl uses.
func (f Fragments) String() string {
	return [...]string{"normal", "drop", "reassemble", "nx-match"}[f&fragmentsMask]
}

const (
	msgGetConfigRequest = 7
	msgGetConfigReply   = 8
	// sendWhole has the switch send whole packets with packet-ins.
	sendWhole = 0xffff
)

// Fragments returns what the switch does with fragments.
func (c *Conn) Fragments(ctx context.Context) (Fragments, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var mode Fragments
	var failed error
	k, err := c.begin(1, func(_ *call, m message) bool {
		cur := cursor{b: m.body} // struct ofp_switch_config: flags(2) miss_send_len(2)
		switch {
		case m.kind == msgError:
			failed = decodeError(m.body)
		case m.kind != msgGetConfigReply:
			failed = fmt.Errorf("message type %d doesn't answer the request", m.kind)
		default:
			mode = Fragments(cur.u16()) & fragmentsMask
			failed = cur.err()
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	defer c.end(k)
	if err := c.send(ctx, appendOctets(nil, msgGetConfigRequest, k.first, nil)); err != nil {
		return 0, fmt.Errorf("openflow: get the configuration: %w", err)
	}
	if err := c.wait(ctx, k); err != nil {
		return 0, fmt.Errorf("openflow: get the configuration: %w", err)
	}
	return mode, failed
}

// SetFragments has the switch treat fragments so.
func (c *Conn) SetFragments(ctx context.Context, f Fragments) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if err := c.send(ctx, appendSwitchConfig(nil, f)); err != nil {
		return fmt.Errorf("openflow: set the configuration: %w", err)
	}
	return c.Barrier(ctx)
}

// appendSwitchConfig appends a message that sets the treatment of fragments, and asks for whole packets.
func appendSwitchConfig(b []byte, f Fragments) []byte {
	return appendOctets(b, msgSetConfig, 0, be.AppendUint16(be.AppendUint16(nil, uint16(f)), sendWhole))
}
