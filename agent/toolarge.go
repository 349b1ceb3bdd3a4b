package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/agent/icmp"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
)

// answerTooLarge returns the frame that tells the sender of a packet how large its packets may be, and nil where there is
// no answer to it: the packet is dropped and counted in any case.
func (s *state) answerTooLarge(q ovs.Question) ([]byte, error) {
	src, dst, ok := endsOf(q.Packet)
	if !ok {
		return nil, fmt.Errorf("the packet from port %d is no IP packet", q.Port)
	}
	at, from, err := s.senderOf(q.Port, src)
	if err != nil {
		return nil, err
	}
	return icmp.TooLarge(q.Packet, from, s.largestTo(at.Network, dst))
}

// senderOf returns the workload on a port that has an address, and the router that speaks to it: the gateway of the subnet
// that the address is in. As for DHCP, only flows that a barrier has confirmed count.
func (s *state) senderOf(port uint32, src netip.Addr) (pipeline.Attachment, icmp.Router, error) {
	for _, at := range s.flows.enforced {
		if at.OFPort != port || !slices.Contains(at.Addresses, src) {
			continue
		}
		sub, ok := subnetWith(s.index.networks[s.index.refs[at.Network]], src)
		from := icmp.Router{MAC: s.plan.Settings.VirtualMAC, Address: gatewayOf(sub, familyOf(src)), To: at.MAC}
		if ok && from.Address.IsValid() {
			return at, from, nil
		}
	}
	return pipeline.Attachment{}, icmp.Router{}, fmt.Errorf("nothing with the address %s and a gateway is attached to port %d", src, port)
}

// largestTo returns the largest IP packet that workloads of a network may send to an address, as the flows have it.
func (s *state) largestTo(from fabric.NetworkID, dst netip.Addr) int {
	own := s.index.networks[s.index.refs[from]]
	for _, id := range append([]fabric.NetworkID{from}, own.Peers...) {
		n := s.index.networks[s.index.refs[id]]
		if _, ok := subnetWith(n, dst); !ok || id != from && !slices.Contains(n.Peers, from) {
			continue
		}
		for _, at := range s.flows.enforced {
			if at.Network == id && slices.Contains(at.Addresses, dst) {
				return s.plan.Settings.MTU(n.MTU)
			}
		}
		mtu, bits := n.MTU, -1
		for _, r := range s.plan.Routes {
			if r.Network == id && r.Prefix.Bits() > bits && r.Prefix.Contains(dst) {
				mtu, bits = r.MTU, r.Prefix.Bits()
			}
		}
		return s.plan.Settings.MTU(mtu)
	}
	return s.plan.Settings.WorkloadMTU
}

// endsOf returns the source and the destination of the IP packet in an untagged Ethernet frame.
func endsOf(frame []byte) (src, dst netip.Addr, ok bool) {
	const ether, ipv4, ipv6 = 14, 20, 40
	switch {
	case len(frame) >= ether+ipv4 && frame[12] == 0x08 && frame[13] == 0x00:
		return netip.AddrFrom4([4]byte(frame[ether+12 : ether+16])), netip.AddrFrom4([4]byte(frame[ether+16 : ether+20])), true
	case len(frame) >= ether+ipv6 && frame[12] == 0x86 && frame[13] == 0xdd:
		return netip.AddrFrom16([16]byte(frame[ether+8 : ether+24])), netip.AddrFrom16([16]byte(frame[ether+24 : ether+40])), true
	}
	return netip.Addr{}, netip.Addr{}, false
}
