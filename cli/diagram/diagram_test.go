package diagram_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/cli/diagram"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const declared = `
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: a}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: x, tenant: a}
spec: {subnets: [{name: s, ipv4: 10.0.0.0/24}]}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: y, tenant: a}
spec: {subnets: [{name: s, ipv4: 10.1.0.0/24}]}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: z, tenant: a}
spec: {subnets: [{name: s, ipv4: 10.2.0.0/24}]}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: y-x, tenant: a}
spec: {network: y, peer: {network: x}}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: x-y, tenant: a}
spec: {network: x, peer: {network: y}}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: z-x, tenant: a}
spec: {network: z, peer: {network: x}}
`

// Tunnels join nodes that host one network or two that are peered, and no others.
func TestTunnels(t *testing.T) {
	intent, _, problems := topology.Load([]topology.Source{{Name: "t.yaml", Content: []byte(declared)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	leasing := func(name string, networks ...string) *weftv1.NodeInfo {
		n := &weftv1.NodeInfo{Name: name}
		for _, network := range networks {
			n.Leases = append(n.Leases, network+" 10.0.0.0/26")
		}
		return n
	}
	attached := &weftv1.NodeInfo{Name: "n1", Report: &weftv1.NodeReport{Attachments: []*weftv1.Attachment{{Network: "a/x"}}}}
	tests := []struct {
		name  string
		nodes []*weftv1.NodeInfo
		want  []diagram.Tunnel
	}{
		{"no nodes", nil, []diagram.Tunnel{}},
		{"one network", []*weftv1.NodeInfo{leasing("n2", "a/x"), leasing("n1", "a/x")}, []diagram.Tunnel{{A: "n1", B: "n2", Networks: []string{"a/x"}}}},
		{"an attachment counts as a lease does", []*weftv1.NodeInfo{attached, leasing("n2", "a/x")}, []diagram.Tunnel{{A: "n1", B: "n2", Networks: []string{"a/x"}}}},
		{"peered networks", []*weftv1.NodeInfo{leasing("n1", "a/x"), leasing("n2", "a/y")}, []diagram.Tunnel{{A: "n1", B: "n2", Networks: []string{"a/x"}}}},
		{"a one-sided peering joins nothing", []*weftv1.NodeInfo{leasing("n1", "a/x"), leasing("n2", "a/z")}, []diagram.Tunnel{}},
		{"nothing in common", []*weftv1.NodeInfo{leasing("n1"), leasing("n2", "a/x")}, []diagram.Tunnel{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, diagram.Of(intent, tt.nodes).Tunnels); diff != "" {
				t.Error(diff)
			}
		})
	}
	want := []diagram.Peering{{From: "a/x", To: "a/y", Active: true}, {From: "a/z", To: "a/x"}}
	if diff := cmp.Diff(want, diagram.Of(intent, nil).Peerings); diff != "" {
		t.Error(diff)
	}
}
