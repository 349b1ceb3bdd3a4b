package openflow

// DecodeFlowStats reads the body of a flow statistics reply.
func DecodeFlowStats(b []byte) ([]FlowStats, error) {
	c := cursor{b: b}
	var out []FlowStats
	for len(c.b) > 0 {
		s, err := c.flowStats()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// DecodeGroup reads one group description.
func DecodeGroup(b []byte) (GroupDesc, error) {
	c := cursor{b: b}
	return c.group()
}

// DecodeMeter reads one meter configuration.
func DecodeMeter(b []byte) (MeterDesc, error) {
	c := cursor{b: b}
	return c.meter()
}

// DecodePacketIn reads the body of a packet-in.
var DecodePacketIn = decodePacketIn

// Start makes a connection out of an open one.
var Start = start
