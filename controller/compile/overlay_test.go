package compile_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

var hubs = topology.Overlay{Type: topology.OverlayHub, Hub: &topology.HubOverlay{Nodes: []string{"n4"}}}

// encrypted is a Fabric with WireGuard.
func encrypted(o topology.Overlay, change func(*topology.FabricSpec)) compile.Change {
	f := &topology.Fabric{Metadata: topology.Metadata{Name: "default"}, Spec: topology.FabricSpec{Overlay: o}}
	f.Spec.Encryption.Mode = topology.EncryptionWireGuard
	if change != nil {
		change(&f.Spec)
	}
	return compile.Change{Object: object(f)}
}

func keyedNode(name fabric.NodeName) compile.NodeState {
	return compile.NodeState{VTEP: vtep(name, 1), Overlay: overlayAddr(name, 0), WireGuard: compile.WireGuard{Key: fabric.PublicKey{name[1]}}}
}

func setNode(name fabric.NodeName, change func(*compile.NodeState)) compile.Change {
	n := keyedNode(name)
	change(&n)
	return compile.Change{Node: &compile.NodeChange{Name: name, State: &n}}
}

// encryptedState is the start state with an encrypted overlay, and a key for each node.
func encryptedState(o topology.Overlay) compile.State {
	s := after(startState(nil), encrypted(o, nil))
	for _, name := range worldNodes {
		s = after(s, setNode(name, func(*compile.NodeState) {}))
	}
	return s
}

