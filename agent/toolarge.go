package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/agent/icmp"
	"github.com/weftfabric/weft/agent/ovs"
)

// answerTooLarge returns the frame that tells the sender of a packet how large its packets may be, and nil where there is
// no answer to it: the packet is dropped and counted in any case.
func (s *state) answerTooLarge(q ovs.Question) ([]byte, error) {
	from, err := s.gatewayOfSender(q)
	if err != nil {
		return nil, err
	}
	return icmp.TooLarge(q.Packet, from, s.plan.Settings.WorkloadMTU)
}

// gatewayOfSender returns the router that speaks to the workload on a port: the gateway of the subnet that a packet's
// source is in. As for DHCP, only flows that a barrier has confirmed count.
func (s *state) gatewayOfSender(q ovs.Question) (icmp.Router, error) {
	src, ok := sourceOf(q.Packet)
	if !ok {
		return icmp.Router{}, fmt.Errorf("the packet from port %d has no IP source", q.Port)
	}
	for _, at := range s.flows.enforced {
		if at.OFPort != q.Port || !slices.Contains(at.Addresses, src) {
			continue
		}
		sub, ok := subnetWith(s.index.networks[s.index.refs[at.Network]], src)
		from := icmp.Router{MAC: s.plan.Settings.VirtualMAC, Address: gatewayOf(sub, familyOf(src)), To: at.MAC}
		if ok && from.Address.IsValid() {
			return from, nil
		}
	}
	return icmp.Router{}, fmt.Errorf("nothing with the address %s and a gateway is attached to port %d", src, q.Port)
}

// sourceOf returns the source of the IP packet in an untagged Ethernet frame.
func sourceOf(frame []byte) (netip.Addr, bool) {
	const ether, ipv4, ipv6 = 14, 20, 40
	switch {
	case len(frame) >= ether+ipv4 && frame[12] == 0x08 && frame[13] == 0x00:
		return netip.AddrFrom4([4]byte(frame[ether+12 : ether+16])), true
	case len(frame) >= ether+ipv6 && frame[12] == 0x86 && frame[13] == 0xdd:
		return netip.AddrFrom16([16]byte(frame[ether+8 : ether+24])), true
	}
	return netip.Addr{}, false
}
