package edit_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

var (
	prod = fabric.NetworkRef{Tenant: "acme", Name: "prod"}
	dev  = fabric.NetworkRef{Tenant: "acme", Name: "dev"}
)

func network(name, prefix string) string {
	return fmt.Sprintf("---\napiVersion: weft.dev/v1alpha1\nkind: Network\nmetadata: {name: %s, tenant: acme}\nspec: {subnets: [{name: web, ipv4: %s}]}\n", name, prefix)
}

func port(name, network, labels string) string {
	return fmt.Sprintf("---\napiVersion: weft.dev/v1alpha1\nkind: Port\nmetadata: {name: %s, tenant: acme, labels: {%s}}\nspec: {network: %s}\n", name, labels, network)
}

const acme = "---\napiVersion: weft.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec: {}\n"

// apply applies documents to a view, pruning what is not among them, and returns the next view.
func apply(t *testing.T, v *state.View, documents ...string) *state.View {
	t.Helper()
	r := tryApply(v, documents...)
	if err := r.Problems.Err(); err != nil {
		t.Fatal(err)
	}
	return commit(v, r.Batch)
}

func tryApply(v *state.View, documents ...string) edit.Result {
	return edit.Apply(v, edit.Input{Prune: true, Sources: []topology.Source{{Name: "a.yaml", Content: []byte(strings.Join(documents, ""))}}})
}

func commit(v *state.View, b state.Batch) *state.View { return v.With(v.Revision+1, b.Changes) }

// withNode returns a view with a registered node.
func withNode(t *testing.T, v *state.View, name fabric.NodeName, vtep string) *state.View {
	t.Helper()
	b, err := edit.Register(v, name, compile.NodeState{VTEP: netip.MustParseAddr(vtep)})
	if err != nil {
		t.Fatal(err)
	}
	return commit(v, b)
}

func wantReason(t *testing.T, err error, want edit.Reason) {
	t.Helper()
	var e *edit.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("got error %v, want reason %d", err, want)
	}
}

func TestAllocationsAreStable(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db"))
	before := v.Networks[prod]
	id, ok := v.Identity(prod, fabric.Labels{"app": "db"})
	if !ok || before.ID == 0 || !before.Blocks[0].Contains(id) {
		t.Fatalf("network %+v, identity %v", before, id)
	}
	v = apply(t, v, acme, network("a", "10.0.0.0/24"), network("prod", "10.0.0.0/24"), port("db", "prod", "app: db"), port("db-2", "prod", "app: db"))
	if d := cmp.Diff(before, v.Networks[prod]); d != "" {
		t.Error(d)
	}
	if again, _ := v.Identity(prod, fabric.Labels{"app": "db"}); again != id || len(v.Identities) != 1 {
		t.Errorf("identity %v became %v of %d", id, again, len(v.Identities))
	}
}

func TestIgnoredLabelsAreNoPartOfAnIdentity(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db"))
	with, b, err := edit.ResolveIdentity(v, prod, fabric.Labels{"app": "db", "lab.weft.dev/workload": "db-17"})
	if err != nil || !b.Empty() {
		t.Fatal(with, b, err)
	}
}

func TestLabelsThatCouldPassForOthersAreRefused(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"))
	_, _, err := edit.ResolveIdentity(v, prod, fabric.Labels{"a": "b,c=d"})
	wantReason(t, err, edit.Invalid)
	_, _, err = edit.ResolveIdentity(v, dev, nil)
	wantReason(t, err, edit.NotFound)
}

// What a deleted network had goes to a new one in the same transaction.
func TestNumbersMoveToANewNetwork(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db"))
	was := v.Networks[prod]
	v = apply(t, v, acme, network("dev", "10.0.0.0/24"), port("db-2", "dev", "app: db"))
	if d := cmp.Diff(was, v.Networks[dev]); d != "" {
		t.Error(d)
	}
	if len(v.Identities) != 1 || len(v.Networks) != 1 {
		t.Errorf("identities %v, networks %v", v.Identities, v.Networks)
	}
	if _, ok := v.Identity(prod, fabric.Labels{"app": "db"}); ok {
		t.Error("the old network's identity is still known")
	}
}

