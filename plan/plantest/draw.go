// Package plantest draws random plans for property tests.
package plantest

import (
	"fmt"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// networks are the numbers of the networks that drawn plans choose from; few, so that two plans share keys.
var networks = []fabric.NetworkID{1, 2, 7, fabric.MaxNetworkID}

// Draw returns a consistent plan, in canonical order, of the node with a name.
func Draw(t *rapid.T, name fabric.NodeName) plan.Node {
	n := plan.Node{Name: name, Settings: plan.Settings{
		VTEP:          addr(t, "vtep"),
		VXLANPort:     rapid.SampledFrom([]uint16{1, 4789, 65535}).Draw(t, "vxlanPort"),
		VirtualMAC:    fabric.MAC{2, 0x77, 0x65, 0x66, 0x74, rapid.Byte().Draw(t, "mac")},
		WorkloadMTU:   rapid.IntRange(1280, 9000).Draw(t, "mtu"),
		IgnoredLabels: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b/", "c"}), 0, 3, rapid.ID).Draw(t, "ignored"),
		LogDenials:    rapid.Bool().Draw(t, "logDenials"),
	}}
	drawTunnels(t, &n)
	for _, peer := range some(t, "peers", []fabric.NodeName{"n2", "n3", "n4"}) {
		n.Peers = append(n.Peers, plan.Peer{Name: peer, VTEP: addr(t, "peerVTEP")})
	}
	for _, id := range some(t, "networks", networks) {
		drawNetwork(t, &n, id)
	}
	plan.Sort(&n)
	return n
}

// drawTunnels adds what encrypted plans have, or nothing.
func drawTunnels(t *rapid.T, n *plan.Node) {
	n.Settings.Underlay = n.Settings.VTEP
	if n.Settings.StrictIdentity = rapid.Bool().Draw(t, "strict"); n.Settings.StrictIdentity {
		n.Placements = some(t, "placements", []plan.Placement{{Node: "n2", Identity: 0x101}, {Node: "n2", Identity: 0x102}, {Node: "n3", Identity: 0x101}})
	}
	if !rapid.Bool().Draw(t, "wireguard") {
		return
	}
	n.Settings.Underlay = addr(t, "underlay")
	n.Settings.Encryption = plan.Encryption{
		WireGuard: true, Required: rapid.Bool().Draw(t, "required"), Relay: rapid.Bool().Draw(t, "relay"),
		Port: rapid.SampledFrom([]uint16{1, 51820}).Draw(t, "port"), VTEPs: netip.MustParsePrefix("100.92.0.0/16"),
	}
	if rapid.Bool().Draw(t, "keyed") {
		n.Settings.Encryption.Probe = netip.MustParseAddr("100.92.128.1")
	}
	for i, name := range some(t, "tunnels", []fabric.NodeName{"n2", "n3", "n4"}) {
		tunnel := plan.Tunnel{
			Name: name, VTEP: netip.AddrFrom4([4]byte{100, 92, 0, byte(i)}), Probe: netip.AddrFrom4([4]byte{100, 92, 128, byte(i)}),
			End: end(t, 1), Keepalive: rapid.SampledFrom([]uint16{0, 25}).Draw(t, "keepalive"),
			MTU: rapid.SampledFrom([]int{0, 1300}).Draw(t, "tunnelMTU"),
		}
		if rapid.Bool().Draw(t, "rotates") {
			tunnel.Next = end(t, 3)
		}
		n.Tunnels = append(n.Tunnels, tunnel)
		if name != "n2" && rapid.Bool().Draw(t, "relayed") {
			n.Hops = append(n.Hops, plan.Hop{Node: name, VTEP: tunnel.VTEP, Via: "n2"})
		}
	}
}

func end(t *rapid.T, low byte) plan.TunnelEnd {
	e := plan.TunnelEnd{Key: fabric.PublicKey{rapid.ByteRange(low, low+1).Draw(t, "key")}}
	if rapid.Bool().Draw(t, "reachable") {
		e.Endpoint = netip.AddrPortFrom(addr(t, "endpoint"), 51820)
	}
	return e
}

// drawNetwork adds a network with what belongs to it.
func drawNetwork(t *rapid.T, n *plan.Node, id fabric.NetworkID) {
	base := fabric.Identity(id) << 8
	n.Networks = append(n.Networks, plan.Network{
		ID: id, Ref: fabric.NetworkRef{Tenant: "acme", Name: fmt.Sprintf("net%d", id)},
		Hosted: rapid.Bool().Draw(t, "hosted"), Encrypted: rapid.Bool().Draw(t, "encrypted"),
		Blocks: []fabric.VNIBlock{{Base: base, Bits: 16}},
		Subnets: []plan.Subnet{
			{Name: "web", IPv4: netip.MustParsePrefix("10.0.0.0/24"), Gateway4: netip.MustParseAddr("10.0.0.1"),
				DNS: some(t, "dns", []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("9.9.9.9")})},
			{Name: "app", IPv6: netip.MustParsePrefix("fd00::/64"), Gateway6: netip.MustParseAddr("fd00::1")},
		}[:rapid.IntRange(1, 2).Draw(t, "subnets")],
		MTU:      rapid.SampledFrom([]int{0, 576, 1400}).Draw(t, "networkMTU"),
		Peers:    some(t, "peerings", networks),
		Reserved: some(t, "reserved", []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}),
	})
	for _, i := range some(t, "identities", []int{1, 2, 255}) {
		n.Identities = append(n.Identities, plan.Identity{
			ID: base + fabric.Identity(i), Network: id,
			Labels: rapid.MapOfN(rapid.SampledFrom([]string{"app", "env"}), rapid.SampledFrom([]string{"", "web", "db"}), 0, 2).Draw(t, "labels"),
		})
	}
	for _, p := range some(t, "routes", []string{"10.0.0.64/26", "10.0.0.9/32", "fd00::40/122"}) {
		n.Routes = append(n.Routes, plan.Route{
			Network: id, Prefix: netip.MustParsePrefix(p), Node: rapid.SampledFrom([]fabric.NodeName{"n1", "n2"}).Draw(t, "node"),
			VTEP: addr(t, "routeVTEP"), Lease: rapid.Bool().Draw(t, "lease"), Subnet: "web",
			MTU: rapid.SampledFrom([]int{0, 1300}).Draw(t, "routeMTU"),
		})
	}
	if rapid.Bool().Draw(t, "withPort") {
		n.Ports = append(n.Ports, plan.Port{
			Ref: fabric.PortRef{Tenant: "acme", Name: fmt.Sprintf("vm%d", id)}, UID: "6ba7b811-9dad-51d1-80b4-00c04fd430c8",
			Network: id, Subnet: "web", Identity: base + 1, MAC: fabric.MAC{2, 0, 0, 0, 0, 1},
			Addresses: some(t, "addresses", []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}),
			Client:    rapid.SampledFrom([]plan.Client{{}, {Key: fabric.PublicKey{1}}, {Key: fabric.PublicKey{2}, Listen: 51830}}).Draw(t, "client"),
		})
	}
	table := firewall.Table{Network: id}
	for _, rule := range some(t, "rules", []firewall.RuleID{1, 2, 3, 1<<32 - 1}) {
		table.Rules = append(table.Rules, drawRule(t, rule, base))
	}
	n.Tables = append(n.Tables, table)
}

