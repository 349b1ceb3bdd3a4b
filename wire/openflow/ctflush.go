package openflow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// NXT_CT_FLUSH (Open vSwitch 3.1, include/openflow/nicira-ext.h, struct nx_ct_flush):
// experimenter(4) subtype(4) ip_proto(1) pad(7), and then properties, each type(2) length(2) value padded to 8 octets.
// A tuple's value is 4 octets of padding and properties of its own; an address has 16 octets, IPv4 as IPv6-mapped, ports
// and an ICMP identifier have 2, ICMP's type and code 1.
const (
	nxtCTFlush      = 32
	ctOrigTuple     = 0
	ctZone          = 2
	ctTupleSrc      = 0
	ctTupleDst      = 1
	ctTupleSrcPort  = 2
	ctTupleDstPort  = 3
	ctTupleICMPID   = 4
	ctTupleICMPType = 5
	ctTupleICMPCode = 6
	ctPropertyBytes = 4
	protocolICMP    = 1
	protocolTCP     = 6
	protocolUDP     = 17
	protocolICMPv6  = 58
	protocolSCTP    = 132
)

// Connections selects entries of the connection tracker: those of a zone whose original direction goes from Source, to
// Destination, or both. The zero address stands for every one; one of the two must be given.
type Connections struct {
	Zone uint16
	// Protocol is the IP protocol's number; 0 stands for all of them. Zero is for IPv4 only: Open vSwitch 3.1.0's own
	// tracker aborts when it is told to forget an ICMPv6 connection (its tuple_to_conn_key knows ICMP's types alone).
	Protocol            uint8
	Source, Destination netip.Addr
	// SourcePort and DestinationPort narrow protocols with ports; 0 stands for every port.
	SourcePort, DestinationPort uint16
	// Query narrows ICMP.
	Query *ICMPQuery
}

// ICMPQuery is what tells the ICMP connections between two addresses apart.
type ICMPQuery struct {
	ID         uint16
	Type, Code uint8 // of the request
}

// FlushConnections makes the switch forget connections. It returns when the switch has done so, which takes time in
// proportion to the connections in the zone.
func (c *Conn) FlushConnections(ctx context.Context, which []Connections) error {
	if len(which) == 0 {
		return nil
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var refused refusals
	k, err := c.begin(uint32(len(which))+1, func(k *call, m message) bool {
		if m.kind == msgError {
			refused.note(m)
		}
		return m.xid == k.last
	})
	if err != nil {
		return err
	}
	defer c.end(k)
	var b []byte
	for i, w := range which {
		if b, err = w.append(b, k.first+uint32(i)); err != nil {
			return fmt.Errorf("openflow: flush connections: %w", err)
		}
	}
	if err := c.send(ctx, appendOctets(b, msgBarrierRequest, k.last, nil)); err != nil {
		return fmt.Errorf("openflow: flush connections: %w", err)
	}
	if err := c.wait(ctx, k); err != nil {
		return fmt.Errorf("openflow: flush connections: %w", err)
	}
	if refused.first != nil {
		return fmt.Errorf("openflow: the switch refused to flush connections: %w", refused.first)
	}
	return nil
}

// append appends the message that flushes the connections.
func (w Connections) append(b []byte, xid uint32) ([]byte, error) {
	switch {
	case !w.Source.IsValid() && !w.Destination.IsValid():
		return nil, errors.New("neither source nor destination is given")
	case (w.Source.Is6() || w.Destination.Is6()) && (w.Protocol == 0 || w.Protocol == protocolICMPv6):
		return nil, fmt.Errorf("protocol %d: the protocol must be given for IPv6, and Open vSwitch can't forget ICMPv6", w.Protocol)
	case (w.SourcePort != 0 || w.DestinationPort != 0) && w.Protocol != protocolTCP && w.Protocol != protocolUDP && w.Protocol != protocolSCTP:
		return nil, fmt.Errorf("protocol %d has no ports", w.Protocol)
	case w.Query != nil && w.Protocol != protocolICMP:
		return nil, fmt.Errorf("protocol %d has no ICMP query", w.Protocol)
	case w.Source.IsValid() && w.Destination.IsValid() && w.Source.Is4() != w.Destination.Is4():
		return nil, fmt.Errorf("source %s and destination %s are of different families", w.Source, w.Destination)
	}
	return appendMessage(b, msgExperimenter, xid, func(b []byte) ([]byte, error) {
		b = be.AppendUint32(be.AppendUint32(b, nicira), nxtCTFlush)
		b = append(append(b, w.Protocol), zeros[:7]...)
		tuple := len(b)
		b = append(b, 0, ctOrigTuple, 0, 0, 0, 0, 0, 0)
		b = appendCTAddress(b, ctTupleSrc, w.Source)
		b = appendCTAddress(b, ctTupleDst, w.Destination)
		if w.SourcePort != 0 {
			b = appendCTPart(b, ctTupleSrcPort, byte(w.SourcePort>>8), byte(w.SourcePort))
		}
		if w.DestinationPort != 0 {
			b = appendCTPart(b, ctTupleDstPort, byte(w.DestinationPort>>8), byte(w.DestinationPort))
		}
		if q := w.Query; q != nil {
			b = appendCTPart(b, ctTupleICMPID, byte(q.ID>>8), byte(q.ID))
			b = appendCTPart(b, ctTupleICMPType, q.Type)
			b = appendCTPart(b, ctTupleICMPCode, q.Code)
		}
		be.PutUint16(b[tuple+2:], uint16(len(b)-tuple))
		b = be.AppendUint16(append(b, 0, ctZone, 0, ctPropertyBytes+4), w.Zone)
		return append(b, 0, 0), nil
	})
}

// appendCTAddress appends one address of a tuple, if it is given.
func appendCTAddress(b []byte, kind byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	octets := a.As16()
	return appendCTPart(b, kind, octets[:]...)
}

// appendCTPart appends one property of a tuple.
func appendCTPart(b []byte, kind byte, value ...byte) []byte {
	start := len(b)
	b = append(append(b, 0, kind, 0, ctPropertyBytes+byte(len(value))), value...)
	return pad(b, start)
}
