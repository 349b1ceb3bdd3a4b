package compile_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

var plain = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

// TestHistoriesDontMatter follows a random history change by change, and compares each Flush with a
// computation from scratch. Then it walks to the same end on other paths: squashed, shuffled, and by detours.
func TestHistoriesDontMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := rapid.SampledFrom([]compile.State{emptyState(), startState(nil), encryptedState(topology.Overlay{}), encryptedState(hubs)}).Draw(t, "start")
		history := rapid.SliceOfN(rapid.Custom(drawChange), 1, 25).Draw(t, "history")

		split := compile.NewEngine(state)
		plans := compile.Plans(state)
		checkFlush(t, split, nil, plans)
		squashed := compile.NewEngine(state)
		squashed.Apply(history...)
		for len(history) > 0 {
			n := rapid.IntRange(1, min(3, len(history))).Draw(t, "step")
			state = after(state, history[:n]...)
			split.Apply(history[:n]...)
			history = history[n:]
			next := compile.Plans(state)
			checkFlush(t, split, plans, next)
			plans = next
		}
		checkFlush(t, squashed, nil, plans)

		detours := compile.NewEngine(emptyState())
		detours.Apply(rapid.SliceOfN(rapid.Custom(drawChange), 0, 10).Draw(t, "detour")...)
		if rapid.Bool().Draw(t, "flushDetour") {
			detours.Flush()
		}
		undo(detours)
		for _, c := range rapid.Permutation(facts(state)).Draw(t, "shuffled") {
			detours.Apply(c)
			if rapid.IntRange(0, 3).Draw(t, "flush") == 0 {
				detours.Flush()
			}
		}
		detours.Flush()
		checkPlans(t, detours, plans)
		if diff := cmp.Diff(keysOf(state), keysOf(detours.State())); diff != "" {
			t.Fatalf("state (-want +got):\n%s", diff)
		}
	})
}

// undo takes back everything that an engine knows.
func undo(e *compile.Engine) {
	for _, c := range facts(e.State()) {
		switch {
		case c.Object != nil:
			c = compile.Change{ObjectGone: &c.Object.Key}
		case c.Network != nil:
			c.Network.Alloc = nil
		case c.Identity != nil:
			c.Identity.Alloc = nil
		case c.Lease != nil:
			c.Lease.Lease = nil
		case c.Binding != nil:
			c.Binding.Node = ""
		case c.Node != nil:
			c.Node.State = nil
		case c.Link != nil:
			c.Link.Failed = false
		case c.Placed != nil:
			c.Placed.Gone = true
		}
		e.Apply(c)
	}
}

func keysOf(s compile.State) map[string]int {
	return map[string]int{"objects": s.Intent.Len(), "networks": len(s.Networks), "identities": len(s.Identities), "leases": len(s.Leases), "bindings": len(s.Bindings), "nodes": len(s.Nodes), "failed": len(s.Failed), "placed": len(s.Placed)}
}

// checkFlush asserts that a Flush reports exactly what changed between two computations from scratch.
func checkFlush(t *rapid.T, e *compile.Engine, before, now map[fabric.NodeName]plan.Node) {
	changed, removed := e.Flush()
	var wantRemoved []fabric.NodeName
	for name := range before {
		if _, ok := now[name]; !ok {
			wantRemoved = append(wantRemoved, name)
		}
	}
	slices.Sort(wantRemoved)
	if !slices.Equal(removed, wantRemoved) {
		t.Fatalf("removed %q, want %q", removed, wantRemoved)
	}
	for name, n := range now {
		was, had := before[name]
		if _, reported := changed[name]; reported != (!had || !plan.Equal(was, n)) {
			t.Fatalf("node %s: reported as changed: %v\n%s", name, reported, cmp.Diff(was, n, plain))
		}
	}
	checkPlans(t, e, now)
}

