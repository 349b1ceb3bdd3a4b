package lab

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// testWrongPrediction shows that the comparison can fail: what was seen is not what a topology without
// policies predicts.
func testWrongPrediction(t *testing.T, r *Record, intent *topology.Intent, m Matrix) {
	var policies []topology.Key
	for _, p := range intent.FirewallPolicies() {
		policies = append(policies, topology.Key{Kind: topology.KindFirewallPolicy, Tenant: p.Metadata.Tenant, Name: p.Metadata.Name})
	}
	predicted, err := Predict(intent.Without(policies...), r.Workloads, Questions(r.Workloads))
	if err != nil {
		t.Fatal(err)
	}
	wrong := Matrix{Workloads: m.Workloads}
	for i, c := range m.Cells {
		c.Predicted = predicted[i]
		wrong.Cells = append(wrong.Cells, c)
	}
	if wrong.OK() {
		t.Error("the packets do what a topology without policies predicts")
	}
	var out strings.Builder
	if err := wrong.Print(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "differ from the prediction") || !strings.Contains(out.String(), "! acme/") {
		t.Errorf("the differences are not printed:\n%s", out.String())
	}
}

// testPolicyChange removes a policy from the running fabric and applies it again: packets follow.
func testPolicyChange(t *testing.T, r *Record, topo Topology) {
	policies := topo.Intent.FirewallPolicies()
	if len(policies) == 0 {
		t.Fatal("the example has no policies")
	}
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := policies[0].Metadata
	res, err := client.Intent.Delete(t.Context(), connect.NewRequest(&weftv1.DeleteRequest{
		Keys: []*weftv1.Key{{Kind: string(topology.KindFirewallPolicy), Tenant: p.Tenant, Name: p.Name}}}))
	if err != nil || !res.Msg.GetApplied() {
		t.Fatalf("delete %s/%s: %v, %v", p.Tenant, p.Name, err, res)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	intent, err := r.Intent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if intent.Len() != topo.Intent.Len()-1 {
		t.Errorf("%d objects are left of %d", intent.Len(), topo.Intent.Len())
	}
	wantPredicted(t, r, intent)

	if err := r.apply(t.Context(), topo); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, topo.Intent)
}

// testExec runs a command in a workload of each type, and on a node.
func testExec(t *testing.T, r *Record) {
	for _, a := range r.Workloads {
		if a.Namespace == "" || a.Workload.Spec.Port != "" {
			wantOutput(t, r, a.Ref(), a.Addresses[0].String())
		}
	}
	wantOutput(t, r, string(r.Nodes[0].Name), r.Nodes[0].VTEP.String())
}

func wantOutput(t *testing.T, r *Record, where, want string) {
	t.Helper()
	var out strings.Builder
	code, err := Exec(t.Context(), r, where, []string{"sh", "-c", "ip addr; exit 7"}, Streams{Out: &out, Err: &out})
	if err != nil || code != 7 || !strings.Contains(out.String(), want) {
		t.Errorf("in %s: exit code %d, %v, without %s:\n%s", where, code, err, want, out.String())
	}
}
