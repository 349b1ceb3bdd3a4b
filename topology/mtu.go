package topology

import "slices"

// The bytes that tunnels add to a workload's IP packet.
const (
	// VXLAN: inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header (RFC 7348, section 5).
	vxlanIPv4 = 14 + 8 + 8 + 20
	vxlanIPv6 = 14 + 8 + 8 + 40
	// WireGuard: its data message 32, UDP 8 (WireGuard, 5.4.6), and the outer IP header. The tunnel addresses inside are IPv4.
	wireGuardIPv4 = 32 + 8 + 20
	wireGuardIPv6 = 32 + 8 + 40
)

// The least that workloads may have.
const (
	// minIPv6MTU is what every link of IPv6 carries (RFC 8200, section 5).
	minIPv6MTU = 1280
	// minNetworkMTU is what every host of IPv4 takes (RFC 791, section 3.1): the fabric's own ICMP errors and DHCP answers
	// have up to that many bytes, and would be lost in a network with less.
	minNetworkMTU = 576
)

// Underlay says how packets travel between two nodes.
type Underlay struct {
	// IPv6 is the family of the outer addresses.
	IPv6 bool
	// Encrypted says that VXLAN goes through WireGuard.
	Encrypted bool
}

// Overhead returns the bytes that are added to a workload's IP packet.
func (u Underlay) Overhead() int {
	switch {
	case u.Encrypted && u.IPv6:
		return vxlanIPv4 + wireGuardIPv6
	case u.Encrypted:
		return vxlanIPv4 + wireGuardIPv4
	case u.IPv6:
		return vxlanIPv6
	}
	return vxlanIPv4
}

// Leaves returns the largest IP packet of a workload that a link carries, of a fabric whose links should all carry declared
// bytes. WireGuard fills packets up to multiples of 16 bytes, but not beyond the MTU of its device, which follows from what
// is declared (WireGuard, 5.4.6; wg_packet_create_data in Linux).
func (u Underlay) Leaves(link, declared int) int {
	if !u.Encrypted || link >= declared {
		return min(link, declared) - u.Overhead()
	}
	return (link-(u.Overhead()-vxlanIPv4))&^15 - vxlanIPv4
}

// Tunnel returns the largest packet within a WireGuard tunnel that leaves a workload packets of mtu bytes.
func Tunnel(mtu int) int { return mtu + vxlanIPv4 }

// String names what adds the overhead.
func (u Underlay) String() string {
	family := "IPv4"
	if u.IPv6 {
		family = "IPv6"
	}
	if u.Encrypted {
		return "VXLAN and WireGuard over " + family
	}
	return "VXLAN over " + family
}

// Underlay returns how packets travel between nodes with addresses of a family, as far as the fabric's settings say.
func (s FabricSpec) Underlay(ipv6 bool) Underlay {
	return Underlay{IPv6: ipv6, Encrypted: s.Encryption.Mode == EncryptionWireGuard}
}

// WorkloadMTU returns what the tunnels leave to workloads of the declared MTU of the underlay.
func (s FabricSpec) WorkloadMTU(ipv6 bool) int { return s.UnderlayMTU - s.Underlay(ipv6).Overhead() }

// LeastMTU returns the smallest MTU that the network's workloads may have.
func (n *Network) LeastMTU() int {
	if slices.ContainsFunc(n.Spec.Subnets, func(s Subnet) bool { return s.IPv6.IsValid() }) {
		return minIPv6MTU
	}
	return minNetworkMTU
}

// networkMTU checks a network's MTU against its subnets and the fabric's settings. Nodes are not known here: what they leave
// over IPv4 is the most that they can leave.
func (v *validator) networkMTU(o *Object) {
	mtu := o.Network.Spec.MTU
	if mtu == 0 {
		return
	}
	fabric := v.intent.Settings()
	fits := fabric.WorkloadMTU(false)
	switch least := o.Network.LeastMTU(); {
	case mtu < least && least == minIPv6MTU:
		v.errorf(o, "spec.mtu", "is %d: IPv6 needs at least %d (RFC 8200), so write that or more, or remove the IPv6 ranges", mtu, least)
	case mtu < least:
		v.errorf(o, "spec.mtu", "is %d: it must be at least %d, which every IPv4 host takes (RFC 791)", mtu, least)
	case mtu > fits:
		v.errorf(o, "spec.mtu", "is %d, but no more than %d fits: the fabric's underlayMTU is %d, and %s takes %d",
			mtu, fits, fabric.UnderlayMTU, fabric.Underlay(false), fabric.Underlay(false).Overhead())
	}
}
