package edit_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

func encryption(overlay string) string {
	return "---\napiVersion: weft.dev/v1alpha1\nkind: Fabric\nmetadata: {name: default}\nspec:\n  encryption: {mode: wireguard}\n  overlay: " + overlay + "\n"
}

// node is what a node with a key registers.
func node(vtep string, key byte, labels fabric.Labels) compile.NodeState {
	return compile.NodeState{VTEP: netip.MustParseAddr(vtep), Labels: labels, WireGuard: compile.WireGuard{Key: fabric.PublicKey{key}}}
}

func register(t *testing.T, v *state.View, name fabric.NodeName, n compile.NodeState) *state.View {
	t.Helper()
	b, err := edit.Register(v, name, n)
	if err != nil {
		t.Fatal(err)
	}
	return commit(v, b)
}

func TestTunnelAddresses(t *testing.T) {
	v := state.NewView()
	for i := range 5 {
		v = register(t, v, fabric.NodeName(fmt.Sprintf("n%d", i)), node(fmt.Sprintf("192.0.2.%d", i), byte(i+1), nil))
		if a := v.Nodes[fabric.NodeName(fmt.Sprintf("n%d", i))].Overlay; a.IsValid() {
			t.Errorf("n%d has the tunnel address %s without encryption", i, a)
		}
	}
	v = apply(t, v, encryption("{vteps: 198.18.0.0/28}"))
	first := map[fabric.NodeName]netip.Addr{}
	seen := map[netip.Addr]bool{}
	for name, n := range v.Nodes {
		if first[name] = n.Overlay; seen[n.Overlay] || !netip.MustParsePrefix("198.18.0.0/29").Contains(n.Overlay) || n.Overlay == netip.MustParseAddr("198.18.0.0") {
			t.Errorf("%s got %s", name, n.Overlay)
		}
		seen[n.Overlay] = true
		if probe := compile.Probe(netip.MustParsePrefix("198.18.0.0/28"), n.Overlay); !netip.MustParsePrefix("198.18.0.8/29").Contains(probe) {
			t.Errorf("%s has the probe address %s", name, probe)
		}
	}
	v = register(t, v, "n5", node("192.0.2.5", 6, nil))
	v = register(t, v, "n6", node("192.0.2.6", 7, nil))
	if _, err := edit.Register(v, "n7", node("192.0.2.7", 8, nil)); err == nil || !strings.Contains(err.Error(), "has no room for node n7") {
		t.Errorf("an eighth node in a range for seven: %v", err)
	}
	b, err := edit.DeleteNode(v, "n3")
	if err != nil {
		t.Fatal(err)
	}
	v = commit(v, b)
	v = register(t, v, "n3", node("192.0.2.33", 9, nil))
	if got := v.Nodes["n3"].Overlay; got != first["n3"] {
		t.Errorf("n3 came back and has %s, it had %s", got, first["n3"])
	}
	v = register(t, v, "n1", node("192.0.2.101", 2, nil))
	if got := v.Nodes["n1"].Overlay; got != first["n1"] {
		t.Errorf("n1 moved and has %s, it had %s", got, first["n1"])
	}
	v = apply(t, v, encryption("{vteps: 198.18.1.0/24}"))
	for name, n := range v.Nodes {
		if !netip.MustParsePrefix("198.18.1.0/25").Contains(n.Overlay) {
			t.Errorf("%s has %s after the range changed", name, n.Overlay)
		}
	}
}

func TestRegisterRefusesKeys(t *testing.T) {
	v := register(t, apply(t, state.NewView(), encryption("{}")), "n1", node("192.0.2.1", 1, nil))
	next := node("192.0.2.2", 2, nil)
	next.Next = next.WireGuard
	nat := node("192.0.2.1", 3, nil)
	nat.NAT = true
	rows := []struct {
		name string
		node compile.NodeState
		want string // empty: accepted
	}{
		{"another's key", node("192.0.2.2", 1, nil), "belongs to node n1: a copied machine must make its own"},
		{"next key in use", next, "the node's next WireGuard key is the one that it uses"},
		{"underlay within the tunnels' range", node("100.92.3.4", 2, nil), "address 100.92.3.4 lies in 100.92.0.0/16"},
		{"another's address", node("192.0.2.1", 2, nil), "belongs to node n1"},
		{"another's address behind NAT", nat, ""},
	}
	for _, row := range rows {
		_, err := edit.Register(v, "n2", row.node)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}

func TestOverlayIsCheckedAgainstNodes(t *testing.T) {
	v := apply(t, state.NewView(), acme)
	v = register(t, v, "n1", node("192.0.2.1", 1, fabric.Labels{"zone": "x", "role": "gw"}))
	v = register(t, v, "n2", node("198.51.100.2", 2, fabric.Labels{"zone": "y"}))
	rows := []struct{ overlay, want string }{
		{"{}", ""},
		{"{type: hub, hub: {nodes: [n1]}}", ""},
		{"{type: hub, hub: {nodes: [n9]}}", "a.yaml:12: Fabric default: spec.overlay.hub.nodes[0] is n9, which is not a registered node"},
		{"{type: zones, zones: {label: zone, gateways: {matchLabels: {role: gw}}}}", "a.yaml:12: Fabric default: spec.overlay.zones.gateways selects no node of zone y (n2)"},
		{"{type: links, links: [{from: n1, to: n9}]}", "spec.overlay.links[0] names n9"},
		{"{vteps: 198.51.100.0/24}", "spec.overlay.vteps is 198.51.100.0/24, which overlaps the underlay: node n2 has the address 198.51.100.2 there"},
	}
	for _, row := range rows {
		r := tryApply(v, acme, encryption(row.overlay))
		err := r.Problems.Err()
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: error %v, want one with %q", row.overlay, err, row.want)
		}
		if err != nil && (len(r.Problems.Errors()) != 1 || !r.Batch.Empty()) {
			t.Errorf("%s: %d errors, a batch of %d changes", row.overlay, len(r.Problems.Errors()), len(r.Batch.Changes))
		}
	}
	// Before any node is there, an overlay can be declared; and one that a node broke later blocks nothing else.
	empty := tryApply(state.NewView(), encryption("{type: hub, hub: {nodes: [n9]}}"))
	if empty.Problems.Err() != nil || len(empty.Problems) != 1 {
		t.Errorf("without nodes: %v", empty.Problems)
	}
	hub := encryption("{type: hub, hub: {nodes: [n1]}}")
	v = apply(t, v, acme, hub)
	if _, err := edit.DeleteNode(v, "n1"); err == nil || !strings.Contains(err.Error(), "named by the Fabric's spec.overlay.hub.nodes") {
		t.Errorf("the hub goes: %v", err)
	}
	behindNAT := node("192.0.2.1", 1, nil)
	behindNAT.NAT = true
	v = register(t, v, "n1", behindNAT)
	other := node("198.51.100.2", 2, nil)
	other.NAT = true
	v = register(t, v, "n2", other)
	apply(t, v, acme, hub, network("prod", "10.0.0.0/24"))
}