// TestEncryptedMesh reads one plan of an encrypted fabric in full.
func TestEncryptedMesh(t *testing.T) {
	n := compile.Plans(encryptedState(topology.Overlay{}))["n1"]
	a, end := netip.MustParseAddr, func(name fabric.NodeName) plan.TunnelEnd {
		return plan.TunnelEnd{Key: fabric.PublicKey{name[1]}, Endpoint: netip.AddrPortFrom(vtep(name, 1), 51820)}
	}
	wantSettings := plan.Encryption{WireGuard: true, Port: 51820, VTEPs: netip.MustParsePrefix("100.92.0.0/16"), Probe: a("100.92.128.1")}
	if diff := cmp.Diff(wantSettings, n.Settings.Encryption, plain); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if n.Settings.VTEP != a("100.92.0.1") || n.Settings.Underlay != a("192.0.1.1") || n.Settings.WorkloadMTU != 1500-50-60 {
		t.Errorf("settings: %+v", n.Settings)
	}
	want := []plan.Tunnel{
		{Name: "n2", VTEP: a("100.92.0.2"), Probe: a("100.92.128.2"), End: end("n2")},
		{Name: "n3", VTEP: a("100.92.0.3"), Probe: a("100.92.128.3"), End: end("n3")},
	}
	if diff := cmp.Diff(want, n.Tunnels, plain); diff != "" {
		t.Errorf("tunnels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]plan.Peer{{Name: "n2", VTEP: a("100.92.0.2")}, {Name: "n3", VTEP: a("100.92.0.3")}}, n.Peers, plain); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	for _, r := range n.Routes {
		if !n.Settings.Encryption.VTEPs.Contains(r.VTEP) {
			t.Errorf("route %+v leads outside the tunnels", r)
		}
	}
}

func TestHubPlans(t *testing.T) {
	plans := compile.Plans(encryptedState(hubs))
	a := netip.MustParseAddr
	wantHops := []plan.Hop{{Node: "n2", VTEP: a("100.92.0.2"), Via: "n4"}, {Node: "n3", VTEP: a("100.92.0.3"), Via: "n4"}}
	if diff := cmp.Diff(wantHops, plans["n1"].Hops, plain); diff != "" {
		t.Errorf("hops of n1 (-want +got):\n%s", diff)
	}
	if got := tunnelNames(plans["n4"]); !slices.Equal(got, []fabric.NodeName{"n1", "n2", "n3"}) || !plans["n4"].Settings.Encryption.Relay || len(plans["n4"].Peers) != 0 {
		t.Errorf("the hub has tunnels with %v, peers %v and relays: %v", got, plans["n4"].Peers, plans["n4"].Settings.Encryption.Relay)
	}
	n1 := plans["n1"]
	allowed := n1.Allowed()
	want := []netip.Prefix{netip.MustParsePrefix("100.92.0.2/32"), netip.MustParsePrefix("100.92.0.3/32"), netip.MustParsePrefix("100.92.0.4/32"), netip.MustParsePrefix("100.92.128.4/32")}
	if diff := cmp.Diff(map[fabric.NodeName][]netip.Prefix{"n4": want}, allowed, plain); diff != "" {
		t.Errorf("allowed on n1 (-want +got):\n%s", diff)
	}
}

func tunnelNames(n plan.Node) []fabric.NodeName {
	var out []fabric.NodeName
	for _, t := range n.Tunnels {
		out = append(out, t.Name)
	}
	return out
}

// TestNodesWithoutKeys: they are reached in the plain, unless that is forbidden for the fabric or the network.
func TestNodesWithoutKeys(t *testing.T) {
	keyless := setNode("n2", func(n *compile.NodeState) { n.WireGuard = compile.WireGuard{} })
	required := func(s *topology.FabricSpec) { s.Encryption.Required = true }
	strict := network(netAX, "")
	strict.Network.Spec.Encryption.Required = true
	rows := []struct {
		name    string
		changes []compile.Change
		// peers are the VTEPs by which n1, n2 and n3 know each other, in order of their names.
		peers map[fabric.NodeName]string
	}{
		{"allowed", []compile.Change{keyless}, map[fabric.NodeName]string{"n1": "n2=192.0.1.2 n3=100.92.0.3", "n2": "n1=192.0.1.1 n3=192.0.1.3", "n3": "n1=100.92.0.1 n2=192.0.1.2"}},
		{"forbidden", []compile.Change{keyless, encrypted(topology.Overlay{}, required)}, map[fabric.NodeName]string{"n1": "n3=100.92.0.3", "n2": "", "n3": "n1=100.92.0.1"}},
		{"forbidden for a network", []compile.Change{keyless, {Object: strict}}, map[fabric.NodeName]string{"n1": "n3=100.92.0.3", "n2": "n3=192.0.1.3", "n3": "n1=100.92.0.1"}},
		{"until it has a key", []compile.Change{encrypted(topology.Overlay{}, required)}, map[fabric.NodeName]string{"n1": "n2=100.92.0.2 n3=100.92.0.3", "n2": "n1=100.92.0.1 n3=100.92.0.3", "n3": "n1=100.92.0.1 n2=100.92.0.2"}},
	}
	for _, row := range rows {
		plans := compile.Plans(after(encryptedState(topology.Overlay{}), row.changes...))
		for name, want := range row.peers {
			n := plans[name]
			got := ""
			for _, p := range n.Peers {
				got += " " + string(p.Name) + "=" + p.VTEP.String()
			}
			if got != "" {
				got = got[1:]
			}
			if got != want {
				t.Errorf("%s: %s has the peers %q, want %q", row.name, name, got, want)
			}
			for _, r := range n.Routes {
				if r.Node != name && !slices.Contains(n.Peers, plan.Peer{Name: r.Node, VTEP: r.VTEP}) {
					t.Errorf("%s: %s has a route to %s at %s, which is no peer", row.name, name, r.Node, r.VTEP)
				}
			}
			own := slices.ContainsFunc(n.Routes, func(r plan.Route) bool { return r.Node == name })
			if !own {
				t.Errorf("%s: %s lost its own blocks", row.name, name)
			}
		}
	}
}

// TestWhoHearsOfTunnels counts the nodes whose plans a change of one tunnel's end changes.
func TestWhoHearsOfTunnels(t *testing.T) {
	rows := []struct {
		name    string
		overlay topology.Overlay
		change  compile.Change
		want    []fabric.NodeName
	}{
		{"underlay address", topology.Overlay{}, setNode("n1", func(n *compile.NodeState) { n.VTEP = vtep("n1", 2) }), []fabric.NodeName{"n1", "n2", "n3"}},
		{"next key", topology.Overlay{}, setNode("n1", func(n *compile.NodeState) { n.Next.Key[0] = 9 }), []fabric.NodeName{"n2", "n3"}},
		{"new key", topology.Overlay{}, setNode("n1", func(n *compile.NodeState) { n.WireGuard.Key[0] = 9 }), []fabric.NodeName{"n2", "n3"}},
		{"node without networks in common", topology.Overlay{}, setNode("n4", func(n *compile.NodeState) { n.WireGuard.Key[0] = 9 }), nil},
		{"spoke's key", hubs, setNode("n1", func(n *compile.NodeState) { n.WireGuard.Key[0] = 9 }), []fabric.NodeName{"n4"}},
		{"behind NAT", topology.Overlay{}, setNode("n1", func(n *compile.NodeState) { n.NAT = true }), []fabric.NodeName{"n1", "n2", "n3"}},
		{"link that fails", topology.Overlay{}, compile.Change{Link: &compile.LinkChange{Link: overlay.LinkOf("n1", "n2"), Failed: true}}, []fabric.NodeName{"n1", "n2", "n3"}},
		{"link that nobody has", topology.Overlay{}, compile.Change{Link: &compile.LinkChange{Link: overlay.LinkOf("n1", "n4"), Failed: true}}, nil},
	}
	for _, row := range rows {
		e := compile.NewEngine(encryptedState(row.overlay))
		e.Flush()
		e.Apply(row.change)
		changed, _ := e.Flush()
		if got := slices.Sorted(maps.Keys(changed)); !slices.Equal(got, row.want) {
			t.Errorf("%s: the plans of %q change, want %q", row.name, got, row.want)
		}
	}
}

func TestPlacements(t *testing.T) {
	base := alloc(netAX, 1).Blocks[0].Base
	s := after(encryptedState(topology.Overlay{}),
		compile.Change{Placed: &compile.PlacedChange{Placement: plan.Placement{Node: "n2", Identity: base + 1}}},
		compile.Change{Placed: &compile.PlacedChange{Placement: plan.Placement{Node: "n4", Identity: base + 1}}}, // no peer of n1
		compile.Change{Binding: &compile.BindingChange{Port: worldPorts[1], Node: "n1"}})
	if got := compile.Plans(s)["n1"].Placements; got != nil {
		t.Errorf("without strict identity the plan holds %v", got)
	}
	s = after(s, encrypted(topology.Overlay{}, func(s *topology.FabricSpec) { s.StrictIdentity = true }))
	plans := compile.Plans(s)
	for name, want := range map[fabric.NodeName][]plan.Placement{
		"n1": {{Node: "n1", Identity: base}, {Node: "n2", Identity: base + 1}}, "n2": {{Node: "n1", Identity: base}, {Node: "n2", Identity: base + 1}}, "n3": {{Node: "n1", Identity: base}, {Node: "n2", Identity: base + 1}}, "n4": nil,
	} {
		if !slices.Equal(plans[name].Placements, want) {
			t.Errorf("%s: %v, want %v", name, plans[name].Placements, want)
		}
	}
}

func TestEncryptedMTU(t *testing.T) {
	for underlay, want := range map[string]int{"192.0.2.1": 1390, "2001:db8::1": 1370} {
		var s topology.FabricSpec
		s.UnderlayMTU, s.Encryption.Mode = 1500, topology.EncryptionWireGuard
		if got := s.WorkloadMTU(netip.MustParseAddr(underlay).Is6()); got != want {
			t.Errorf("over %s: %d, want %d", underlay, got, want)
		}
	}
}
