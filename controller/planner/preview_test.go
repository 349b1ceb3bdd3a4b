package planner

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
)

func TestPreview(t *testing.T) {
	ref := fabric.NetworkRef{Tenant: "a", Name: "x"}
	network, _ := topology.NewObject(&topology.Network{
		Metadata: topology.Metadata{Tenant: "a", Name: "x"},
		Spec:     topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "main", IPv4: netip.MustParsePrefix("10.0.0.0/16")}}},
	})
	policy, _ := topology.NewObject(&topology.FirewallPolicy{Metadata: topology.Metadata{Tenant: "a", Name: "p"}, Spec: topology.FirewallPolicySpec{Ingress: []topology.Rule{{}}}})
	node := func(name fabric.NodeName, s *compile.NodeState) compile.Change {
		return compile.Change{Node: &compile.NodeChange{Name: name, State: s}}
	}
	registered := func(last byte) *compile.NodeState {
		return &compile.NodeState{VTEP: netip.AddrFrom4([4]byte{192, 0, 2, last})}
	}
	lease := compile.LeaseKey{Network: ref, Prefix: netip.MustParsePrefix("10.0.0.0/26")}
	v := state.NewView().With(1, stored(
		compile.Change{Object: network}, node("n1", registered(1)), node("n2", registered(2)), node("n3", registered(3)),
		compile.Change{Network: &compile.NetworkChange{Network: ref, Alloc: &compile.NetworkAlloc{ID: 1, Blocks: []fabric.VNIBlock{{Base: 0x100, Bits: 16}}}}},
		compile.Change{Lease: &compile.LeaseChange{Key: lease, Lease: &compile.Lease{Node: "n1", Subnet: "main"}}},
	))
	batch := state.Batch{Changes: stored(compile.Change{Object: policy}, node("n3", nil), node("n4", registered(4)))}

	before, after := compile.Plans(v.State), compile.Plans(v.With(2, batch.Changes).State)
	var want []string
	for _, name := range []fabric.NodeName{"n1", "n2", "n3", "n4"} {
		if !plan.Diff(before[name], after[name]).IsEmpty() {
			want = append(want, string(name))
		}
	}
	var got []string
	for _, d := range Preview(v, batch) {
		got = append(got, string(d.Node))
		delta := plan.Diff(before[d.Node], after[d.Node])
		if len(d.Added)+len(d.Changed) != len(delta.Upsert) || !cmp.Equal(d.Removed, delta.Remove) {
			t.Errorf("node %s: %+v, want the delta %+v", d.Node, d, delta)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 3 {
		t.Errorf("nodes whose plans change (-want +got):\n%s", diff)
	}
}

func stored(changes ...compile.Change) []state.Change {
	out := make([]state.Change, len(changes))
	for i, c := range changes {
		out[i].Change = c
	}
	return out
}
