package openflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// PacketIn is a packet that an action Controller sent to us (NXT_PACKET_IN2).
type PacketIn struct {
	Packet   []byte
	FullLen  int // length of the packet in the switch, which MaxLen may have cut
	Table    uint8
	Cookie   uint64 // of the flow
	Metadata Match  // in_port, registers, tunnel and other fields that aren't in the packet
	Userdata []byte
	// Continuation is the switch's state of a packet that Pause holds, for its own eyes.
	Continuation []byte
}

// Subtypes of Nicira's messages, and numbers of the properties of NXT_PACKET_IN2 (nicira-ext.h).
const (
	nxtSetPacketInFormat = 16
	nxtPacketIn2         = 30
	packetInFormat2      = 2
	pinPacket            = 0
	pinFullLen           = 1
	pinTable             = 3
	pinCookie            = 4
	pinMetadata          = 6
	pinUserdata          = 7
	pinContinuation      = 8
)

// PacketIns returns the channel of packet-ins. When the reader doesn't keep up, new packets are dropped and
// counted. It is closed when the connection ends.
func (c *Conn) PacketIns() <-chan PacketIn { return c.packetIns }

// PacketInsDropped counts the packet-ins that were dropped because nobody took them, or that couldn't be read.
func (c *Conn) PacketInsDropped() uint64 { return c.dropped.Load() }

// askForPacketIns asks for packet-ins in the format of PacketIn. The management socket sends none until its
// client sets a length to send. The same message sets the treatment of fragments, which stays as it is.
func (c *Conn) askForPacketIns(ctx context.Context) error {
	fragments, err := c.Fragments(ctx)
	if err != nil {
		return err
	}
	b := be.AppendUint32(be.AppendUint32(nil, nicira), nxtSetPacketInFormat)
	msgs := appendOctets(nil, msgExperimenter, 0, be.AppendUint32(b, packetInFormat2))
	if err := c.send(ctx, appendSwitchConfig(msgs, fragments)); err != nil {
		return err
	}
	return c.Barrier(ctx)
}

// receivePacketIn queues a packet-in.
func (c *Conn) receivePacketIn(body []byte) {
	p, err := decodePacketIn(body)
	if errors.Is(err, errOther) {
		return
	}
	if err == nil {
		select {
		case c.packetIns <- p:
			return
		default:
		}
	}
	c.dropped.Add(1)
}

var errOther = errors.New("not a packet-in")

// decodePacketIn reads an experimenter message: experimenter(4) subtype(4) properties.
func decodePacketIn(body []byte) (PacketIn, error) {
	cur := cursor{b: body}
	var p PacketIn
	if cur.u32() != nicira || cur.u32() != nxtPacketIn2 {
		return p, errOther
	}
	props, err := cur.properties()
	if err != nil {
		return p, err
	}
	for _, prop := range props {
		v := cursor{b: prop.body}
		switch prop.kind {
		case pinPacket:
			p.Packet = slices.Clone(prop.body)
		case pinFullLen:
			p.FullLen = int(v.u32())
		case pinTable:
			p.Table = v.u8()
		case pinCookie:
			v.skip(4) // aligned to 8 octets
			p.Cookie = v.u64()
		case pinMetadata:
			if p.Metadata, err = v.fields(skipUnknown); err != nil {
				return p, fmt.Errorf("packet-in: metadata: %w", err)
			}
		case pinUserdata:
			p.Userdata = slices.Clone(prop.body)
		case pinContinuation:
			p.Continuation = slices.Clone(prop.body)
		}
		if v.bad {
			return p, errShort
		}
	}
	if p.FullLen == 0 {
		p.FullLen = len(p.Packet)
	}
	return p, nil
}

// PacketOut is a packet that the switch is to act upon.
type PacketOut struct {
	Packet  []byte
	InPort  uint32 // the port that it claims to come from; 0 is PortController
	Actions []Action
}

// PacketOut hands a packet to the switch. It returns when the request is queued for writing: a packet-out
// has no acknowledgement.
func (c *Conn) PacketOut(ctx context.Context, p PacketOut) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	b, err := p.append(nil, 0)
	if err != nil {
		return fmt.Errorf("openflow: packet-out: %w", err)
	}
	if err := c.send(ctx, b); err != nil {
		return fmt.Errorf("openflow: packet-out: %w", err)
	}
	return nil
}

// append appends struct ofp_packet_out: buffer(4) actions_len(2) pad(2) match actions packet.
func (p PacketOut) append(b []byte, xid uint32) ([]byte, error) {
	port := p.InPort
	if port == 0 {
		port = PortController
	}
	return appendMessage(b, msgPacketOut, xid, func(b []byte) ([]byte, error) {
		b = be.AppendUint32(b, noBuffer)
		at := len(b)
		b, err := appendMatch(append(b, 0, 0, 0, 0), Match{Exact(InPort, uint64(port))})
		if err != nil {
			return nil, err
		}
		start := len(b)
		if b, err = appendActions(b, p.Actions); err != nil {
			return nil, err
		}
		be.PutUint16(b[at:], uint16(min(len(b)-start, maxMessage)))
		return append(b, p.Packet...), nil
	})
}