func TestNetworkGrowsWhenItsIdentitiesRunOut(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"))
	seen := map[fabric.Identity]bool{}
	for i := range 600 {
		id, b, err := edit.ResolveIdentity(v, prod, fabric.Labels{"n": fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		v = commit(v, b)
		if seen[id] {
			t.Fatalf("identity %v was given twice", id)
		}
		seen[id] = true
	}
	if n := len(v.Networks[prod].Blocks); n != 3 {
		t.Errorf("%d blocks", n)
	}
}

func TestLeases(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/25"))
	_, _, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod})
	wantReason(t, err, edit.Invalid) // not registered
	v = withNode(t, v, "n1", "192.0.2.1")
	for _, want := range []string{"10.0.0.0/27", "10.0.0.32/27", "10.0.0.64/27", "10.0.0.96/27"} {
		block, b, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod, Subnet: "web"})
		if err != nil || block.String() != want {
			t.Fatalf("got %v %v, want %s", block, err, want)
		}
		v = commit(v, b)
	}
	_, _, err = edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod})
	wantReason(t, err, edit.Exhausted)
	_, _, err = edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod, IPv6: true})
	wantReason(t, err, edit.NotFound)
	_, _, err = edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod, Subnet: "db"})
	wantReason(t, err, edit.NotFound)

	key := compile.LeaseKey{Network: prod, Prefix: netip.MustParsePrefix("10.0.0.32/27")}
	if b := edit.ReleaseBlock(v, "n2", key); !b.Empty() {
		t.Error("a node released another's block")
	}
	v = commit(v, edit.ReleaseBlock(v, "n1", key))
	if block, _, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod}); err != nil || block != key.Prefix {
		t.Errorf("got %v %v", block, err)
	}
}

// TestFurtherBlocksMakeOneRange asserts that blocks grow by node, and by subnet.
func TestFurtherBlocksMakeOneRange(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/16"), network("dev", "10.0.0.0/16"))
	v = withNode(t, withNode(t, v, "n1", "192.0.2.1"), "n2", "192.0.2.2")
	for i, step := range []struct {
		node    fabric.NodeName
		network fabric.NetworkRef
		want    string
	}{
		{"n1", prod, "10.0.0.0/26"}, {"n1", prod, "10.0.0.64/26"}, {"n2", prod, "10.0.16.0/26"},
		{"n1", dev, "10.0.0.0/26"}, {"n2", prod, "10.0.16.64/26"}, {"n1", prod, "10.0.0.128/25"},
	} {
		block, b, err := edit.LeaseBlock(v, step.node, edit.LeaseRequest{Network: step.network})
		if err != nil || block.String() != step.want {
			t.Fatalf("step %d: %s leased %v of %s, %v; want %s", i, step.node, block, step.network, err, step.want)
		}
		v = commit(v, b)
	}
}

func TestSubnetInUseStays(t *testing.T) {
	v := withNode(t, apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24")), "n1", "192.0.2.1")
	_, b, err := edit.LeaseBlock(v, "n1", edit.LeaseRequest{Network: prod})
	if err != nil {
		t.Fatal(err)
	}
	v = commit(v, b)
	moved := []topology.Source{{Name: "a.yaml", Content: []byte(acme + network("prod", "10.9.0.0/24"))}}
	inUse := edit.Workload{Node: "n1", Network: prod, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}
	r := edit.Apply(v, edit.Input{Sources: moved, Workloads: []edit.Workload{inUse}})
	if !r.Batch.Empty() || len(r.Problems) != 1 || r.Problems[0].File != "a.yaml" || !strings.Contains(r.Problems[0].Message, "on node n1") {
		t.Errorf("got %+v", r.Problems)
	}
	r = edit.Apply(v, edit.Input{Sources: moved})
	if v = commit(v, r.Batch); r.Problems.Err() != nil || len(v.Leases) != 0 {
		t.Errorf("got %v, leases %v", r.Problems, v.Leases)
	}
}

func TestRegister(t *testing.T) {
	v := withNode(t, state.NewView(), "n1", "192.0.2.1")
	for _, vtep := range []string{"192.0.2.1", "0.0.0.0", "127.0.0.1", "224.0.0.1", "fe80::1%eth0"} {
		_, err := edit.Register(v, "n2", compile.NodeState{VTEP: netip.MustParseAddr(vtep)})
		wantReason(t, err, edit.Invalid)
	}
	if b, err := edit.Register(v, "n1", v.Nodes["n1"]); err != nil || !b.Empty() {
		t.Errorf("registering again: %v %v", b, err)
	}
}

func TestFindPort(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), port("db", "prod", "app: db"))
	want := fabric.PortRef{Tenant: "acme", Name: "db"}
	for _, name := range []string{"acme/db", "acme.db", topology.PortUID(want)} {
		if got, err := edit.FindPort(v, name); err != nil || got != want {
			t.Errorf("%s: got %v %v", name, got, err)
		}
	}
	for _, name := range []string{"acme/none", "acme.none", "", "00000000-0000-0000-0000-000000000000"} {
		_, err := edit.FindPort(v, name)
		wantReason(t, err, edit.NotFound)
	}
}

