package topology_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

func load(t testing.TB, text string) *topology.Intent {
	t.Helper()
	intent, _, problems := topology.Load([]topology.Source{{Name: "t.yaml", Content: []byte(text)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return intent
}

const two = `
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {posture: deny}
---
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: globex}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: hub, tenant: acme}
spec:
  posture: allow
  subnets:
    - {name: a, ipv4: 10.0.0.0/24}
    - {name: b, ipv4: 10.0.1.0/24, ipv6: "fd00::/64", gateway4: 10.0.1.9}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: side, tenant: acme}
spec: {subnets: [{name: a, ipv4: 10.9.0.0/24}]}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: left, tenant: globex}
spec: {subnets: [{name: a, ipv4: 10.1.0.0/24}]}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: hub-left, tenant: acme}
spec: {network: hub, peer: {tenant: globex, network: left}}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: left-hub, tenant: globex}
spec: {network: left, peer: {tenant: acme, network: hub}}
---
apiVersion: weft.dev/v1alpha1
kind: Peering
metadata: {name: one-sided, tenant: acme}
spec: {network: side, peer: {network: hub}}
---
apiVersion: weft.dev/v1alpha1
kind: Port
metadata: {name: fixed, tenant: acme}
spec: {network: hub, addresses: [10.0.1.20]}
---
apiVersion: weft.dev/v1alpha1
kind: Port
metadata: {name: dynamic, tenant: acme}
spec: {network: hub}
---
apiVersion: weft.dev/v1alpha1
kind: AddressGroup
metadata: {name: offices, tenant: acme}
spec: {prefixes: [192.0.2.0/24]}
---
apiVersion: weft.dev/v1alpha1
kind: FirewallPolicy
metadata: {name: web, tenant: acme}
spec:
  network: hub
  ingress:
    - from:
        - {addressGroup: offices}
        - workloads: {tenant: globex, network: left}
`

func TestDefaults(t *testing.T) {
	i := load(t, two)
	s := i.Settings()
	if s.UnderlayMTU != 1500 || s.VXLANPort != 4789 || s.VirtualMAC.String() != "02:77:65:66:74:01" || s.Posture != topology.Allow ||
		s.NodeBlock != (topology.NodeBlock{IPv4: 26, IPv6: 122}) || !topology.IgnoredLabel(s.IgnoredLabels, "lab.weft.dev/x") {
		t.Errorf("settings %+v", s)
	}
	var gateways []string
	for _, sub := range i.Network(ref("acme", "hub")).Spec.Subnets {
		gateways = append(gateways, fmt.Sprint(sub.Gateway4, " ", sub.Gateway6))
	}
	if diff := cmp.Diff([]string{"10.0.0.1 invalid IP", "10.0.1.9 fd00::1"}, gateways); diff != "" {
		t.Error(diff)
	}
	p := i.FirewallPolicies()[0].Spec
	if p.Priority != 500 || p.Ingress[0].Action != topology.Allow || p.Egress != nil {
		t.Errorf("policy %+v", p)
	}
	for name, subnet := range map[string]string{"fixed": "b", "dynamic": "a"} {
		port := i.Port(fabric.PortRef{Tenant: "acme", Name: name})
		if port.Spec.Subnet != subnet || port.Spec.MAC != topology.DefaultMAC(port.Ref()) {
			t.Errorf("port %s is in subnet %q with MAC %s", name, port.Spec.Subnet, port.Spec.MAC)
		}
	}
}

func TestPosture(t *testing.T) {
	i := load(t, two)
	for _, tc := range []struct {
		network fabric.NetworkRef
		want    topology.Action
		from    string
	}{
		{ref("acme", "hub"), topology.Allow, "Network acme/hub"},
		{ref("acme", "side"), topology.Deny, "Tenant acme"},
		{ref("globex", "left"), topology.Allow, "Fabric default"},
	} {
		got, from := i.PostureOrigin(tc.network)
		if got != tc.want || from.String() != tc.from {
			t.Errorf("posture of %s is %s by %s, want %s by %s", tc.network, got, from, tc.want, tc.from)
		}
	}
}

func TestPeersOf(t *testing.T) {
	i := load(t, two)
	for network, want := range map[fabric.NetworkRef][]fabric.NetworkRef{
		ref("acme", "hub"):    {ref("globex", "left")},
		ref("globex", "left"): {ref("acme", "hub")},
		ref("acme", "side"):   nil,
	} {
		if diff := cmp.Diff(want, i.PeersOf(network)); diff != "" {
			t.Errorf("peers of %s:\n%s", network, diff)
		}
	}
}

func TestReferences(t *testing.T) {
	i := load(t, two)
	for _, tc := range []struct {
		key  topology.Key
		want []string
	}{
		{topology.Key{Kind: topology.KindNetwork, Tenant: "acme", Name: "hub"}, []string{"Peering acme/hub-left", "Peering acme/one-sided", "Peering globex/left-hub", "Port acme/dynamic", "Port acme/fixed", "FirewallPolicy acme/web"}},
		{topology.Key{Kind: topology.KindNetwork, Tenant: "globex", Name: "left"}, []string{"Peering acme/hub-left", "Peering globex/left-hub", "FirewallPolicy acme/web"}},
		{topology.Key{Kind: topology.KindAddressGroup, Tenant: "acme", Name: "offices"}, []string{"FirewallPolicy acme/web"}},
		{topology.Key{Kind: topology.KindTenant, Name: "globex"}, []string{"Network globex/left", "Peering acme/hub-left", "Peering globex/left-hub", "FirewallPolicy acme/web"}},
		{topology.Key{Kind: topology.KindPort, Tenant: "acme", Name: "fixed"}, nil},
	} {
		var got []string
		for _, k := range i.References(tc.key) {
			got = append(got, k.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("references to %s:\n%s", tc.key, diff)
		}
		// What refers to an object is what validation misses it for.
		missing := len(topology.Validate(i.Without(tc.key)).Errors()) > 0
		if missing != (len(tc.want) > 0) {
			t.Errorf("without %s: errors %v", tc.key, missing)
		}
	}
}

func TestWithAndWithoutLeaveTheIntent(t *testing.T) {
	i := load(t, two)
	before := i.Len()
	k := topology.Key{Kind: topology.KindPort, Tenant: "acme", Name: "fixed"}
	o := i.Get(k)
	if j := i.Without(k); j.Get(k) != nil || len(j.Ports()) != 1 || i.Len() != before || j.With(o).Len() != before {
		t.Errorf("%d objects, %d without %s", i.Len(), j.Len(), k)
	}
}

func TestSelector(t *testing.T) {
	req := func(key string, op topology.Operator, values ...string) topology.Selector {
		return topology.Selector{MatchExpressions: []topology.Requirement{{Key: key, Operator: op, Values: values}}}
	}
	web := fabric.Labels{"app": "web", "stage": "prod"}
	for _, tc := range []struct {
		name   string
		s      topology.Selector
		labels fabric.Labels
		want   bool
	}{
		{"empty", topology.Selector{}, nil, true},
		{"label", topology.Selector{MatchLabels: fabric.Labels{"app": "web"}}, web, true},
		{"other value", topology.Selector{MatchLabels: fabric.Labels{"app": "db"}}, web, false},
		{"one of two", topology.Selector{MatchLabels: fabric.Labels{"app": "web", "x": ""}}, web, false},
		{"empty value", topology.Selector{MatchLabels: fabric.Labels{"x": ""}}, web, false},
		{"in", req("app", topology.In, "db", "web"), web, true},
		{"in, absent", req("x", topology.In, ""), web, false},
		{"not in", req("app", topology.NotIn, "db"), web, true},
		{"not in, there", req("app", topology.NotIn, "web"), web, false},
		{"not in, absent", req("x", topology.NotIn, "web"), web, true},
		{"exists", req("app", topology.Exists), web, true},
		{"exists, absent", req("x", topology.Exists), web, false},
		{"does not exist", req("x", topology.DoesNotExist), web, true},
		{"does not exist, there", req("app", topology.DoesNotExist), web, false},
		{"unknown operator", req("app", "Is", "web"), web, false},
	} {
		if got := tc.s.Matches(tc.labels); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestPolicyLabels(t *testing.T) {
	ignored := []string{"lab.weft.dev/", "pod-template-hash"}
	in := fabric.Labels{"app": "web", "lab.weft.dev/id": "1", "lab.weft.dev": "kept", "pod-template-hash": "x"}
	if got := topology.PolicyLabels(ignored, in).String(); got != "app=web,lab.weft.dev=kept" {
		t.Error(got)
	}
}

// These are given to hypervisors and stand in stores, so they must never change.
func TestPortNumbersAreFixed(t *testing.T) {
	p := fabric.PortRef{Tenant: "acme", Name: "db-1"}
	if uid, mac := topology.PortUID(p), topology.DefaultMAC(p).String(); uid != wantUID || mac != wantMAC {
		t.Errorf("UID %s, MAC %s", uid, mac)
	}
}

const (
	wantUID = "47d0f050-0d09-5e8a-b8e5-2fd650029879"
	wantMAC = "02:08:5f:26:73:36"
)
