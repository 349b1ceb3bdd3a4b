package audit_test

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// TestEqualPrioritiesNeverDecide: where validation accepts policies of one priority, their names can be exchanged, and every
// packet between any two label sets has the same verdict.
func TestEqualPrioritiesNeverDecide(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawSpec(t, "first"), drawSpec(t, "second")
		if topology.Validate(namedPolicies(t, first, second)).Err() != nil {
			return
		}
		accepted++
		one, other := namedPolicies(t, first, second), namedPolicies(t, second, first)
		d, err := audit.DiffOf(audit.Side{Intent: one, Workloads: everyone(t, one)}, audit.Side{Intent: other, Workloads: everyone(t, one)})
		if err != nil {
			t.Fatal(err)
		}
		if !d.IsEmpty() {
			t.Fatalf("the names of %+v and %+v decide: %+v", first, second, d)
		}
	})
	if accepted == 0 {
		t.Error("no two policies were accepted")
	}
}

func drawSpec(t *rapid.T, name string) topology.FirewallPolicySpec {
	selector := func(what string) topology.Selector {
		switch rapid.IntRange(0, 3).Draw(t, name+" "+what) {
		case 0:
			return topology.Selector{}
		case 1:
			return topology.Selector{MatchExpressions: []topology.Requirement{{Key: "app", Operator: topology.NotIn, Values: []string{"a"}}}}
		case 2:
			return topology.Selector{MatchLabels: fabric.Labels{"app": "a"}}
		}
		return topology.Selector{MatchLabels: fabric.Labels{"tier": "x"}}
	}
	spec := topology.FirewallPolicySpec{Priority: 500, Subject: selector("subject"), Ingress: []topology.Rule{}}
	for range rapid.IntRange(1, 2).Draw(t, name+" rules") {
		r := topology.Rule{Action: rapid.SampledFrom([]topology.Action{topology.Allow, topology.Deny, topology.Pass}).Draw(t, name+" action")}
		switch rapid.IntRange(0, 2).Draw(t, name+" peer") {
		case 0:
			r.From = []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: selector("peer")}}}
		case 1:
			r.From = []topology.Peer{{CIDR: &topology.CIDRPeer{CIDR: netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"}).Draw(t, name+" cidr"))}}}
		}
		r.Ports = rapid.SampledFrom([][]topology.PortRange{nil, {{Protocol: topology.TCP, Port: 1, EndPort: 2}}, {{Protocol: topology.TCP, Port: 2}}, {{Protocol: topology.UDP}}}).Draw(t, name+" ports")
		spec.Ingress = append(spec.Ingress, r)
	}
	return spec
}

// namedPolicies returns a topology with two policies, named p0 and p1 in this order.
func namedPolicies(t *rapid.T, specs ...topology.FirewallPolicySpec) *topology.Intent {
	bodies := []any{
		&topology.Tenant{Metadata: topology.Metadata{Name: "acme"}},
		&topology.Network{Metadata: topology.Metadata{Name: "n", Tenant: "acme"}, Spec: topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "s", IPv4: netip.MustParsePrefix("10.0.0.0/24")}}}},
	}
	for i, s := range specs {
		bodies = append(bodies, &topology.FirewallPolicy{Metadata: topology.Metadata{Name: fmt.Sprint("p", i), Tenant: "acme"}, Spec: s})
	}
	var objects []*topology.Object
	for _, b := range bodies {
		o, ok := topology.NewObject(b)
		if !ok {
			t.Fatalf("%T is no kind", b)
		}
		objects = append(objects, o)
	}
	return topology.NewIntent(objects...)
}

// everyone returns workloads of each label set that the policies tell apart, on both sides of the ranges that they name.
func everyone(t *rapid.T, intent *topology.Intent) []audit.Workload {
	classes, ok := audit.Imagined(intent, intent.Networks()[0], nil)
	if !ok {
		t.Fatal("too many label sets")
	}
	var out []audit.Workload
	for i, c := range classes {
		for _, a := range []byte{10, 200} {
			out = append(out, audit.Workload{Name: fmt.Sprintf("acme/w%d-%d", i, a), Network: c.Network, Labels: c.Labels, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, a + byte(i)})}})
		}
	}
	return out
}