// What an interface has must be the Port's. Whoever holds the Port keeps it when somebody else is refused.
func TestBindPort(t *testing.T) {
	fixed := strings.TrimSuffix(port("db", "prod", "app: db"), "}\n") + ", mac: \"02:00:00:00:00:aa\", addresses: [10.0.0.9]}\n"
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"), fixed, port("any", "prod", "app: db"))
	v = withNode(t, withNode(t, v, "n1", "192.0.2.1"), "n2", "192.0.2.2")
	ref := fabric.PortRef{Tenant: "acme", Name: "db"}
	mac := func(s string) fabric.MAC { return fabric.MAC{2, 0, 0, 0, 0, s[0]} }
	at := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	for _, tt := range []struct {
		node    fabric.NodeName
		binding edit.Binding
		holder  fabric.NodeName // of acme/db afterwards
		refused edit.Reason
	}{
		{"n1", edit.Binding{Port: "acme/db", MAC: mac("\xaa"), Addresses: at("10.0.0.9")}, "n1", 0},
		{"n2", edit.Binding{Port: "acme/db", MAC: mac("\xbb")}, "n1", edit.Invalid},
		{"n2", edit.Binding{Port: topology.PortUID(ref), MAC: mac("\xbb")}, "n1", edit.Invalid},
		{"n2", edit.Binding{Port: "acme.db", Addresses: at("10.0.0.10")}, "n1", edit.Invalid},
		{"n1", edit.Binding{Port: "acme.db", MAC: mac("\xbb")}, "n1", edit.Invalid},
		{"n2", edit.Binding{Port: "acme/none"}, "n1", edit.NotFound},
		{"n3", edit.Binding{Port: "acme/db"}, "n1", edit.Invalid},
		{"n2", edit.Binding{Port: "acme/any", Addresses: at("10.0.0.10")}, "n1", 0},
		{"n2", edit.Binding{Port: "acme/db"}, "n2", 0},
	} {
		got, b, err := edit.BindPort(v, tt.node, tt.binding)
		switch {
		case tt.refused != 0:
			wantReason(t, err, tt.refused)
		case err != nil || got.IsZero():
			t.Errorf("%+v: %v %v", tt.binding, got, err)
		}
		if v = commit(v, b); v.Bindings[ref] != tt.holder {
			t.Errorf("after %+v of %s the Port is on %q", tt.binding, tt.node, v.Bindings[ref])
		}
	}
}

// An object that stands on another line is the same, but errors must point at the new line.
func TestMovedObjectIsUnchangedAndPointsAtItsNewLine(t *testing.T) {
	v := apply(t, state.NewView(), acme, network("prod", "10.0.0.0/24"))
	key := topology.Key{Kind: topology.KindNetwork, Tenant: "acme", Name: "prod"}
	before, meta := v.Intent.Get(key).Origin.Line, v.Objects[key]
	r := tryApply(v, "# a comment\n", acme, network("prod", "10.0.0.0/24"))
	for _, c := range r.Changes {
		if c.Verb != edit.Unchanged {
			t.Errorf("%s: verb %d", c.Key, c.Verb)
		}
	}
	v = commit(v, r.Batch)
	if v.Intent.Get(key).Origin.Line != before+1 || v.Objects[key] != meta {
		t.Errorf("line %d, meta %+v", v.Intent.Get(key).Origin.Line, v.Objects[key])
	}
}

func TestFields(t *testing.T) {
	object := func(document string) *topology.Object {
		objects, _, problems := topology.Decode([]topology.Source{{Name: "a.yaml", Content: []byte(document)}})
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		return objects[0]
	}
	got, err := edit.Fields(object(port("db", "prod", "app: db, old: x")), object(port("db", "dev", "app: web")))
	if err != nil {
		t.Fatal(err)
	}
	want := []edit.FieldChange{
		{Path: "metadata.labels.app", Old: `"db"`, New: `"web"`},
		{Path: "metadata.labels.old", Old: `"x"`},
		{Path: "spec.network", Old: `"prod"`, New: `"dev"`},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
