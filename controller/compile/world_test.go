package compile_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// The world of the random histories is small, so that changes meet: two tenants, three networks, four nodes.
var (
	netAX = fabric.NetworkRef{Tenant: "a", Name: "x"}
	netAY = fabric.NetworkRef{Tenant: "a", Name: "y"}
	netBX = fabric.NetworkRef{Tenant: "b", Name: "x"}

	worldNetworks = []fabric.NetworkRef{netAX, netAY, netBX}
	worldNodes    = []fabric.NodeName{"n1", "n2", "n3", "n4"}
	worldLabels   = []fabric.Labels{nil, {"app": "web"}, {"app": "db"}, {"app": "web", "env": "test"}}
	worldPorts    = []fabric.PortRef{{Tenant: "a", Name: "vm1"}, {Tenant: "a", Name: "vm2"}, {Tenant: "b", Name: "vm1"}}
	worldClient   = fabric.PortRef{Tenant: "a", Name: "laptop"}
)

func object(body any) *topology.Object {
	o, ok := topology.NewObject(body)
	if !ok {
		panic(fmt.Sprintf("%T is no kind", body))
	}
	return o
}

func worldIndex(ref fabric.NetworkRef) int { return slices.Index(worldNetworks, ref) }

func network(ref fabric.NetworkRef, posture topology.Action) *topology.Object {
	i := worldIndex(ref)
	return object(&topology.Network{
		Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
		Spec: topology.NetworkSpec{Posture: posture, Subnets: []topology.Subnet{{
			Name: "main", IPv4: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/24", i)), IPv6: netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", i)),
		}}},
	})
}

func tenant(name, tier string, posture topology.Action) *topology.Object {
	return object(&topology.Tenant{Metadata: topology.Metadata{Name: name, Labels: fabric.Labels{"tier": tier}}, Spec: topology.TenantSpec{Posture: posture}})
}

func peering(from, to fabric.NetworkRef) *topology.Object {
	return object(&topology.Peering{
		Metadata: topology.Metadata{Tenant: from.Tenant, Name: from.Name + "-" + to.Tenant + "-" + to.Name},
		Spec:     topology.PeeringSpec{Network: from.Name, Peer: topology.PeerNetwork{Tenant: to.Tenant, Network: to.Name}},
	})
}

func port(ref fabric.PortRef, network string, labels fabric.Labels, addresses ...netip.Addr) *topology.Object {
	return object(&topology.Port{
		Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name, Labels: labels},
		Spec:     topology.PortSpec{Network: network, Addresses: addresses},
	})
}

// alloc gives each network of the world its number and its first, or its first two blocks.
func alloc(ref fabric.NetworkRef, blocks int) *compile.NetworkAlloc {
	a := &compile.NetworkAlloc{ID: fabric.NetworkID(worldIndex(ref) + 1)}
	for b := range blocks {
		a.Blocks = append(a.Blocks, fabric.VNIBlock{Base: fabric.Identity(b<<4|int(a.ID)) << 8, Bits: 16})
	}
	return a
}

func vtep(node fabric.NodeName, generation int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("192.0.%d.%c", generation, node[1]))
}

func lease(ref fabric.NetworkRef, block int) compile.LeaseKey {
	return compile.LeaseKey{Network: ref, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(worldIndex(ref)), 0, byte(64 * block)}), 26)}
}

func drawSelector(t *rapid.T) topology.Selector {
	return rapid.SampledFrom([]topology.Selector{
		{}, {MatchLabels: fabric.Labels{"app": "web"}}, {MatchLabels: fabric.Labels{"app": "nobody"}},
		{MatchExpressions: []topology.Requirement{{Key: "env", Operator: topology.DoesNotExist}}},
	}).Draw(t, "selector")
}

