package topology_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

const overlapBase = `
{apiVersion: weft.dev/v1alpha1, kind: Tenant, metadata: {name: acme, labels: {stage: prod}}}
---
{apiVersion: weft.dev/v1alpha1, kind: Tenant, metadata: {name: globex}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: prod, tenant: acme}, spec: {subnets: [{name: main, ipv4: 10.0.1.0/24, ipv6: "fd00:1::/64"}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: dev, tenant: acme}, spec: {subnets: [{name: main, ipv4: 10.0.2.0/24}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: prod, tenant: globex}, spec: {subnets: [{name: main, ipv4: 10.0.3.0/24}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: AddressGroup, metadata: {name: offices, tenant: acme}, spec: {prefixes: [192.0.2.0/25, "2001:db8::/32"]}}
---
`

// TestOverlaps: two policies of one priority may not disagree about a packet, whatever workloads there are.
func TestOverlaps(t *testing.T) {
	ingress := func(rules string) string {
		return "subject: {matchLabels: {app: db}}, ingress: [" + rules + "]"
	}
	rows := []struct {
		name, a, b string
		overlap    bool
	}{
		{"the same packets", ingress(`{}`), ingress(`{action: deny}`), true},
		{"the same action", ingress(`{}`), ingress(`{}`), false},
		{"pass", ingress(`{action: pass}`), ingress(`{}`), true},
		{"priorities", ingress(`{}`), `priority: 400, ` + ingress(`{action: deny}`), false},
		{"directions", ingress(`{}`), `subject: {matchLabels: {app: db}}, egress: [{action: deny}]`, false},
		{"one policy's own rules", ingress(`{}, {action: deny}`), ingress(``), false},
		{"only the second rules", ingress(`{ports: [{protocol: tcp}]}, {ports: [{protocol: udp}]}`), ingress(`{action: deny, ports: [{protocol: sctp}]}, {action: deny, ports: [{protocol: udp, port: 53}]}`), true},

		{"subjects: other values of a label", ingress(`{}`), `subject: {matchLabels: {app: web}}, ingress: [{action: deny}]`, false},
		{"subjects: other labels", ingress(`{}`), `subject: {matchLabels: {tier: x}}, ingress: [{action: deny}]`, true},
		{"subjects: In", ingress(`{}`), `subject: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}, ingress: [{action: deny}]`, true},
		{"subjects: NotIn", ingress(`{}`), `subject: {matchExpressions: [{key: app, operator: NotIn, values: [web, db]}]}, ingress: [{action: deny}]`, false},
		{"subjects: DoesNotExist", ingress(`{}`), `subject: {matchExpressions: [{key: app, operator: DoesNotExist}]}, ingress: [{action: deny}]`, false},
		{"subjects: Exists", ingress(`{}`), `subject: {matchExpressions: [{key: app, operator: Exists}]}, ingress: [{action: deny}]`, true},
		{"subjects: other networks", `network: prod, ` + ingress(`{}`), `network: dev, ` + ingress(`{action: deny}`), false},
		{"subjects: each network", `network: prod, ` + ingress(`{}`), ingress(`{action: deny}`), true},

		{"services: other ports", ingress(`{ports: [{protocol: tcp, port: 80, endPort: 89}]}`), ingress(`{action: deny, ports: [{protocol: tcp, port: 90}]}`), false},
		{"services: ranges that meet", ingress(`{ports: [{protocol: tcp, port: 80, endPort: 90}]}`), ingress(`{action: deny, ports: [{protocol: tcp, port: 90, endPort: 99}]}`), true},
		{"services: a protocol's ports", ingress(`{ports: [{protocol: tcp}]}`), ingress(`{action: deny, ports: [{protocol: tcp, port: 90}]}`), true},
		{"services: other protocols", ingress(`{ports: [{protocol: tcp}]}`), ingress(`{action: deny, ports: [{protocol: udp}], icmp: [{family: ipv4}]}`), false},
		{"services: all", ingress(`{}`), ingress(`{action: deny, ports: [{protocol: udp, port: 1}]}`), true},
		{"services: ICMP families", ingress(`{icmp: [{family: ipv4}]}`), ingress(`{action: deny, icmp: [{family: ipv6}]}`), false},
		{"services: ICMP types", ingress(`{icmp: [{family: ipv4, type: 8}]}`), ingress(`{action: deny, icmp: [{family: ipv4, type: 3}]}`), false},
		{"services: ICMP codes", ingress(`{icmp: [{family: ipv4, type: 3}]}`), ingress(`{action: deny, icmp: [{family: ipv4, type: 3, code: 1}]}`), true},

		{"peers: other labels' values", ingress(`{from: [{workloads: {selector: {matchLabels: {a: x}}}}]}`), ingress(`{action: deny, from: [{workloads: {selector: {matchLabels: {a: y}}}}]}`), false},
		{"peers: one of several", ingress(`{from: [{workloads: {selector: {matchLabels: {a: x}}}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 203.0.113.0/24}}, {workloads: {}}]}`), true},
		{"peers: own and another network", `network: prod, ` + ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{workloads: {network: dev}}]}`), false},
		{"peers: own network by name", `network: prod, ` + ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{workloads: {network: prod}}]}`), true},
		{"peers: another tenant's network", ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{workloads: {tenant: globex, network: prod}}]}`), false},
		{"peers: CIDR of the network", `network: prod, ` + ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 10.0.0.0/16}}]}`), true},
		{"peers: CIDR elsewhere", `network: prod, ` + ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 10.0.2.0/24}}]}`), false},
		{"peers: CIDR without the network", `network: prod, ` + ingress(`{from: [{workloads: {}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 10.0.0.0/16, except: [10.0.1.0/25, 10.0.1.128/25]}}]}`), false},
		{"peers: CIDRs that meet", ingress(`{from: [{cidr: {cidr: 192.0.2.0/24}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 192.0.2.128/25}}]}`), true},
		{"peers: CIDRs that exceptions part", ingress(`{from: [{cidr: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 192.0.2.128/25}}]}`), false},
		{"peers: CIDRs of other families", ingress(`{from: [{cidr: {cidr: 0.0.0.0/0}}]}`), ingress(`{action: deny, from: [{cidr: {cidr: "::/0"}}]}`), false},
		{"peers: an address group", ingress(`{from: [{addressGroup: offices}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 192.0.2.7/32}}]}`), true},
		{"peers: beside an address group", ingress(`{from: [{addressGroup: offices}]}`), ingress(`{action: deny, from: [{cidr: {cidr: 192.0.2.128/32}}]}`), false},
		{"peers: everyone and nobody", ingress(`{}`), ingress(`{action: deny, from: [{workloads: {selector: {matchLabels: {a: x}, matchExpressions: [{key: a, operator: DoesNotExist}]}}}]}`), false},
		{"families of peers and services", ingress(`{from: [{cidr: {cidr: 0.0.0.0/0}}]}`), ingress(`{action: deny, icmp: [{family: ipv6}]}`), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, swapped := range []bool{false, true} {
				a, b := row.a, row.b
				if swapped {
					a, b = b, a
				}
				yaml := overlapBase
				for i, spec := range []string{a, b} {
					yaml += fmt.Sprintf("{apiVersion: weft.dev/v1alpha1, kind: FirewallPolicy, metadata: {name: p%d, tenant: acme}, spec: {%s}}\n---\n", i, spec)
				}
				checkOverlap(t, yaml, row.overlap)
			}
		})
	}
}

func TestOverlapsOfPlatformPolicies(t *testing.T) {
	rows := []struct {
		name, a, b string
		overlap    bool
	}{
		{"everyone", `tier: platform, ingress: [{}]`, `tier: platform, ingress: [{action: pass}]`, true},
		{"tiers", `tier: platform, ingress: [{}]`, `tier: baseline, ingress: [{action: deny}]`, false},
		{"tenants", `tier: platform, subject: {tenants: {matchLabels: {stage: prod}}}, ingress: [{}]`, `tier: platform, subject: {tenants: {matchLabels: {stage: test}}}, ingress: [{action: deny}]`, false},
		{"peers of tenants", `tier: platform, egress: [{to: [{workloads: {tenant: acme}}]}]`, `tier: platform, egress: [{action: deny, to: [{workloads: {tenant: globex, network: prod}}]}]`, false},
		{"peers of one tenant", `tier: platform, egress: [{to: [{workloads: {tenant: globex}}]}]`, `tier: platform, egress: [{action: deny, to: [{workloads: {tenant: globex, network: prod}}]}]`, true},
		{"addresses of a tenant", `tier: platform, egress: [{to: [{workloads: {tenant: globex}}]}]`, `tier: platform, egress: [{action: deny, to: [{cidr: {cidr: 10.0.1.0/24}}]}]`, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			yaml := overlapBase
			for i, spec := range []string{row.a, row.b} {
				yaml += fmt.Sprintf("{apiVersion: weft.dev/v1alpha1, kind: PlatformPolicy, metadata: {name: p%d}, spec: {%s}}\n---\n", i, spec)
			}
			checkOverlap(t, yaml, row.overlap)
		})
	}
}

// checkOverlap wants one error, with the places of both rules, or none.
func checkOverlap(t *testing.T, yaml string, overlap bool) {
	t.Helper()
	_, _, problems := topology.Load([]topology.Source{{Name: "a.yaml", Content: []byte(yaml)}})
	errs := problems.Errors()
	switch {
	case !overlap && len(errs) > 0:
		t.Errorf("refused: %v", problems.Err())
	case overlap && len(errs) != 1:
		t.Errorf("%d errors: %v", len(errs), problems.Err())
	case overlap:
		got := errs[0].String()
		if !strings.HasPrefix(got, "a.yaml:16: ") || !strings.Contains(got, "p0 at a.yaml:14") || !strings.Contains(got, "give them different priorities") {
			t.Errorf("message %q", got)
		}
	}
}

// BenchmarkValidateOverlaps is 4,000 policies of one tenant and priority, half of which deny.
func BenchmarkValidateOverlaps(b *testing.B) {
	objects := []any{&topology.Tenant{Metadata: topology.Metadata{Name: "acme"}}}
	for i := range 4000 {
		label := func(key string, n int) topology.Selector {
			return topology.Selector{MatchLabels: fabric.Labels{key: fmt.Sprint(n)}}
		}
		r := topology.Rule{Action: []topology.Action{topology.Allow, topology.Deny}[i%2], From: []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: label("peer", i)}}}}
		objects = append(objects, &topology.FirewallPolicy{Metadata: topology.Metadata{Name: fmt.Sprint("p", i), Tenant: "acme"}, Spec: topology.FirewallPolicySpec{Subject: label("app", i%50), Ingress: []topology.Rule{r}}})
	}
	var list []*topology.Object
	for _, body := range objects {
		o, ok := topology.NewObject(body)
		if !ok {
			b.Fatalf("%T is no kind", body)
		}
		list = append(list, o)
	}
	intent := topology.NewIntent(list...)
	for b.Loop() {
		if err := topology.Validate(intent).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
