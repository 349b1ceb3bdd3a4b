package openflow

import "fmt"

// version is OpenFlow 1.5, the only version that this package speaks.
const version = 0x06

// Types of messages (OpenFlow 1.5.1, section 7.1.1).
const (
	msgHello            = 0
	msgError            = 1
	msgEchoRequest      = 2
	msgEchoReply        = 3
	msgExperimenter     = 4
	msgSetConfig        = 9
	msgPortStatus       = 12
	msgPacketOut        = 13
	msgFlowMod          = 14
	msgGroupMod         = 15
	msgMultipartRequest = 18
	msgMultipartReply   = 19
	msgBarrierRequest   = 20
	msgBarrierReply     = 21
	msgMeterMod         = 29
	msgBundleControl    = 33
	msgBundleAdd        = 34
)

const (
	headerLen  = 8
	maxMessage = 0xffff
)

// message is one message of the switch, without its header.
type message struct {
	kind uint8
	xid  uint32
	body []byte
}

// appendMessage appends a message whose body the function appends.
func appendMessage(b []byte, kind uint8, xid uint32, body func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b)
	b = be.AppendUint32(append(b, version, kind, 0, 0), xid)
	b, err := body(b)
	if err != nil {
		return nil, err
	}
	if len(b)-start > maxMessage {
		return nil, fmt.Errorf("the message is longer than %d octets", maxMessage)
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return b, nil
}

// appendOctets appends a message whose body is given.
func appendOctets(b []byte, kind uint8, xid uint32, body []byte) []byte {
	b = be.AppendUint16(append(b, version, kind), uint16(headerLen+len(body)))
	return append(be.AppendUint32(b, xid), body...)
}

// parseMessage reads one whole message from its octets.
func parseMessage(p []byte) (message, error) {
	c := cursor{b: p}
	v, kind, n, xid := c.u8(), c.u8(), c.u16(), c.u32()
	switch {
	case c.bad || int(n) != len(p):
		return message{}, errShort
	case v != version && kind != msgHello && kind != msgError:
		return message{}, fmt.Errorf("a message of version %d is not of OpenFlow 1.5", v)
	}
	return message{kind, xid, c.b}, nil
}