func drawPeers(t *rapid.T) []topology.Peer {
	if rapid.IntRange(0, 2).Draw(t, "everyone") == 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) topology.Peer {
		switch rapid.IntRange(0, 3).Draw(t, "peerKind") {
		case 0:
			return topology.Peer{CIDR: &topology.CIDRPeer{CIDR: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}}
		case 1:
			return topology.Peer{AddressGroup: "g"}
		case 2:
			ref := rapid.SampledFrom(worldNetworks).Draw(t, "peerNetwork")
			return topology.Peer{Workloads: &topology.WorkloadPeer{Tenant: ref.Tenant, Network: ref.Name, Selector: drawSelector(t)}}
		}
		return topology.Peer{Workloads: &topology.WorkloadPeer{Selector: drawSelector(t)}}
	}), 1, 3).Draw(t, "peers")
}

func drawRules(t *rapid.T, egress bool) []topology.Rule {
	if rapid.Bool().Draw(t, "ungoverned") {
		return nil
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) topology.Rule {
		r := topology.Rule{Action: rapid.SampledFrom([]topology.Action{topology.Allow, topology.Deny, topology.Pass}).Draw(t, "action"), Log: rapid.Bool().Draw(t, "log")}
		if egress {
			r.To = drawPeers(t)
		} else {
			r.From = drawPeers(t)
		}
		if rapid.Bool().Draw(t, "ports") {
			r.Ports = []topology.PortRange{{Protocol: topology.TCP, Port: 80, EndPort: 90}, {Protocol: topology.UDP}}
		}
		return r
	}), 0, 2).Draw(t, "rules")
}

// drawEncryption draws what a fabric says of tunnels; half of the fabrics have none.
func drawEncryption(t *rapid.T, s *topology.FabricSpec) {
	s.StrictIdentity = rapid.Bool().Draw(t, "strict")
	if rapid.Bool().Draw(t, "plain") {
		return
	}
	s.Encryption = topology.Encryption{Mode: topology.EncryptionWireGuard, Required: rapid.Bool().Draw(t, "required")}
	gateway := topology.Selector{MatchLabels: fabric.Labels{"role": "gw"}}
	s.Overlay = rapid.SampledFrom([]topology.Overlay{
		{}, {Type: topology.OverlayHub, Hub: &topology.HubOverlay{Nodes: []string{"n1"}, Selector: &gateway}},
		{Type: topology.OverlayZones, Zones: &topology.ZonesOverlay{Label: "zone", Gateways: gateway}},
		{Type: topology.OverlayLinks, Links: []topology.OverlayLink{{From: "n1", To: "n2"}, {From: "n2", To: "n3"}, {From: "n4", To: "n3"}}},
	}).Draw(t, "overlay")
}

// drawNode draws what a node registers; most have keys.
func drawNode(t *rapid.T, name fabric.NodeName) *compile.NodeState {
	n := &compile.NodeState{
		VTEP:   vtep(name, rapid.IntRange(1, 2).Draw(t, "generation")),
		Labels: rapid.SampledFrom([]fabric.Labels{nil, {"zone": "x"}, {"zone": "x", "role": "gw"}, {"zone": "y", "role": "gw"}}).Draw(t, "nodeLabels"),
	}
	n.MTU = rapid.SampledFrom([]int{0, 0, 1400, 1450, 9000}).Draw(t, "linkMTU")
	if rapid.IntRange(0, 3).Draw(t, "keyless") > 0 {
		n.Overlay = overlayAddr(name, rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "overlay"))
		n.WireGuard = compile.WireGuard{Key: fabric.PublicKey{name[1], rapid.Byte().Draw(t, "key")}, Port: rapid.SampledFrom([]uint16{0, 7}).Draw(t, "wgPort")}
		n.NAT = rapid.IntRange(0, 4).Draw(t, "nat") == 0
		if rapid.Bool().Draw(t, "rotates") {
			n.Next = compile.WireGuard{Key: fabric.PublicKey{name[1], 1, 2}}
		}
	}
	return n
}

func overlayAddr(name fabric.NodeName, generation int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 92, byte(generation), name[1] - '0'})
}