func drawRule(t *rapid.T, id firewall.RuleID, base fabric.Identity) firewall.Rule {
	r := firewall.Rule{
		ID:        id,
		Tier:      rapid.SampledFrom([]firewall.Tier{firewall.Platform, firewall.Posture}).Draw(t, "tier"),
		Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
		Action:    rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
		Order:     firewall.Order{Last: rapid.Bool().Draw(t, "last"), Priority: rapid.IntRange(1, 1000).Draw(t, "priority"), Policy: "acme/p", Index: rapid.IntRange(0, 9).Draw(t, "index")},
		Subject:   firewall.Workloads{Any: rapid.Bool().Draw(t, "anySubject")},
		Peers:     firewall.Peers{Any: rapid.Bool().Draw(t, "anyPeer")},
		Log:       rapid.Bool().Draw(t, "log"),
		Origin:    firewall.Origin{Policy: "FirewallPolicy acme/p", Rule: "ingress[0]", File: "shop.yaml", Line: rapid.IntRange(0, 99).Draw(t, "line")},
	}
	if !r.Subject.Any {
		r.Subject.IDs = some(t, "subjects", []fabric.Identity{base + 1, base + 2})
	}
	if !r.Peers.Any {
		r.Peers.IDs = some(t, "peerIDs", []fabric.Identity{base + 1, base + 2})
		r.Peers.Blocks = some(t, "peerBlocks", []fabric.VNIBlock{{Base: 0x100, Bits: 16}, {Base: 0x10000, Bits: 8}})
		for _, p := range some(t, "cidrs", []string{"10.0.0.0/8", "fd00::/16", "0.0.0.0/0"}) {
			r.Peers.CIDRs = append(r.Peers.CIDRs, firewall.CIDR{Prefix: netip.MustParsePrefix(p)})
		}
		for i := range r.Peers.CIDRs {
			if r.Peers.CIDRs[i].Prefix.Addr().Is4() {
				r.Peers.CIDRs[i].Except = some(t, "except", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")})
			}
		}
	}
	r.Services = some(t, "services", []firewall.Service{
		{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 80, Last: 90}},
		{Protocol: firewall.UDP},
		{Protocol: firewall.ICMP, Type: 8, Code: -1},
		{Protocol: firewall.ICMPv6, Type: -1, Code: -1},
	})
	return r
}

func addr(t *rapid.T, label string) netip.Addr {
	return rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}).Draw(t, label)
}

// some returns a random subset of all, in a random order.
func some[T any](t *rapid.T, label string, all []T) []T {
	picked := rapid.Permutation(all).Draw(t, label)
	return slices.Clone(picked[:rapid.IntRange(0, len(all)).Draw(t, label+"Count")])
}
