package cli

import (
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// A policy that selects a client is related to it, as to a Port.
func TestRelatedOfClient(t *testing.T) {
	client, _ := topology.NewObject(&topology.Client{
		Metadata: topology.Metadata{Name: "laptop", Tenant: "acme", Labels: fabric.Labels{"app": "admin"}}, Spec: topology.ClientSpec{Network: "prod"},
	})
	policy, _ := topology.NewObject(&topology.FirewallPolicy{
		Metadata: topology.Metadata{Name: "admins", Tenant: "acme"},
		Spec:     topology.FirewallPolicySpec{Subject: topology.Selector{MatchLabels: fabric.Labels{"app": "admin"}}},
	})
	intent := topology.NewIntent(client, policy)
	if got := related(intent, client); len(got) != 1 || got[0].How != "selects it" {
		t.Errorf("the client is related to %v", got)
	}
	if got := related(intent, policy); len(got) != 1 || got[0].How != "selected by it" {
		t.Errorf("the policy is related to %v", got)
	}
}