// drawObject draws an object of any kind, of few names each.
func drawObject(t *rapid.T) *topology.Object {
	posture := rapid.SampledFrom([]topology.Action{"", topology.Allow, topology.Deny})
	ref := rapid.SampledFrom(worldNetworks).Draw(t, "network")
	switch rapid.SampledFrom(topology.Kinds).Draw(t, "kind") {
	case topology.KindFabric:
		f := &topology.Fabric{Metadata: topology.Metadata{Name: "default"}}
		f.Spec.UnderlayMTU = rapid.SampledFrom([]int{0, 9000}).Draw(t, "mtu")
		f.Spec.Posture = posture.Draw(t, "posture")
		f.Spec.LogDenials = rapid.Bool().Draw(t, "logDenials")
		drawEncryption(t, &f.Spec)
		f.Spec.Clients = rapid.SampledFrom([]*topology.ClientAccess{nil, {Port: 51830}, {Port: 60000}}).Draw(t, "clients")
		f.Spec.IgnoredLabels = rapid.SampledFrom([][]string{nil, {"env"}}).Draw(t, "ignored")
		return object(f)
	case topology.KindTenant:
		o := tenant(ref.Tenant, rapid.SampledFrom([]string{"gold", "iron"}).Draw(t, "tier"), posture.Draw(t, "posture"))
		o.Tenant.Spec.LogDenials = rapid.Bool().Draw(t, "logDenials")
		return o
	case topology.KindNetwork:
		o := network(ref, posture.Draw(t, "posture"))
		o.Network.Spec.MTU = rapid.SampledFrom([]int{0, 0, 1300}).Draw(t, "networkMTU")
		return o
	case topology.KindPeering:
		return peering(ref, rapid.SampledFrom(worldNetworks).Draw(t, "to"))
	case topology.KindPort:
		p := rapid.SampledFrom(worldPorts).Draw(t, "port")
		return port(p, ref.Name, rapid.SampledFrom(worldLabels).Draw(t, "labels"),
			rapid.SampledFrom([][]netip.Addr{nil, {netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("fd00::200")}}).Draw(t, "addresses")...)
	case topology.KindClient:
		return object(&topology.Client{
			Metadata: topology.Metadata{Tenant: worldClient.Tenant, Name: worldClient.Name, Labels: rapid.SampledFrom(worldLabels).Draw(t, "labels")},
			Spec: topology.ClientSpec{
				Network: ref.Name, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.210")},
				PublicKey: fabric.PublicKey{byte(rapid.IntRange(1, 2).Draw(t, "clientKey"))},
			},
		})
	case topology.KindAddressGroup:
		return object(&topology.AddressGroup{
			Metadata: topology.Metadata{Name: "g", Tenant: rapid.SampledFrom([]string{"", "a"}).Draw(t, "groupTenant")},
			Spec:     topology.AddressGroupSpec{Prefixes: []netip.Prefix{netip.MustParsePrefix(rapid.SampledFrom([]string{"192.0.2.0/24", "10.0.0.0/24"}).Draw(t, "prefix"))}},
		})
	case topology.KindFirewallPolicy:
		return object(&topology.FirewallPolicy{
			Metadata: topology.Metadata{Name: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "policy"), Tenant: ref.Tenant},
			Spec: topology.FirewallPolicySpec{
				Network: rapid.SampledFrom([]string{"", "x"}).Draw(t, "policyNetwork"), Priority: rapid.IntRange(1, 2).Draw(t, "priority"),
				Subject: drawSelector(t), Ingress: drawRules(t, false), Egress: drawRules(t, true),
			},
		})
	}
	return object(&topology.PlatformPolicy{
		Metadata: topology.Metadata{Name: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "policy")},
		Spec: topology.PlatformPolicySpec{
			Tier: rapid.SampledFrom([]topology.PolicyTier{topology.TierPlatform, topology.TierBaseline}).Draw(t, "tier"), Priority: 500,
			Subject: topology.PlatformSubject{Tenants: topology.Selector{MatchLabels: fabric.Labels{"tier": "gold"}}, Workloads: drawSelector(t)},
			Ingress: drawRules(t, false), Egress: drawRules(t, true),
		},
	})
}

