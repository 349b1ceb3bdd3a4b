package kubernetes_test

import (
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/topology"
)

// base has pods in two namespaces with labels, and one in a third that isn't declared.
const base = `
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {team: blue}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a, labels: {app: web}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}, status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: a, labels: {app: db, tier: data}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 9090}]}]}, status: {podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: b, labels: {app: web}}, spec: {containers: [{name: c}]}, status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::101"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: lone, namespace: c}, spec: {containers: [{name: c}]}, status: {podIP: 10.0.2.1}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: t, namespace: c}, spec: {template: {metadata: {labels: {app: t}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 7070}]}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: a, labels: {app: web}}, spec: {hostNetwork: true, containers: [{name: c}]}, status: {podIP: 192.168.0.7}}
---
`

// policy returns a NetworkPolicy of namespace a for its pod db.
func policy(spec string) string {
	return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: a}, spec: {podSelector: {matchLabels: {app: db}}, " + spec + "}}\n---\n"
}

// cluster returns a ClusterNetworkPolicy.
func cluster(name, spec string) string {
	return "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: " + name + "}, spec: {" + spec + "}}\n---\n"
}

const (
	webA, dbA, webB, lone, agent = "a/Pod/web", "a/Pod/db", "b/Pod/web", "c/Pod/lone", "a/Pod/agent"
	template                     = "c/Deployment/t"
	far, far6                    = "203.0.113.9", "2001:db8::9"
)