// checkPlans asserts that an engine's plans are those computed from scratch, and canonical.
func checkPlans(t *rapid.T, e *compile.Engine, want map[fabric.NodeName]plan.Node) {
	for _, name := range worldNodes {
		got, ok := e.Plan(name)
		n, wanted := want[name]
		if ok != wanted {
			t.Fatalf("node %s has a plan: %v, want %v", name, ok, wanted)
		}
		if diff := cmp.Diff(n, got, plain); diff != "" {
			t.Fatalf("node %s (-from scratch +engine):\n%s", name, diff)
		}
		if ok {
			if diff := cmp.Diff(plan.Canonical(got), got, plain); diff != "" {
				t.Fatalf("node %s (-canonical +plan):\n%s", name, diff)
			}
			if _, err := plan.Apply(plan.Node{Name: name}, plan.Delta{Upsert: plan.Entries(got)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWhoHears counts the nodes whose plans a change of workloads changes.
func TestWhoHears(t *testing.T) {
	a := alloc(netAX, 1).Blocks[0].Base
	rows := []struct {
		name   string
		change []compile.Change
		want   []fabric.NodeName
	}{
		// A container with a known label set in a leased block is no change of the State at all. The same holds
		// for a declared Port: only the node that binds it hears of it.
		{"port with a known label set", []compile.Change{{Binding: &compile.BindingChange{Port: worldPorts[1], Node: "n1"}}}, []fabric.NodeName{"n1"}},
		{"known label set again", []compile.Change{{Identity: &compile.IdentityChange{ID: a, Alloc: &compile.IdentityAlloc{Network: netAX, Labels: fabric.Labels{"app": "web"}}}}}, nil},
		{"port with a fixed address", []compile.Change{{Binding: &compile.BindingChange{Port: worldPorts[0], Node: "n1"}}}, []fabric.NodeName{"n1", "n2", "n3"}},
		{"new label set", []compile.Change{{Identity: &compile.IdentityChange{ID: a + 9, Alloc: &compile.IdentityAlloc{Network: netAX, Labels: fabric.Labels{"app": "new"}}}}}, []fabric.NodeName{"n1", "n2", "n3"}},
		{"new lease of a host", []compile.Change{{Lease: &compile.LeaseChange{Key: lease(netAX, 2), Lease: &compile.Lease{Node: "n2", Subnet: "main"}}}}, []fabric.NodeName{"n1", "n2", "n3"}},
		{"first lease of a network", []compile.Change{{Lease: &compile.LeaseChange{Key: lease(netAY, 2), Lease: &compile.Lease{Node: "n1", Subnet: "main"}}}}, []fabric.NodeName{"n1", "n4"}},
		{"new node", []compile.Change{{Node: &compile.NodeChange{Name: "n5", State: &compile.NodeState{VTEP: vtep("n5", 1)}}}}, []fabric.NodeName{"n5"}},
		{"node moves", []compile.Change{{Node: &compile.NodeChange{Name: "n4", State: &compile.NodeState{VTEP: vtep("n4", 2)}}}}, []fabric.NodeName{"n4"}},
		{"node labels", []compile.Change{{Node: &compile.NodeChange{Name: "n4", State: &compile.NodeState{VTEP: vtep("n4", 1), Labels: fabric.Labels{"rack": "7"}}}}}, nil},
		{"policy of one tenant", []compile.Change{{Object: network(netAY, "deny")}}, []fabric.NodeName{"n4"}},
	}
	for _, row := range rows {
		e := compile.NewEngine(startState(t))
		e.Flush()
		e.Apply(row.change...)
		changed, _ := e.Flush()
		if got := slices.Sorted(maps.Keys(changed)); !slices.Equal(got, row.want) {
			t.Errorf("%s: the plans of %q change, want %q", row.name, got, row.want)
		}
	}
}

// TestRareDependences takes one change per row that random histories seldom lead to, on top of a setup, and
// compares with a computation from scratch.
func TestRareDependences(t *testing.T) {
	fresh := fabric.Labels{"app": "fresh"}
	group := func(tenant, prefix string) compile.Change {
		return compile.Change{Object: object(&topology.AddressGroup{Metadata: topology.Metadata{Tenant: tenant, Name: "g"}, Spec: topology.AddressGroupSpec{Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}})}
	}
	toGroup := []topology.Rule{{To: []topology.Peer{{AddressGroup: "g"}}}}
	tenants := compile.Change{Object: object(&topology.FirewallPolicy{Metadata: topology.Metadata{Tenant: "a", Name: "p"}, Spec: topology.FirewallPolicySpec{Egress: toGroup}})}
	platforms := compile.Change{Object: object(&topology.PlatformPolicy{Metadata: topology.Metadata{Name: "p"}, Spec: topology.PlatformPolicySpec{Tier: topology.TierPlatform, Egress: toGroup}})}
	base := alloc(netAX, 1).Blocks[0].Base
	identity := compile.Change{Identity: &compile.IdentityChange{ID: base + 9, Alloc: &compile.IdentityAlloc{Network: netAX, Labels: fresh}}}
	waiting := []compile.Change{
		{Object: port(worldPorts[0], "x", fresh, netip.MustParseAddr("10.0.0.200"))}, {Binding: &compile.BindingChange{Port: worldPorts[0], Node: "n4"}},
	}
	rows := []struct {
		name   string
		setup  []compile.Change
		change compile.Change
	}{
		{"tenant's group", []compile.Change{tenants, group("a", "192.0.2.0/24")}, group("a", "198.51.100.0/24")},
		{"platform's group", []compile.Change{platforms, group("", "192.0.2.0/24")}, group("", "198.51.100.0/24")},
		{"identity of a waiting port", waiting, identity},
		{"identity of a bound port goes", append(slices.Clone(waiting), identity), compile.Change{Identity: &compile.IdentityChange{ID: base + 9}}},
		{"bound port is deleted", append(slices.Clone(waiting), identity), compile.Change{ObjectGone: &topology.Key{Kind: topology.KindPort, Tenant: "a", Name: "vm1"}}},
		{"peer grows", nil, compile.Change{Network: &compile.NetworkChange{Network: netBX, Alloc: alloc(netBX, 2)}}},
		{"ignored labels", waiting, compile.Change{Object: object(&topology.Fabric{Metadata: topology.Metadata{Name: "default"}, Spec: topology.FabricSpec{IgnoredLabels: []string{"app"}}})}},
	}
	for _, row := range rows {
		state := after(startState(t), row.setup...)
		e := compile.NewEngine(state)
		e.Flush()
		e.Apply(row.change)
		changed, _ := e.Flush()
		want := compile.Plans(after(state, row.change))
		if len(changed) == 0 {
			t.Errorf("%s: no plan changed", row.name)
		}
		for _, name := range worldNodes {
			got, _ := e.Plan(name)
			if diff := cmp.Diff(want[name], got, plain); diff != "" {
				t.Errorf("%s: node %s (-from scratch +engine):\n%s", row.name, name, diff)
			}
		}
	}
}

// TestMesh asserts that nodes know only those with whom they share a network or a peering.
func TestMesh(t *testing.T) {
	plans := compile.Plans(startState(t))
	want := map[fabric.NodeName][]fabric.NodeName{"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}, "n4": nil}
	for name, peers := range want {
		var got []fabric.NodeName
		for _, p := range plans[name].Peers {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, peers) {
			t.Errorf("node %s has the peers %q, want %q", name, got, peers)
		}
	}
}

func TestPortWaitsForItsIdentity(t *testing.T) {
	s := after(startState(t),
		compile.Change{Object: port(worldPorts[2], "x", fabric.Labels{"app": "new", "lab.weft.dev/run": "7"})},
		compile.Change{Binding: &compile.BindingChange{Port: worldPorts[2], Node: "n3"}})
	needed := compile.NeededIdentities(s)
	if len(needed) != 1 || needed[0].Network != netBX || needed[0].Labels.String() != "app=new" {
		t.Fatalf("needed identities: %+v", needed)
	}
	if ports := compile.Plans(s)["n3"].Ports; len(ports) != 0 {
		t.Errorf("a port without an identity is in the plan: %+v", ports)
	}
	s = after(s, compile.Change{Identity: &compile.IdentityChange{ID: alloc(netBX, 1).Blocks[0].Base + 50, Alloc: &needed[0]}})
	if ports := compile.Plans(s)["n3"].Ports; len(ports) != 1 || ports[0].Identity != alloc(netBX, 1).Blocks[0].Base+50 {
		t.Errorf("the port isn't in the plan: %+v", ports)
	}
	if needed := compile.NeededIdentities(s); len(needed) != 0 {
		t.Errorf("still needed: %+v", needed)
	}
}

func TestWorkloadMTU(t *testing.T) {
	s := startState(t)
	if mtu := compile.Plans(s)["n1"].Settings.WorkloadMTU; mtu != 1450 {
		t.Errorf("over IPv4: %d, want 1450", mtu)
	}
	s = after(s, compile.Change{Node: &compile.NodeChange{Name: "n1", State: &compile.NodeState{VTEP: netip.MustParseAddr("2001:db8::1")}}})
	if mtu := compile.Plans(s)["n1"].Settings.WorkloadMTU; mtu != 1430 {
		t.Errorf("over IPv6: %d, want 1430", mtu)
	}
}

// TestNetworkMTU: what a network declares stands with it and with the routes to it, for those that are peered too.
func TestNetworkMTU(t *testing.T) {
	o := network(netBX, "")
	o.Network.Spec.MTU = 1300
	for name, n := range compile.Plans(after(startState(t), compile.Change{Object: o})) {
		for _, v := range n.Networks {
			if want := map[bool]int{true: 1300}[v.Ref == netBX]; v.MTU != want {
				t.Errorf("%s: network %s has the MTU %d, want %d", name, v.Ref, v.MTU, want)
			}
			for _, r := range n.Routes {
				if r.Network == v.ID && r.MTU != v.MTU {
					t.Errorf("%s: the route to %s of %s has the MTU %d, want %d", name, r.Prefix, v.Ref, r.MTU, v.MTU)
				}
			}
		}
	}
}