// drawChange draws any change; objects are set more often than removed.
func drawChange(t *rapid.T) compile.Change {
	gone := rapid.IntRange(0, 3).Draw(t, "gone") == 0
	ref := rapid.SampledFrom(worldNetworks).Draw(t, "changeNetwork")
	node := rapid.SampledFrom(worldNodes).Draw(t, "node")
	switch rapid.IntRange(0, 10).Draw(t, "change") {
	case 0:
		c := &compile.NetworkChange{Network: ref}
		if !gone {
			c.Alloc = alloc(ref, rapid.IntRange(1, 2).Draw(t, "blocks"))
		}
		return compile.Change{Network: c}
	case 1:
		c := &compile.IdentityChange{ID: alloc(ref, 1).Blocks[0].Base + fabric.Identity(rapid.IntRange(0, 3).Draw(t, "identity"))}
		if !gone {
			c.Alloc = &compile.IdentityAlloc{Network: ref, Labels: rapid.SampledFrom(worldLabels).Draw(t, "identityLabels")}
		}
		return compile.Change{Identity: c}
	case 2:
		c := &compile.LeaseChange{Key: lease(ref, rapid.IntRange(0, 3).Draw(t, "block"))}
		if !gone {
			c.Lease = &compile.Lease{Node: node, Subnet: "main"}
		}
		return compile.Change{Lease: c}
	case 3:
		if gone {
			node = ""
		}
		return compile.Change{Binding: &compile.BindingChange{Port: rapid.SampledFrom(append([]fabric.PortRef{worldClient}, worldPorts...)).Draw(t, "bound"), Node: node}}
	case 4:
		c := &compile.NodeChange{Name: node}
		if !gone {
			c.State = drawNode(t, node)
		}
		return compile.Change{Node: c}
	case 5:
		other := rapid.SampledFrom(worldNodes).Draw(t, "end")
		return compile.Change{Link: &compile.LinkChange{Link: overlay.LinkOf(node, other), Failed: !gone}}
	case 6:
		id := alloc(ref, 1).Blocks[0].Base + fabric.Identity(rapid.IntRange(0, 3).Draw(t, "identity"))
		return compile.Change{Placed: &compile.PlacedChange{Placement: plan.Placement{Node: node, Identity: id}, Gone: gone}}
	}
	o := drawObject(t)
	if gone {
		return compile.Change{ObjectGone: &o.Key}
	}
	return compile.Change{Object: o}
}

func emptyState() compile.State {
	return compile.State{
		Intent: topology.NewIntent(), Networks: map[fabric.NetworkRef]compile.NetworkAlloc{}, Identities: map[fabric.Identity]compile.IdentityAlloc{},
		Leases: map[compile.LeaseKey]compile.Lease{}, Bindings: map[fabric.PortRef]fabric.NodeName{}, Nodes: map[fabric.NodeName]compile.NodeState{},
		Failed: map[overlay.Link]bool{}, Placed: map[plan.Placement]bool{},
	}
}

// after is the naive twin of Engine.Apply: the state after changes.
func after(s compile.State, changes ...compile.Change) compile.State {
	s.Networks, s.Identities, s.Leases = maps.Clone(s.Networks), maps.Clone(s.Identities), maps.Clone(s.Leases)
	s.Bindings, s.Nodes, s.Failed, s.Placed = maps.Clone(s.Bindings), maps.Clone(s.Nodes), maps.Clone(s.Failed), maps.Clone(s.Placed)
	for _, c := range changes {
		switch {
		case c.Object != nil:
			s.Intent = s.Intent.With(c.Object)
		case c.ObjectGone != nil:
			s.Intent = s.Intent.Without(*c.ObjectGone)
		case c.Network != nil:
			set(s.Networks, c.Network.Network, c.Network.Alloc)
		case c.Identity != nil:
			set(s.Identities, c.Identity.ID, c.Identity.Alloc)
		case c.Lease != nil:
			set(s.Leases, c.Lease.Key, c.Lease.Lease)
		case c.Node != nil:
			set(s.Nodes, c.Node.Name, c.Node.State)
		case c.Link != nil && c.Link.Failed:
			s.Failed[c.Link.Link] = true
		case c.Link != nil:
			delete(s.Failed, c.Link.Link)
		case c.Placed != nil && !c.Placed.Gone:
			s.Placed[c.Placed.Placement] = true
		case c.Placed != nil:
			delete(s.Placed, c.Placed.Placement)
		case c.Binding != nil && c.Binding.Node == "":
			delete(s.Bindings, c.Binding.Port)
		case c.Binding != nil:
			s.Bindings[c.Binding.Port] = c.Binding.Node
		}
	}
	return s
}

