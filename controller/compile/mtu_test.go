package compile_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

// outer returns how large a workload's IP packet is on the wire between two nodes, written out from the formats of the headers and
// not from the compile's sums. device is the MTU of the sender's WireGuard device.
func outer(packet int, ipv6, encrypted bool, device int) int {
	ip := 20
	if ipv6 {
		ip = 40
	}
	if !encrypted {
		return packet + 14 + 8 + 8 + ip // Ethernet, VXLAN, UDP
	}
	inner := packet + 14 + 8 + 8 + 20
	padded := min((inner+15)/16*16, device)
	return max(inner, padded) + 16 + 16 + 8 + ip // message header, Poly1305 tag, UDP
}

// drawState draws a world whose links differ, over IPv4 or IPv6.
func drawState(t *rapid.T) compile.State {
	s := rapid.SampledFrom([]compile.State{startState(nil), encryptedState(topology.Overlay{}), encryptedState(hubs)}).Draw(t, "start")
	s = after(s, rapid.SliceOfN(rapid.Custom(drawChange), 0, 15).Draw(t, "history")...)
	ipv6 := rapid.Bool().Draw(t, "ipv6")
	for _, name := range worldNodes {
		n, ok := s.Nodes[name]
		if !ok {
			continue
		}
		n.MTU = rapid.OneOf(rapid.Just(0), rapid.IntRange(1350, 1520)).Draw(t, "link")
		if ipv6 {
			n.VTEP = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: name[1]})
		}
		s = after(s, compile.Change{Node: &compile.NodeChange{Name: name, State: &n}})
	}
	return s
}

// wayOf follows the plans from a node to another, as packets do.
func wayOf(plans map[fabric.NodeName]plan.Node, from, to fabric.NodeName) []fabric.NodeName {
	way := []fabric.NodeName{from}
	for at := from; at != to && len(way) < 10; {
		next := to
		for _, h := range plans[at].Hops {
			if h.Node == to {
				next = h.Via
			}
		}
		way, at = append(way, next), next
	}
	return way
}

// TestPacketsFitTheirWays: no packet that a route lets through is larger than a link on its way, over relays too, and a packet of one
// byte more is too large for one of them, or for the fabric, or for the network; with WireGuard of 16 more, because of its padding.
func TestPacketsFitTheirWays(t *testing.T) {
	narrowed, relayed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		plans, settings := compile.Plans(s), topology.FabricSpec{UnderlayMTU: topology.DefaultUnderlayMTU}
		if s.Intent != nil {
			settings = s.Intent.Settings()
		}
		link := func(n fabric.NodeName) int { return compile.LinkMTU(settings, s.Nodes[n]) }
		for name, n := range plans {
			mtus := map[fabric.NetworkID]int{}
			for _, v := range n.Networks {
				mtus[v.ID] = n.Settings.MTU(v.MTU)
			}
			for _, r := range n.Routes {
				if r.Node == name {
					continue
				}
				encrypted := n.Settings.Encryption.WireGuard && !n.Settings.Encryption.Plain(r.VTEP)
				way := []fabric.NodeName{name, r.Node}
				if encrypted {
					if way = wayOf(plans, name, r.Node); way[len(way)-1] != r.Node {
						continue // there is none
					}
				}
				fits := func(packet int) bool {
					for i := range way[1:] {
						a, b := s.Nodes[way[i]], s.Nodes[way[i+1]]
						device := plans[way[i]].Settings.WorkloadMTU + 50
						if outer(packet, a.VTEP.Is6() || b.VTEP.Is6(), encrypted, device) > min(link(way[i]), link(way[i+1])) {
							return false
						}
					}
					return true
				}
				most := n.Settings.MTU(r.MTU)
				if !fits(most) {
					t.Fatalf("%s to %s over %v: %d bytes are let through and don't fit", name, r.Node, way, most)
				}
				more := 1
				if encrypted {
					more = 16
				}
				if most < mtus[r.Network] && fits(most+more) {
					t.Fatalf("%s to %s over %v: more than %d bytes would fit", name, r.Node, way, most)
				}
				if most > mtus[r.Network] {
					t.Fatalf("%s to %s: %d bytes for a network of %d", name, r.Node, most, mtus[r.Network])
				}
				if most < mtus[r.Network] {
					narrowed++
					if len(way) > 2 {
						relayed++
					}
				}
			}
		}
	})
	if narrowed == 0 || relayed == 0 {
		t.Errorf("%d ways were narrow, %d of them relayed: the draw is too poor", narrowed, relayed)
	}
}
