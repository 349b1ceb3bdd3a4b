package agent

import (
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/wire/openflow"
)

// A port that the agent plugs asks for its number (ofport_request), so the flows go into the switch while the link is
// made and plugged. They match nothing before the port is there: the numbers are from the upper half, of which vswitchd
// gives none by itself, and each rests as long as possible after its port is gone. The request stays with the port: it
// has the same number after a restart of vswitchd.
const (
	firstNumber = 1 << 15
	lastNumber  = 0xfeff // OFPP_MAX is the next one
)

// nextNumber returns a number for a new port, different from all that are in use; 0 when there is none.
func (s *state) nextNumber() uint32 {
	used := map[uint32]bool{}
	for _, i := range s.ovs.Interfaces {
		used[i.OFPort], used[i.Requested] = true, true
	}
	for _, at := range s.reserved {
		used[at.Number] = true
	}
	for n := range s.flows.ports {
		used[n] = true
	}
	n := s.lastNumber
	for range lastNumber - firstNumber + 1 {
		if n++; n < firstNumber || n > lastNumber {
			n = firstNumber
		}
		if !used[n] {
			s.lastNumber = n
			return n
		}
	}
	return 0
}

// portNumber returns the number that the switch has given to an interface; 0 while it has given none. The switch tells
// of a port by OpenFlow some milliseconds before the database does.
func (s *state) portNumber(i ovs.Interface) uint32 {
	switch {
	case i.OFPort != 0 && !s.flows.stale(i):
		return i.OFPort
	case i.Requested != 0 && s.flows.ports[i.Requested] == i.Name:
		return i.Requested
	}
	return 0
}

// flowNumber returns the number for which an interface's flows are made: that of its port, or the one that it asks for.
func (s *state) flowNumber(i ovs.Interface) uint32 {
	if n := s.portNumber(i); n != 0 || i.OFPort != 0 {
		return n
	}
	return s.reserved[i.Name].Number
}

// portsTold takes over what the switch says of its ports.
func (s *state) portsTold(changes []openflow.PortChange) {
	if s.flows.ports == nil {
		s.flows.ports = map[uint32]string{}
	}
	for _, c := range changes {
		if c.Deleted {
			delete(s.flows.ports, c.Number)
			continue
		}
		s.flows.ports[c.Number] = c.Name
		if i, ok := s.ovs.Interface(c.Name); ok && s.reserved[c.Name].Number != c.Number && i.Requested == c.Number {
			s.flows.dirty = true
		}
	}
}