func TestLinks(t *testing.T) {
	v := register(t, register(t, state.NewView(), "n1", node("192.0.2.1", 1, nil)), "n2", node("192.0.2.2", 2, nil))
	l, gone := overlay.LinkOf("n1", "n2"), overlay.LinkOf("n1", "n9")
	v = commit(v, edit.SetLinks(v, map[overlay.Link]bool{l: true, gone: true}))
	if len(v.Failed) != 1 || !v.Failed[l] {
		t.Errorf("failed: %v", v.Failed)
	}
	if b := edit.SetLinks(v, map[overlay.Link]bool{l: true}); !b.Empty() {
		t.Errorf("the same again: %v", b)
	}
	healed := commit(v, edit.SetLinks(v, map[overlay.Link]bool{l: false}))
	if len(healed.Failed) != 0 || len(v.Failed) != 1 {
		t.Errorf("healed: %v; before: %v", healed.Failed, v.Failed)
	}
	b, err := edit.DeleteNode(v, "n2")
	if err != nil {
		t.Fatal(err)
	}
	if v = commit(v, b); len(v.Failed) != 0 {
		t.Errorf("failed links of a node that is gone: %v", v.Failed)
	}
}

func TestPlace(t *testing.T) {
	strict := "---\napiVersion: weft.dev/v1alpha1\nkind: Fabric\nmetadata: {name: default}\nspec: {strictIdentity: true}\n"
	documents := []string{acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db")}
	v := withNode(t, withNode(t, apply(t, state.NewView(), documents...), "n1", "192.0.2.1"), "n2", "192.0.2.2")
	id, _ := v.Identity(prod, fabric.Labels{"app": "db"})
	if b := edit.Place(v, "n1", id); !b.Empty() {
		t.Error("placed where nobody asks for it")
	}
	// What is attached when the fabric becomes strict stays accepted.
	r := edit.Apply(v, edit.Input{
		Sources:   []topology.Source{{Name: "a.yaml", Content: []byte(strict)}},
		Workloads: []edit.Workload{{Node: "n1", Network: prod, Identity: id}, {Node: "n1", Network: prod, Identity: id}, {Node: "n2", Network: prod, Identity: 7}},
	})
	if err := r.Problems.Err(); err != nil {
		t.Fatal(err)
	}
	v = commit(v, r.Batch)
	if len(v.Placed) != 1 || !v.Placed[plan.Placement{Node: "n1", Identity: id}] {
		t.Errorf("placed: %v", v.Placed)
	}
	v = commit(v, edit.Place(v, "n2", id))
	if !v.Placed[plan.Placement{Node: "n2", Identity: id}] || !edit.Place(v, "n2", id).Empty() {
		t.Errorf("placed: %v", v.Placed)
	}
	v = commit(v, edit.Displace(v, "n1", []fabric.Identity{id, 9}))
	if len(v.Placed) != 1 {
		t.Errorf("placed: %v", v.Placed)
	}
	if v = commit(v, edit.Reclaim(v, "n2")); len(v.Placed) != 0 {
		t.Errorf("placed on a node whose things were reclaimed: %v", v.Placed)
	}
}

func TestDrain(t *testing.T) {
	v := withNode(t, apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db")), "n1", "192.0.2.1")
	if _, err := edit.Drain(v, "n9", true); err == nil {
		t.Error("a node that isn't there is drained")
	}
	drain := func(drained bool) {
		t.Helper()
		b, err := edit.Drain(v, "n1", drained)
		if err != nil {
			t.Fatal(err)
		}
		v = commit(v, b)
	}
	drain(true)
	if _, _, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod}); err == nil || !strings.Contains(err.Error(), "node n1 is drained") {
		t.Errorf("lease: %v", err)
	}
	if _, _, err := edit.BindPort(v, "n1", edit.Binding{Port: "acme/db"}); err == nil || !strings.Contains(err.Error(), "node n1 is drained") {
		t.Errorf("bind: %v", err)
	}
	v = withNode(t, v, "n1", "192.0.2.11") // a restart of the agent
	if !v.Nodes["n1"].Drained {
		t.Error("registering undoes draining")
	}
	drain(false)
	if _, _, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod}); err != nil {
		t.Error(err)
	}
}
