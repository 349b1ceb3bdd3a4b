package compile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// TestTables lowers one policy per row and asserts the rules of network a/x. The identities of a/x are 0x100
// (app=web), 0x101 (app=db) and 0x102 (app=web, env=test), those of its peer b/x 0x300 and so on.
func TestTables(t *testing.T) {
	rows := []struct {
		name, yaml string
		want       []string
	}{
		{"posture alone", ``, []string{"ingress posture allow any from any", "egress posture allow any from any"}},
		{"fabric's posture", `
kind: Fabric
metadata: {name: default}
spec: {posture: deny}`, []string{"ingress posture deny any from any", "egress posture deny any from any"}},
		{"an empty direction denies, an absent one doesn't govern", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {network: x, subject: {matchLabels: {app: db}}, ingress: []}`, []string{
			"ingress tenant deny 0x000101 from any last", "ingress posture allow any from any", "egress posture allow any from any"}},
		{"peers default to the subject's network, an empty selector is its blocks", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {network: x, ingress: [{from: [{workloads: {}}]}, {from: [{workloads: {selector: {matchLabels: {app: web}}}}], ports: [{protocol: tcp, port: 80}]}]}`, []string{
			"ingress tenant allow any from 0x000100/16", "ingress tenant allow any from 0x000100,0x000102 tcp/80-80", "ingress tenant deny any from any last",
			"ingress posture allow any from any", "egress posture allow any from any"}},
		{"a peered network, and one that isn't", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {network: x, egress: [{to: [{workloads: {tenant: b, network: x}}]}, {action: deny, to: [{workloads: {network: y}}]}]}`, []string{
			"ingress posture allow any from any", "egress tenant allow any from 0x000300/16", "egress tenant deny any from any last", "egress posture allow any from any"}},
		{"another network's policy", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {network: y, ingress: []}`, []string{"ingress posture allow any from any", "egress posture allow any from any"}},
		{"platform selects tenants, and peers of every network within reach", `
kind: PlatformPolicy
metadata: {name: p}
spec:
  tier: platform
  subject: {tenants: {matchLabels: {tier: gold}}, workloads: {matchLabels: {app: web}}}
  ingress: [{action: deny, from: [{workloads: {selector: {matchLabels: {app: db}}}}], icmp: [{family: ipv4, type: 8}]}]`, []string{
			"ingress platform deny 0x000100,0x000102 from 0x000101,0x000301 icmp/8,-1", "ingress posture allow any from any", "egress posture allow any from any"}},
		{"platform's other tenants", `
kind: PlatformPolicy
metadata: {name: p}
spec: {tier: baseline, subject: {tenants: {matchLabels: {tier: iron}}}, ingress: [{action: deny}]}`, []string{
			"ingress posture allow any from any", "egress posture allow any from any"}},
		{"baseline, groups and exceptions", `
kind: AddressGroup
metadata: {name: g}
spec: {prefixes: [192.0.2.0/24, "2001:db8::/32"]}
---
kind: PlatformPolicy
metadata: {name: p}
spec: {tier: baseline, egress: [{action: pass, to: [{addressGroup: g}, {cidr: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}`, []string{
			"ingress posture allow any from any", "egress baseline pass any from 10.0.0.0/8!10.1.0.0/16,192.0.2.0/24,2001:db8::/32", "egress posture allow any from any"}},
		{"order by priority", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {priority: 20, network: x, ingress: [{action: deny}]}
---
kind: FirewallPolicy
metadata: {name: q, tenant: a}
spec: {priority: 10, network: x, ingress: [{action: pass}]}`, []string{
			"ingress tenant pass any from any", "ingress tenant deny any from any", "ingress tenant deny any from any last", "ingress posture allow any from any", "egress posture allow any from any"}},
		{"a rule that logs", `
kind: FirewallPolicy
metadata: {name: p, tenant: a}
spec: {network: x, ingress: [{log: true, ports: [{protocol: tcp, port: 80}]}, {action: deny}]}`, []string{
			"ingress tenant allow any from any tcp/80-80 log", "ingress tenant deny any from any", "ingress tenant deny any from any last",
			"ingress posture allow any from any", "egress posture allow any from any"}},
		{"a tenant's denials are logged, the platform's rules and the posture included", `
kind: Tenant
metadata: {name: a}
spec: {posture: deny, logDenials: true}
---
kind: PlatformPolicy
metadata: {name: p}
spec: {tier: platform, ingress: [{action: deny, ports: [{protocol: tcp, port: 22}]}, {ports: [{protocol: tcp, port: 80}]}]}`, []string{
			"ingress platform deny any from any tcp/22-22 log", "ingress platform allow any from any tcp/80-80",
			"ingress posture deny any from any log", "egress posture deny any from any log"}},
		{"the fabric's denials are logged", `
kind: Fabric
metadata: {name: default}
spec: {posture: deny, logDenials: true}`, []string{"ingress posture deny any from any log", "egress posture deny any from any log"}},
		{"another tenant's denials", `
kind: Tenant
metadata: {name: b}
spec: {posture: deny, logDenials: true}`, []string{"ingress posture allow any from any", "egress posture allow any from any"}},
	}
	for _, row := range rows {
		s := startState(t)
		s.Intent = s.Intent.Without(topology.Key{Kind: topology.KindFirewallPolicy, Tenant: "b", Name: "from-a"}).With(decode(t, row.yaml)...)
		var got []string
		for _, r := range compile.Tables(s)[1].Rules {
			got = append(got, ruleText(r))
		}
		if strings.Join(got, "\n") != strings.Join(row.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, strings.Join(got, "\n"), strings.Join(row.want, "\n"))
		}
	}
}

// decode reads objects without their apiVersion.
func decode(t *testing.T, yaml string) []*topology.Object {
	t.Helper()
	if yaml == "" {
		return nil
	}
	yaml = strings.ReplaceAll("\n"+strings.TrimPrefix(yaml, "\n"), "\nkind:", "\napiVersion: "+topology.APIVersion+"\nkind:")
	objects, _, problems := topology.Decode([]topology.Source{{Name: "row.yaml", Content: []byte(yaml)}})
	for _, p := range problems {
		t.Fatal(p)
	}
	return objects
}

func ruleText(r firewall.Rule) string {
	directions := map[firewall.Direction]string{firewall.Ingress: "ingress", firewall.Egress: "egress"}
	tiers := map[firewall.Tier]string{firewall.Platform: "platform", firewall.Tenant: "tenant", firewall.Baseline: "baseline", firewall.Posture: "posture"}
	actions := map[firewall.Action]string{firewall.Allow: "allow", firewall.Deny: "deny", firewall.Pass: "pass"}
	words := []string{directions[r.Direction], tiers[r.Tier], actions[r.Action], subjectText(r.Subject), "from", peersText(r.Peers)}
	for _, s := range r.Services {
		words = append(words, serviceText(s))
	}
	if r.Order.Last {
		words = append(words, "last")
	}
	if r.Log {
		words = append(words, "log")
	}
	return strings.Join(words, " ")
}

func subjectText(w firewall.Workloads) string {
	if w.Any {
		return "any"
	}
	return join(w.IDs)
}

func peersText(p firewall.Peers) string {
	if p.Any {
		return "any"
	}
	var parts []string
	for _, s := range []string{join(p.IDs), join(p.Blocks)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, c := range p.CIDRs {
		s := c.Prefix.String()
		for _, e := range c.Except {
			s += "!" + e.String()
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ",")
}

func serviceText(s firewall.Service) string {
	names := map[firewall.Protocol]string{firewall.TCP: "tcp", firewall.UDP: "udp", firewall.SCTP: "sctp", firewall.ICMP: "icmp", firewall.ICMPv6: "icmpv6"}
	switch {
	case s.Protocol == firewall.ICMP || s.Protocol == firewall.ICMPv6:
		return fmt.Sprintf("%s/%d,%d", names[s.Protocol], s.Type, s.Code)
	case s.Ports.First == 0:
		return names[s.Protocol]
	}
	return fmt.Sprintf("%s/%d-%d", names[s.Protocol], s.Ports.First, s.Ports.Last)
}

func join[T interface {
	fabric.Identity | fabric.VNIBlock
	String() string
}](values []T) string {
	var out []string
	for _, v := range values {
		out = append(out, v.String())
	}
	return strings.Join(out, ",")
}
