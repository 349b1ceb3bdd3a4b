// Package conntrack reads connections as Open vSwitch's tracker tells them, and says which of them policy forbids by
// now. It is pure: text and plan in, connections out.
package conntrack

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/openflow"
)

// Connection is a tracked connection, in its original direction.
type Connection struct {
	Zone             uint16
	Protocol         uint8
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP
	// ID, Type and Code are those of an ICMP query.
	ID         uint16
	Type, Code uint8
	Label      Label
}

// Label is what the pipeline notes about a connection (docs/pipeline.md).
type Label struct {
	Egress, Ingress firewall.RuleID
	// Sender is the identity of whoever sent the packet that policy decided about, Receiver that of the local workload
	// which it was for. About a connection to a peer it was the reply that was decided, so the sender is its destination.
	Sender, Receiver fabric.Identity
	Pending          bool // sent to a peer, and decided nowhere here
}

// Parse reads the output of dpctl/dump-conntrack, a connection on each line:
//
//	tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(...),zone=7,labels=0x1,protoinfo=(state=ESTABLISHED)
//
// Connections of unknown protocols, whose name is their number, have no ports.
func Parse(text string) ([]Connection, error) {
	var out []Connection
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		c, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("the connection %.200q: %w", line, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func parseLine(line string) (Connection, error) {
	var c Connection
	name, rest, _ := strings.Cut(line, ",")
	var err error
	if c.Protocol, err = protocolNumber(name); err != nil {
		return c, err
	}
	_, rest, ok := strings.Cut(rest, "orig=(")
	orig, rest, closed := strings.Cut(rest, ")")
	if !ok || !closed {
		return c, fmt.Errorf("it has no original direction")
	}
	for field := range strings.SplitSeq(orig, ",") {
		key, value, _ := strings.Cut(field, "=")
		if err := c.setTuple(key, value); err != nil {
			return c, fmt.Errorf("%s: %w", field, err)
		}
	}
	if _, after, ok := strings.Cut(rest, ")"); ok { // behind reply=(...)
		rest = after
	}
	for field := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "zone":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return c, fmt.Errorf("%s: %w", field, err)
			}
			c.Zone = uint16(n)
		case "labels":
			if c.Label, err = parseLabel(value); err != nil {
				return c, fmt.Errorf("%s: %w", field, err)
			}
		}
	}
	return c, nil
}

func (c *Connection) setTuple(key, value string) (err error) {
	number := func(bits int) (n uint64) {
		if err == nil {
			n, err = strconv.ParseUint(value, 10, bits)
		}
		return n
	}
	switch key {
	case "src":
		c.Src, err = netip.ParseAddr(value)
	case "dst":
		c.Dst, err = netip.ParseAddr(value)
	case "sport":
		c.SrcPort = uint16(number(16))
	case "dport":
		c.DstPort = uint16(number(16))
	case "id":
		c.ID = uint16(number(16))
	case "type":
		c.Type = uint8(number(8))
	case "code":
		c.Code = uint8(number(8))
	}
	return err
}

// protocolNumber reads a protocol's name as Open vSwitch writes it.
func protocolNumber(name string) (uint8, error) {
	switch name {
	case "icmp":
		return uint8(firewall.ICMP), nil
	case "tcp":
		return uint8(firewall.TCP), nil
	case "udp":
		return uint8(firewall.UDP), nil
	case "icmpv6":
		return uint8(firewall.ICMPv6), nil
	case "sctp":
		return uint8(firewall.SCTP), nil
	case "udplite":
		return 136, nil
	case "dccp":
		return 33, nil
	case "igmp":
		return 2, nil
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("the protocol %q is unknown", name)
	}
	return uint8(n), nil
}

// parseLabel reads 128 bits in hexadecimal.
func parseLabel(text string) (Label, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) > 32 {
		return Label{}, fmt.Errorf("it is no label of 128 bits in hexadecimal")
	}
	digits = strings.Repeat("0", 32-len(digits)) + digits
	hi, err := strconv.ParseUint(digits[:16], 16, 64)
	if err != nil {
		return Label{}, err
	}
	lo, err := strconv.ParseUint(digits[16:], 16, 64)
	const identity = 1<<24 - 1
	return Label{
		Egress: firewall.RuleID(lo), Ingress: firewall.RuleID(lo >> 32),
		Sender: fabric.Identity(hi & identity), Receiver: fabric.Identity(hi >> 24 & identity), Pending: hi>>63 == 1,
	}, err
}

// Flush returns what makes the tracker forget the connection and no other, and false for those that Open vSwitch can't
// forget one by one: see openflow.Connections.
func (c Connection) Flush() (openflow.Connections, bool) {
	out := openflow.Connections{Zone: c.Zone, Protocol: c.Protocol, Source: c.Src, Destination: c.Dst}
	switch firewall.Protocol(c.Protocol) {
	case firewall.TCP, firewall.UDP, firewall.SCTP:
		out.SourcePort, out.DestinationPort = c.SrcPort, c.DstPort
	case firewall.ICMP:
		out.Query = &openflow.ICMPQuery{ID: c.ID, Type: c.Type, Code: c.Code}
	case firewall.ICMPv6:
		return out, false
	}
	return out, true
}