func set[K comparable, V any](m map[K]V, k K, v *V) {
	if v == nil {
		delete(m, k)
	} else {
		m[k] = *v
	}
}

// facts are the changes that lead from nothing to s, in no particular order.
func facts(s compile.State) []compile.Change {
	var out []compile.Change
	for _, o := range s.Intent.Objects() {
		out = append(out, compile.Change{Object: o})
	}
	for ref, a := range s.Networks {
		out = append(out, compile.Change{Network: &compile.NetworkChange{Network: ref, Alloc: &a}})
	}
	for id, a := range s.Identities {
		out = append(out, compile.Change{Identity: &compile.IdentityChange{ID: id, Alloc: &a}})
	}
	for key, l := range s.Leases {
		out = append(out, compile.Change{Lease: &compile.LeaseChange{Key: key, Lease: &l}})
	}
	for p, node := range s.Bindings {
		out = append(out, compile.Change{Binding: &compile.BindingChange{Port: p, Node: node}})
	}
	for l := range s.Failed {
		out = append(out, compile.Change{Link: &compile.LinkChange{Link: l, Failed: true}})
	}
	for p := range s.Placed {
		out = append(out, compile.Change{Placed: &compile.PlacedChange{Placement: p}})
	}
	for name, n := range s.Nodes {
		out = append(out, compile.Change{Node: &compile.NodeChange{Name: name, State: &n}})
	}
	return out
}

// startState is a working fabric: the networks a/x and b/x are peered, a/y stands alone; n1 and n2 host a/x,
// n3 hosts b/x, n4 hosts a/y. A policy of b/x selects workloads of a/x.
func startState(testing.TB) compile.State {
	s := after(emptyState(),
		compile.Change{Object: tenant("a", "gold", "")}, compile.Change{Object: tenant("b", "iron", "")},
		compile.Change{Object: peering(netAX, netBX)}, compile.Change{Object: peering(netBX, netAX)},
		compile.Change{Object: object(&topology.FirewallPolicy{
			Metadata: topology.Metadata{Tenant: "b", Name: "from-a"},
			Spec: topology.FirewallPolicySpec{Ingress: []topology.Rule{{From: []topology.Peer{{Workloads: &topology.WorkloadPeer{
				Tenant: "a", Network: "x", Selector: topology.Selector{MatchLabels: fabric.Labels{"app": "web"}},
			}}}}}},
		})},
		compile.Change{Object: port(worldPorts[0], "x", fabric.Labels{"app": "web"}, netip.MustParseAddr("10.0.0.200"))},
		compile.Change{Object: port(worldPorts[1], "x", fabric.Labels{"app": "web"})},
		compile.Change{Lease: &compile.LeaseChange{Key: lease(netAX, 0), Lease: &compile.Lease{Node: "n1", Subnet: "main"}}},
		compile.Change{Lease: &compile.LeaseChange{Key: lease(netAX, 1), Lease: &compile.Lease{Node: "n2", Subnet: "main"}}},
		compile.Change{Lease: &compile.LeaseChange{Key: lease(netBX, 0), Lease: &compile.Lease{Node: "n3", Subnet: "main"}}},
		compile.Change{Lease: &compile.LeaseChange{Key: lease(netAY, 0), Lease: &compile.Lease{Node: "n4", Subnet: "main"}}},
	)
	for _, ref := range worldNetworks {
		a := alloc(ref, 1)
		s = after(s, compile.Change{Object: network(ref, "")}, compile.Change{Network: &compile.NetworkChange{Network: ref, Alloc: a}})
		for i, labels := range worldLabels[1:] {
			s = after(s, compile.Change{Identity: &compile.IdentityChange{ID: a.Blocks[0].Base + fabric.Identity(i), Alloc: &compile.IdentityAlloc{Network: ref, Labels: labels}}})
		}
	}
	for _, n := range worldNodes {
		s = after(s, compile.Change{Node: &compile.NodeChange{Name: n, State: &compile.NodeState{VTEP: vtep(n, 1)}}})
	}
	return s
}
