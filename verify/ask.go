package verify

import (
	"fmt"

	"github.com/weftfabric/weft/wire/openflow"
)

// Questions: what the agent answers goes to it as a packet-in of our own controller number, with a purpose as userdata,
// through one of that purpose's meters. The agent reads the packet and the port that it came in by, so neither may be
// rewritten before.

// purpose is a sort of question.
type purpose struct {
	userdata string
	meter    uint32 // the first of its meters
}

func dhcpv4() purpose    { return purpose{"dhcp4", 0x100} }
func solicited() purpose { return purpose{"nd", 0x300} }

// askMeters is how many meters each purpose has.
const askMeters = 16

// asks says in what a packet that left the tables differs from a question of a purpose; nothing if it doesn't.
func (o *out) asks(p purpose) string {
	a := o.ask
	switch {
	case a.ID != 0:
		return fmt.Sprintf("handed to controller %d", a.ID)
	case string(a.Userdata) != p.userdata:
		return fmt.Sprintf("handed to the agent as %q", a.Userdata)
	case a.Pause:
		return "handed to the agent, and held"
	case a.Meter < p.meter || a.Meter >= p.meter+askMeters:
		return fmt.Sprintf("handed to the agent through meter %d", a.Meter)
	case a.MaxLen != 0:
		return fmt.Sprintf("handed to the agent without what is behind octet %d", a.MaxLen)
	}
	return ""
}

// askedWrongly says in what packets that the agent answers differ from the promise.
func (s *state) askedWrongly(p purpose) string {
	if s.stopped || len(s.outs) != 1 || !s.outs[0].agent {
		return s.arrived()
	}
	o := &s.outs[0]
	if wrong := o.asks(p); wrong != "" {
		return wrong
	}
	if !s.same(o.cells, openflow.InPort, variable(openflow.InPort)) {
		return "handed to the agent as from another port"
	}
	if wrong := s.changed(o.cells); wrong != "" {
		return "handed to the agent, " + wrong
	}
	return ""
}