func TestCorners(t *testing.T) {
	for _, row := range []struct{ name, manifests, from, to, want string }{
		{"no policy", "", webA, dbA, "any"},
		{"no policy, to outside", "", dbA, far, "any"},
		{"no policy, from outside", "", far6, dbA, "any"},

		{"policyTypes default to Ingress", policy(`ingress: []`), webA, dbA, ""},
		{"and leave egress alone", policy(`ingress: []`), dbA, webA, "any"},
		{"egress rules add Egress", policy(`egress: [{to: [{podSelector: {}}]}]`), dbA, webB, ""},
		{"and Ingress stays", policy(`egress: [{}]`), webA, dbA, ""},
		{"an empty egress list doesn't", policy(`egress: []`), dbA, webB, "any"},
		{"Egress alone", policy(`policyTypes: [Egress]`), webA, dbA, "any"},
		{"Egress alone isolates", policy(`policyTypes: [Egress]`), dbA, webA, ""},
		{"rules beside policyTypes don't count", policy(`policyTypes: [Egress], ingress: [{}]`), webA, dbA, "any"},
		{"null is absent", policy(`policyTypes: null, ingress: null`), webA, dbA, ""},
		{"a null podSelector selects all", strings.Replace(policy(`ingress: []`), "{matchLabels: {app: db}}", "null", 1), webB, webA, ""},

		{"an empty rule is for everyone", policy(`ingress: [{}]`), far, dbA, "any"},
		{"an empty from too", policy(`ingress: [{from: []}]`), lone, dbA, "any"},
		{"an empty podSelector is the namespace", policy(`ingress: [{from: [{podSelector: {}}]}]`), webA, dbA, "any"},
		{"and no other", policy(`ingress: [{from: [{podSelector: {}}]}]`), webB, dbA, ""},
		{"nor the outside", policy(`ingress: [{from: [{podSelector: {}}]}]`), far, dbA, ""},
		{"an empty namespaceSelector is every pod", policy(`ingress: [{from: [{namespaceSelector: {}}]}]`), lone, dbA, "any"},
		{"but not the outside", policy(`ingress: [{from: [{namespaceSelector: {}}]}]`), far, dbA, ""},
		{"both selectors", policy(`ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}]`), webB, dbA, "any"},
		{"both must hold", policy(`ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}]`), webA, dbA, ""},
		{"two peers: either", policy(`ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}]`), webA, dbA, "any"},
		{"the name of a namespace is a label", policy(`ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]`), webB, dbA, "any"},
		{"also of one that isn't declared", policy(`ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: c}}}]}]`), lone, dbA, "any"},
		{"NotIn without the label", policy(`ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [red]}]}}]}]`), lone, dbA, "any"},
		{"NotIn", policy(`ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [red]}]}}]}]`), webA, dbA, ""},
		{"DoesNotExist", policy(`ingress: [{from: [{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]}]`), webA, dbA, "any"},
		{"Exists", policy(`ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}}]}]`), lone, dbA, ""},

		{"a port", policy(`ingress: [{ports: [{port: 80}]}]`), webA, dbA, "TCP 80"},
		{"ports join", policy(`ingress: [{ports: [{port: 443}, {port: 444, endPort: 445}, {port: 80}]}]`), webA, dbA, "TCP 80,443-445"},
		{"a protocol alone", policy(`ingress: [{ports: [{protocol: UDP}]}]`), webA, dbA, "UDP"},
		{"an empty list of ports is all", policy(`ingress: [{ports: []}]`), webA, dbA, "any"},
		{"all ports of all protocols", policy(`ingress: [{ports: [{protocol: UDP}, {protocol: TCP}, {protocol: SCTP}]}]`), webA, dbA, "any"},
		{"a named port is the destination's", policy(`ingress: [{ports: [{port: http}]}]`), webA, dbA, "TCP 9090"},
		{"and of its protocol", policy(`ingress: [{ports: [{port: http, protocol: UDP}]}]`), webA, dbA, ""},
		{"a name that nobody has", policy(`ingress: [{ports: [{port: grpc}]}]`), webA, dbA, ""},
		{"beside a number", policy(`ingress: [{ports: [{port: grpc}, {port: 7}]}]`), webA, dbA, "TCP 7"},
		{"named egress to one pod", policy(`egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]`), dbA, webA, "TCP 8080"},
		{"named egress to one without it", policy(`egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]`), dbA, webB, ""},
		{"named egress to everyone", policy(`egress: [{ports: [{port: http}, {port: 53, protocol: UDP}]}]`), dbA, webA, "TCP 8080; UDP 53"},
		{"named egress to everyone, outside", policy(`egress: [{ports: [{port: http}, {port: 53, protocol: UDP}]}]`), dbA, far, "UDP 53"},
		{"named egress to a range with a pod", policy(`egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: http}]}]`), dbA, webA, "TCP 8080"},
		{"named egress to a range without it", policy(`egress: [{to: [{ipBlock: {cidr: 10.0.1.0/24}}], ports: [{port: http}]}]`), dbA, webA, ""},

		{"a range", policy(`ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]`), far, dbA, "any"},
		{"other addresses", policy(`ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]`), "203.0.114.1", dbA, ""},
		{"the other family", policy(`ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]`), far6, dbA, ""},
		{"an exception", policy(`ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/30]}}]}]`), far, dbA, ""},
		{"an exception is no denial", policy(`ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/30]}}, {ipBlock: {cidr: 203.0.113.9/32}}]}]`), far, dbA, "any"},
		{"a range means pods by their addresses", policy(`ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]`), webA, dbA, "any"},
		{"and no others", policy(`ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]`), webB, dbA, ""},
		{"bits behind the length don't count", policy(`ingress: [{from: [{ipBlock: {cidr: 203.0.113.77/24}}]}]`), far, dbA, "any"},

		{"a template: every address of a family", policy(`ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]`), template, dbA, "any"},
		{"a template: with an exception", policy(`ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}]}]`), template, dbA, ""},
		{"a template: some addresses", policy(`ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 0.0.0.0/32}}]}]`), template, dbA, ""},
		{"a template: denied by networks", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0, "::/0"]}]}]`), webA, template, ""},
		{"a template: named egress to every address", policy(`egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]`), dbA, template, "TCP 7070"},
		{"the same, of others", policy(`egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]`), dbA, webB, ""},
		{"a template: outside is whole", policy(`ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}]}]`), "0.0.0.1", dbA, "any"},

		{"host network: not selected", strings.ReplaceAll(policy(`ingress: []`), "app: db", "app: web"), dbA, agent, "any"},
		{"host network: no pod peer", policy(`ingress: [{from: [{podSelector: {}}]}]`), agent, dbA, ""},
		{"host network: by address", policy(`ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}]}]`), agent, dbA, "any"},

		{"admin denies before", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`) + policy(`ingress: [{}]`), webA, dbA, ""},
		{"admin accepts before", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]`) + policy(`ingress: []`), webA, dbA, "any"},
		{"the outside isn't in namespaces", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`), far, dbA, "any"},
		{"pass leaves it to others", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}, {action: Deny, from: [{namespaces: {}}]}]`) + policy(`ingress: [{ports: [{port: 80}]}]`), webA, dbA, "TCP 80"},
		{"lower priorities come first", cluster("x", `tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`) + cluster("y", `tier: Admin, priority: 4, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]`), webA, dbA, "TCP 80"},
		{"baseline is for those without policies", cluster("x", `tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`), webA, dbA, ""},
		{"and not for others", cluster("x", `tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`) + policy(`ingress: [{}]`), webA, dbA, "any"},
		{"networks mean pods too", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0, "::/0"]}]}]`), webA, dbA, ""},
		{"one family of networks", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]`), webA, far, ""},
		{"a range of ports", cluster("x", `tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}, ingress: [{action: Deny, from: [{pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {}}}], protocols: [{tcp: {destinationPort: {range: {start: 2, end: 65535}}}}, {udp: {}}, {sctp: {}}]}]`), webA, dbA, "TCP 1"},
		{"a named port, whatever protocol", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}], protocols: [{destinationNamedPort: dns}]}, {action: Deny, to: [{namespaces: {}}]}]`), dbA, webA, "UDP 53"},
		{"nodes by address", "{apiVersion: v1, kind: Node, metadata: {name: n, labels: {zone: z}}, status: {addresses: [{type: InternalIP, address: 192.168.0.7}, {type: Hostname, address: n}]}}\n---\n" +
			cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {matchLabels: {zone: z}}}]}]`), dbA, agent, ""},
		{"nothing to the node from others", cluster("x", `tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}]}]`), dbA, agent, "any"},

		{"v1alpha1 admin", "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: x}, spec: {priority: 3, subject: {namespaces: {}}, ingress: [{action: Allow, from: [{namespaces: {}}], ports: [{portNumber: {protocol: UDP, port: 53}}, {portRange: {start: 80, end: 90}}, {namedPort: http}]}, {action: Deny, from: [{namespaces: {}}]}]}}\n---\n", webA, dbA, "TCP 80-90,9090; UDP 53"},
		{"v1alpha1 baseline", "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: default}, spec: {subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}}\n---\n", webA, dbA, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := load(t, base+row.manifests)
			r, err := kubernetes.ReachOf(w, audit.Question{From: row.from, To: row.to})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, x := range r.Rows {
				got += kubernetes.Text(x.Connections)
			}
			if got != row.want {
				t.Errorf("%s to %s: got %q, want %q", row.from, row.to, got, row.want)
			}
		})
	}
}

// load returns the world of manifests without errors.
func load(t testing.TB, manifests string) *kubernetes.World {
	t.Helper()
	c, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: []byte(manifests)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w, err := kubernetes.NewWorld(c, kubernetes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}
