package agent

import (
	"fmt"
	"slices"

	"github.com/weftfabric/weft/agent/icmp"
	"github.com/weftfabric/weft/agent/ovs"
)

// answerND returns the frame that answers a neighbour solicitation. The flow that led it here has checked that the
// fabric answers for the address. As for DHCP, only flows that a barrier has confirmed count.
func (s *state) answerND(q ovs.Question) ([]byte, error) {
	target, err := icmp.Solicited(q.Packet)
	if err != nil {
		return nil, err
	}
	for _, at := range s.flows.enforced {
		if at.OFPort != q.Port {
			continue
		}
		mac := s.plan.Settings.VirtualMAC
		router := target == mac.LinkLocal()
		for _, sub := range s.index.networks[s.index.refs[at.Network]].Subnets {
			router = router || target == sub.Gateway6
		}
		if slices.Contains(at.Addresses, target) {
			return nil, nil // it asks for itself
		}
		return icmp.Advertise(q.Packet, mac, router)
	}
	return nil, fmt.Errorf("nothing is attached to port %d, which asks for %s", q.Port, target)
}
