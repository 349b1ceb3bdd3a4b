package audit_test

import (
	"os"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// cornerBase is the fabric of the corners: acme/prod with a web server, a database and an unlabelled workload, both
// families each; acme/tools, peered with it; acme/far, peered with nothing; posture allow.
const cornerBase = `
{apiVersion: weft.dev/v1alpha1, kind: Tenant, metadata: {name: acme, labels: {stage: production}}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: prod, tenant: acme}, spec: {subnets: [{name: main, ipv4: 10.0.1.0/24, ipv6: "fd00:1::/64"}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: tools, tenant: acme}, spec: {subnets: [{name: main, ipv4: 10.9.0.0/24}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Network, metadata: {name: far, tenant: acme}, spec: {subnets: [{name: main, ipv4: 10.8.0.0/24}]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Peering, metadata: {name: a, tenant: acme}, spec: {network: prod, peer: {network: tools}}}
---
{apiVersion: weft.dev/v1alpha1, kind: Peering, metadata: {name: b, tenant: acme}, spec: {network: tools, peer: {network: prod}}}
---
{apiVersion: weft.dev/v1alpha1, kind: Port, metadata: {name: web, tenant: acme, labels: {app: web}}, spec: {network: prod, addresses: [10.0.1.10, "fd00:1::10"]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Port, metadata: {name: db, tenant: acme, labels: {app: db, lab.weft.dev/x: y}}, spec: {network: prod, addresses: [10.0.1.20, "fd00:1::20"]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Port, metadata: {name: bare, tenant: acme}, spec: {network: prod, addresses: [10.0.1.30, "fd00:1::30"]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Port, metadata: {name: tool, tenant: acme, labels: {app: web}}, spec: {network: tools, addresses: [10.9.0.10]}}
---
{apiVersion: weft.dev/v1alpha1, kind: Port, metadata: {name: stranger, tenant: acme, labels: {app: web}}, spec: {network: far, addresses: [10.8.0.10]}}
---
`

// policy is a FirewallPolicy of acme for acme/prod's databases.
func policy(name, rest string) string {
	return "{apiVersion: weft.dev/v1alpha1, kind: FirewallPolicy, metadata: {name: " + name + ", tenant: acme}, spec: {network: prod, subject: {matchLabels: {app: db}}, " + rest + "}}\n---\n"
}

// platform is a PlatformPolicy.
func platform(name, rest string) string {
	return "{apiVersion: weft.dev/v1alpha1, kind: PlatformPolicy, metadata: {name: " + name + "}, spec: {" + rest + "}}\n---\n"
}

// TestCorners asks Decide about each corner of docs/policy.md. A question is "FROM TO SERVICE[ v6] allow|deny", and
// perhaps "by RULE": part of the deciding rule's policy and name.
func TestCorners(t *testing.T) {
	docs, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		corner, yaml string
		questions    []string
	}{
		{"No policy", "", []string{"web db tcp/80 allow by posture", "web db protocol/47 allow"}},
		{"Both directions", policy("p", `ingress: []`), []string{"web db tcp/80 deny by default", "db web tcp/80 allow"}},
		{"Absent and empty directions", policy("p", `egress: []`), []string{"web db tcp/80 allow", "db web tcp/80 deny by default"}},
		{"Empty selector", platform("p", `tier: platform, ingress: [{action: deny}]`), []string{"web db tcp/1 deny", "bare web tcp/1 deny"}},
		{"Absent and empty peers", policy("p", `ingress: [{ports: [{protocol: tcp, port: 1}]}]`), []string{"web db tcp/1 allow", "bare db tcp/1 allow", "tool db tcp/1 allow"}},
		{"Peers of a whole network", policy("p", `ingress: [{from: [{workloads: {}}]}]`), []string{"web db tcp/1 allow", "bare db tcp/1 allow", "tool db tcp/1 deny by default"}},
		{"Selectors that match nothing", policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {app: nobody}}}}]}]`), []string{"web db tcp/1 deny by default"}},
		{"NotIn and DoesNotExist", policy("p", `ingress: [{from: [{workloads: {selector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}}}]}]`), []string{"bare db tcp/1 allow", "web db tcp/1 allow", "db db tcp/1 deny"}},
		{"Ignored labels", policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {app: web}}}}]}]`), []string{"web db tcp/1 allow", "bare db tcp/1 deny"}},
		{"Peered networks", policy("p", `ingress: [{from: [{workloads: {network: tools, selector: {matchLabels: {app: web}}}}]}]`), []string{"tool db tcp/1 allow by p", "web db tcp/1 deny"}},
		{"CIDRs and workloads", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.1.0/28}}]}]`), []string{"web db tcp/1 allow", "bare db tcp/1 deny", "web db tcp/1 v6 deny"}},
		{"Exceptions", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.1.0/24, except: [10.0.1.10/32]}}]}]`), []string{"web db tcp/1 deny by default", "bare db tcp/1 allow"}},
		{"Exceptions of one peer only", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.1.0/24, except: [10.0.1.10/32]}}, {workloads: {selector: {matchLabels: {app: web}}}}]}]`), []string{"web db tcp/1 allow"}},
		{"Overlapping ranges", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.1.0/24, except: [10.0.1.0/28]}}, {cidr: {cidr: 10.0.1.10/32}}]}]`), []string{"web db tcp/1 allow", "bare db tcp/1 allow"}},
		{"Dual-stack workloads", policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {app: web}}}}], ports: [{protocol: tcp, port: 1}]}]`), []string{"web db tcp/1 allow", "web db tcp/1 v6 allow", "bare db tcp/1 v6 deny"}},
		{"Port ranges", policy("p", `ingress: [{ports: [{protocol: tcp, port: 10, endPort: 12}]}]`), []string{"web db tcp/9 deny", "web db tcp/10 allow", "web db tcp/12 allow", "web db tcp/13 deny"}},
		{"Protocols without ports", policy("p", `ingress: [{ports: [{protocol: udp}]}]`), []string{"web db udp/1 allow", "web db udp/65535 allow", "web db tcp/1 deny"}},
		{"Ports and ICMP types together", policy("p", `ingress: [{ports: [{protocol: tcp, port: 80}], icmp: [{family: ipv4, type: 8}]}]`), []string{"web db tcp/80 allow", "web db icmp/8 allow", "web db icmp/3 deny", "web db icmpv6/128 v6 deny"}},
		{"ICMP families", policy("p", `ingress: [{icmp: [{family: ipv6, type: 128}]}]`), []string{"web db icmpv6/128 v6 allow", "web db icmp/8 deny", "web db icmp/128 v6 deny"}},
		{"ICMP codes", policy("p", `ingress: [{icmp: [{family: ipv4, type: 3, code: 4}, {family: ipv4, type: 8}]}]`), []string{"web db icmp/3/4 allow", "web db icmp/3/1 deny", "web db icmp/8/7 allow"}},
		{"Other protocols", policy("p", `ingress: [{ports: [{protocol: tcp}, {protocol: udp}, {protocol: sctp}]}]`), []string{"web db protocol/47 deny by default", "web db sctp/1 allow"}},
		{"Order of rules", policy("p", `ingress: [{action: deny, ports: [{protocol: tcp, port: 1}]}, {}]`), []string{"web db tcp/1 deny by ingress[0]", "web db tcp/2 allow by ingress[1]"}},
		{"Priorities", policy("a", `ingress: [{}]`) + policy("b", `priority: 400, ingress: [{action: deny, ports: [{protocol: tcp, port: 1}]}]`), []string{"web db tcp/1 deny by acme/b", "web db tcp/2 allow by acme/a"}},
		{"Equal priorities", policy("b", `ingress: [{action: deny, ports: [{protocol: tcp, port: 2}]}]`) + policy("a", `ingress: [{ports: [{protocol: tcp, port: 1}]}]`), []string{"web db tcp/1 allow by acme/a", "web db tcp/2 deny by acme/b"}},
		{"Policies add up", policy("a", `ingress: [{ports: [{protocol: tcp, port: 1}]}]`) + policy("b", `ingress: [{ports: [{protocol: tcp, port: 2}]}]`), []string{"web db tcp/1 allow", "web db tcp/2 allow", "web db tcp/3 deny"}},
		{"Pass", policy("p", `ingress: [{action: pass, ports: [{protocol: tcp, port: 1}]}, {}]`) + platform("base", `tier: baseline, ingress: [{action: deny}]`), []string{"web db tcp/1 deny by base", "web db tcp/2 allow by acme/p"}},
		{"Pass of the platform", platform("p", `tier: platform, priority: 1, ingress: [{action: pass}]`) + platform("q", `tier: platform, ingress: [{action: deny}]`), []string{"web db tcp/1 allow by posture"}},
		{"The platform before the tenant", policy("p", `ingress: [{}]`) + platform("q", `tier: platform, ingress: [{action: deny, ports: [{protocol: tcp, port: 22}]}]`), []string{"web db tcp/22 deny by q", "web db tcp/80 allow by acme/p"}},
		{"The tenant's default hides the baseline", policy("p", `ingress: []`) + platform("q", `tier: baseline, ingress: [{}]`), []string{"web db tcp/1 deny by default", "db web tcp/1 allow by q"}},
		{"Platform policies never deny by themselves", platform("q", `tier: platform, ingress: [{ports: [{protocol: tcp, port: 1}]}]`), []string{"web db tcp/2 allow by posture"}},
		{"Postures", "{apiVersion: weft.dev/v1alpha1, kind: Fabric, metadata: {name: default}, spec: {posture: deny}}\n---\n", []string{"web db tcp/1 deny by posture", "web tool tcp/1 deny by posture"}},
		{"A second workload of the same labels", policy("p", `ingress: []`), []string{"db db tcp/1 deny by default"}},
	}
	for _, row := range rows {
		t.Run(row.corner, func(t *testing.T) {
			if !strings.Contains(string(docs), "**"+row.corner+".**") {
				t.Errorf("docs/policy.md says nothing of it")
			}
			w := world(t, cornerBase+row.yaml)
			for _, q := range row.questions {
				ask(t, w, q)
			}
		})
	}
}

// TestRefusedCorners: what has no meaning is refused by validation.
func TestRefusedCorners(t *testing.T) {
	rows := []struct{ name, yaml, want string }{
		{"empty peer list", policy("p", `ingress: [{from: []}]`), "is empty: remove it to mean everyone"},
		{"empty list of ports", policy("p", `ingress: [{ports: []}]`), "is empty: remove it to mean every protocol"},
		{"endPort without port", policy("p", `ingress: [{ports: [{protocol: tcp, endPort: 9}]}]`), "given without port"},
		{"endPort below port", policy("p", `ingress: [{ports: [{protocol: tcp, port: 9, endPort: 8}]}]`), "below port 9"},
		{"except outside", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.0.0/24, except: [10.0.1.0/25]}}]}]`), "does not lie in"},
		{"except of the whole", policy("p", `ingress: [{from: [{cidr: {cidr: 10.0.0.0/24, except: [10.0.0.0/24]}}]}]`), "so nothing is left"},
		{"policy without a direction", policy("p", `priority: 3`), "governs nothing"},
		{"ignored label", policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {lab.weft.dev/x: y}}}}]}]`), "a label that policy ignores"},
		{"equal priorities that overlap", policy("b", `ingress: [{action: deny}]`) + policy("a", `ingress: [{ports: [{protocol: tcp, port: 1}]}]`), "both policies have priority 500"},
		{"network that isn't peered", policy("p", `ingress: [{from: [{workloads: {network: far}}]}]`), "it matches nothing"},
	}
	for _, row := range rows {
		_, _, problems := topology.Load([]topology.Source{{Name: "corner.yaml", Content: []byte(cornerBase + row.yaml)}})
		if !strings.Contains(problems.Error(), row.want) {
			t.Errorf("%s: problems %q lack %q", row.name, problems.Error(), row.want)
		}
	}
}

// TestUnknownIsDenied: what no table knows is denied, whatever the posture.
func TestUnknownIsDenied(t *testing.T) {
	w := world(t, cornerBase)
	p, err := w.Packet("acme/web", "acme/db", "tcp/80", false)
	if err != nil {
		t.Fatal(err)
	}
	known := p
	if !firewall.Decide(w.Tables, known).Allowed {
		t.Error("the known packet is denied")
	}
	for _, change := range []func(*firewall.Packet){
		func(p *firewall.Packet) { p.Src.Identity = 0 },
		func(p *firewall.Packet) { p.Dst.Identity = 0 },
		func(p *firewall.Packet) { p.Src.Network = fabric.MaxNetworkID },
		func(p *firewall.Packet) {
			p.Src, p.Dst = firewall.Endpoint{Addr: p.Src.Addr}, firewall.Endpoint{Addr: p.Dst.Addr}
		},
	} {
		p := known
		change(&p)
		if v := firewall.Decide(w.Tables, p); v.Allowed {
			t.Errorf("%+v is allowed", p)
		}
	}
}

// TestLabelChanges: a workload with other labels is another class from the next decision on.
func TestLabelChanges(t *testing.T) {
	rule := policy("p", `ingress: [{from: [{workloads: {selector: {matchLabels: {app: web}}}}]}]`)
	ask(t, world(t, cornerBase+rule), "web db tcp/1 allow")
	ask(t, world(t, strings.Replace(cornerBase, "name: web, tenant: acme, labels: {app: web}", "name: web, tenant: acme, labels: {app: old}", 1)+rule), "web db tcp/1 deny by default")
}

// world returns the world of a topology in one text.
func world(t *testing.T, yaml string) *audit.World {
	t.Helper()
	return worldOf(t, topology.Source{Name: "corner.yaml", Content: []byte(yaml)})
}

func worldOf(t *testing.T, sources ...topology.Source) *audit.World {
	t.Helper()
	intent, foreign, problems := topology.Load(sources)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	workloads, problems := audit.WorkloadsOf(intent, foreign)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w, err := audit.NewWorld(intent, workloads, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func ask(t *testing.T, w *audit.World, question string) {
	t.Helper()
	q, by, _ := strings.Cut(question, " by ")
	words := strings.Fields(q)
	p, err := w.Packet("acme/"+words[0], "acme/"+words[1], words[2], words[3] == "v6")
	if err != nil {
		t.Fatal(err)
	}
	v := firewall.Decide(w.Tables, p)
	last := v.Ingress
	if last == nil {
		last = v.Egress
	}
	if last == nil {
		t.Fatalf("%s: no rule decided", question)
	}
	decided := last.Origin.Policy + " " + last.Origin.Rule
	if v.Allowed != (words[len(words)-1] == "allow") || !strings.Contains(decided, by) {
		t.Errorf("%s: allowed %v by %s", question, v.Allowed, decided)
	}
}
