package pipeline

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Answer: the fabric is every workload's neighbour and router. It answers ARP and ND for all addresses of a
// network's subnets with one virtual MAC, and echo requests to gateways, in the switch.

// The flags of a neighbour advertisement (RFC 4861, section 4.4), as nd_reserved holds them.
const (
	naRouter    = 0x80000000
	naSolicited = 0x40000000
	naOverride  = 0x20000000
)

func answerBase(o *flowsOf, s Settings) {
	routed := openflow.MAC(openflow.EthDst, s.VirtualMAC)
	if !s.VirtualMAC.IsZero() {
		router := s.VirtualMAC.LinkLocal()
		answerND(o, s, 310, naRouter, openflow.Addr(openflow.NDTarget, router))
		answerEcho(o, s.VirtualMAC, router)
		for _, f := range families() {
			o.add(TableAnswer, 100, when(f.any(), routed), to(TableTrack))
		}
	}
	// What link-local sources sent was let in for the answers above only.
	o.drop(TableAnswer, 200, DropLinkLocal, ipv6().any(), openflow.Prefix(openflow.IPv6Src, netip.MustParsePrefix("fe80::/10")))
	o.drop(TableAnswer, 210, DropNDUnanswered, ipv6().icmp(ndNeighborSolicit)...)
	o.drop(TableAnswer, 90, DropARPUnanswered, arp())
	o.drop(TableAnswer, 80, DropMulticast, openflow.Masked(openflow.EthDst, 1<<40, 1<<40))
	o.drop(TableAnswer, 0, DropNotRouted)

	if s.AgentND {
		for i := range uint64(askers) {
			o.add(TableAdvertise, 100, append(ipv6().icmp(ndNeighborSolicit), openflow.Masked(regScratch, i, askers-1)),
				openflow.Controller{Userdata: []byte(PurposeND), Meter: ndMeter + uint32(i)})
		}
	} else {
		o.add(TableAdvertise, 100, ipv6().icmp(ndNeighborAdvertise),
			openflow.Set(openflow.NDTLL, s.VirtualMAC.Uint64()), openflow.Output{Port: openflow.PortInPort})
	}
	o.drop(TableAdvertise, 0, DropNDUnanswered)
}

// answerNetwork answers for the network's subnets.
func answerNetwork(o *flowsOf, s Settings, n plan.Network) {
	mac := s.VirtualMAC
	if mac.IsZero() {
		return
	}
	here := srcNetwork(n.ID)
	for _, sub := range n.Subnets {
		if sub.IPv4.IsValid() {
			answerARP(o, mac, here, openflow.Prefix(openflow.ARPTPA, sub.IPv4))
		}
		if sub.IPv6.IsValid() {
			answerND(o, s, 300, 0, here, openflow.Prefix(openflow.NDTarget, sub.IPv6))
		}
		for _, gw := range []netip.Addr{sub.Gateway4, sub.Gateway6} {
			if !gw.IsValid() {
				continue
			}
			f := familyOf(gw)
			if gw.Is6() {
				answerND(o, s, 310, naRouter, here, openflow.Addr(openflow.NDTarget, gw))
			}
			if gw.Is4() {
				dhcpGateway(o, n, gw)
			}
			answerEcho(o, mac, gw, here)
			o.drop(TableAnswer, 150, DropGateway, here, f.any(), openflow.Addr(f.dst, gw))
		}
	}
}

// answerARP turns a request into the reply (RFC 826) and sends it back.
func answerARP(o *flowsOf, mac fabric.MAC, match ...openflow.FieldMatch) {
	o.add(TableAnswer, 300, append(match, arp(), openflow.Exact(openflow.ARPOp, 1)),
		move(openflow.EthSrc, openflow.EthDst), openflow.Set(openflow.EthSrc, mac.Uint64()),
		openflow.Set(openflow.ARPOp, 2),
		move(openflow.ARPSHA, openflow.ARPTHA), openflow.Set(openflow.ARPSHA, mac.Uint64()),
		move(openflow.ARPTPA, regScratch), move(openflow.ARPSPA, openflow.ARPTPA), move(regScratch, openflow.ARPSPA),
		openflow.Output{Port: openflow.PortInPort})
}

// answerND turns a solicitation into the advertisement (RFC 4861, section 7.2.4). The target's link-layer address
// can be set only where the packet is known to be an advertisement: in table Advertise. Where the agent answers, that
// table asks it.
func answerND(o *flowsOf, s Settings, priority uint16, naFlags uint64, match ...openflow.FieldMatch) {
	if s.AgentND {
		o.add(TableAnswer, priority, append(ipv6().icmp(ndNeighborSolicit), match...), move(openflow.InPort, regScratch), to(TableAdvertise))
		return
	}
	mac := s.VirtualMAC
	o.add(TableAnswer, priority, append(ipv6().icmp(ndNeighborSolicit), match...),
		move(openflow.EthSrc, openflow.EthDst), openflow.Set(openflow.EthSrc, mac.Uint64()),
		move(openflow.IPv6Src, openflow.IPv6Dst), move(openflow.NDTarget, openflow.IPv6Src),
		openflow.Set(openflow.IPTTL, 255),
		openflow.Set(openflow.NDReserved, naFlags|naSolicited|naOverride), openflow.Set(openflow.NDOptionsType, 2),
		openflow.Set(openflow.ICMPv6Type, ndNeighborAdvertise), openflow.Set(openflow.ICMPv6Code, 0),
		to(TableAdvertise))
}

// answerEcho turns a whole (unfragmented) echo request to addr into the reply.
func answerEcho(o *flowsOf, mac fabric.MAC, addr netip.Addr, match ...openflow.FieldMatch) {
	f := familyOf(addr)
	ms := append(f.icmp(f.echo.request), openflow.Exact(f.code, 0), openflow.Masked(openflow.IPFrag, 0, 3),
		openflow.MAC(openflow.EthDst, mac), openflow.Addr(f.dst, addr))
	o.add(TableAnswer, 300, append(ms, match...),
		move(openflow.EthSrc, openflow.EthDst), openflow.Set(openflow.EthSrc, mac.Uint64()),
		move(f.src, f.dst), openflow.SetValue(f.src, openflow.AddrValue(addr)),
		openflow.Set(openflow.IPTTL, 64), openflow.Set(f.typ, f.echo.reply),
		openflow.Output{Port: openflow.PortInPort})
}
