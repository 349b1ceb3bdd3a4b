package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/topology"
)

// TestProblems shows what each mistake is answered with, and on which line.
func TestProblems(t *testing.T) {
	np := func(spec string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: a}\nspec:\n  podSelector: {}\n" + spec
	}
	cnp := func(spec string) string {
		return "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: x}\nspec:\n" + spec
	}
	const head = "  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n"
	for _, row := range []struct{ name, manifest, want string }{
		{"not YAML", "a: [\n", "m.yaml:1: not valid YAML"},
		{"a template", "a: 1\n---\n{{- if .Values.on }}\nkind: Pod\n", "not valid YAML"},
		{"no name", "apiVersion: v1\nkind: Pod\n", "m.yaml:1: Pod has no name"},
		{"unknown field", np("  ingres: []\n"), `m.yaml:6: NetworkPolicy a/p: spec has an unknown field "ingres"`},
		{"unknown field of the object", strings.Replace(np(""), "spec:", "sepc:", 1), `m.yaml:4: NetworkPolicy a/p: the object has an unknown field "sepc"`},
		{"unknown field below", np("  ingress:\n  - from:\n    - podselector: {}\n"), `m.yaml:8: NetworkPolicy a/p: spec.ingress[0].from[0] has an unknown field "podselector"`},
		{"old version", "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\n", "m.yaml:1: NetworkPolicy of extensions/v1beta1 is not known: write NetworkPolicy of networking.k8s.io/v1"},
		{"policy type", np("  policyTypes: [ingress]\n"), `m.yaml:6: NetworkPolicy a/p: spec.policyTypes has "ingress": write Ingress or Egress`},
		{"empty peer", np("  ingress:\n  - from: [{}]\n"), "m.yaml:7: NetworkPolicy a/p: spec.ingress[0].from[0] is empty"},
		{"ipBlock and selector", np("  ingress:\n  - from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]\n"), "has an ipBlock beside a selector"},
		{"no cidr", np("  ingress:\n  - from: [{ipBlock: {}}]\n"), "ipBlock has no cidr"},
		{"bad cidr", np("  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.1}}]\n"), `"10.0.0.1" is not an address range`},
		{"exception outside", np("  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]\n"), "except[0] must lie within 10.0.0.0/8"},
		{"exception of all", np("  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]\n"), "except[0] must lie within 10.0.0.0/8, and be smaller"},
		{"port 0", np("  ingress:\n  - ports: [{port: 0}]\n"), "spec.ingress[0].ports[0].port must be a number in 1-65535"},
		{"port too high", np("  ingress:\n  - ports: [{port: 65536}]\n"), "must be a number in 1-65535"},
		{"port as a text", np("  ingress:\n  - ports: [{port: \"80\"}]\n"), `"80" is no port`},
		{"end without port", np("  ingress:\n  - ports: [{endPort: 80}]\n"), "endPort needs a port that is a number"},
		{"end of a name", np("  ingress:\n  - ports: [{port: http, endPort: 80}]\n"), "endPort needs a port that is a number"},
		{"end below", np("  ingress:\n  - ports: [{port: 81, endPort: 80}]\n"), "endPort is below port"},
		{"protocol", np("  ingress:\n  - ports: [{protocol: tcp}]\n"), `has the protocol "tcp": write TCP, UDP or SCTP`},
		{"operator", np("  ingress:\n  - from: [{podSelector: {matchExpressions: [{key: a, operator: Is}]}}]\n"), `has the operator "Is"`},
		{"In without values", np("  ingress:\n  - from: [{podSelector: {matchExpressions: [{key: a, operator: In}]}}]\n"), "has the operator In without values"},
		{"Exists with values", np("  ingress:\n  - from: [{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]\n"), "has the operator Exists with values"},
		{"label that is a number", np("  ingress:\n  - from: [{podSelector: {matchLabels: {v: 1}}}]\n"), "podSelector.matchLabels.v must be a text: write it in quotes"},
		{"merge key", np("  ingress:\n  - <<: {}\n"), "has a merge key"},
		{"twice", np("  ingress: []\n  ingress: []\n"), `has the field "ingress" twice`},

		{"tier", cnp("  tier: admin\n  priority: 1\n  subject: {namespaces: {}}\n"), `has the tier "admin": write Admin or Baseline`},
		{"no priority", cnp("  tier: Admin\n  subject: {namespaces: {}}\n"), "spec has no priority"},
		{"priority", cnp("  tier: Admin\n  priority: 1001\n  subject: {namespaces: {}}\n"), "spec.priority must be a number in 0-1000"},
		{"no subject", cnp("  tier: Admin\n  priority: 1\n"), "spec.subject must have exactly one of namespaces, pods"},
		{"two subjects", cnp("  tier: Admin\n  priority: 1\n  subject: {namespaces: {}, pods: {podSelector: {}}}\n"), "spec.subject must have exactly one of"},
		{"action", cnp(head + "  ingress:\n  - {action: Allow, from: [{namespaces: {}}]}\n"), `m.yaml:9: ClusterNetworkPolicy x: spec.ingress[0] has the action "Allow": write Accept, Deny or Pass`},
		{"no peers", cnp(head + "  ingress:\n  - {action: Deny, from: []}\n"), "has no from: name a peer"},
		{"networks in from", cnp(head + "  ingress:\n  - {action: Deny, from: [{networks: [10.0.0.0/8]}]}\n"), `has an unknown field "networks"`},
		{"domain names", cnp(head + "  egress:\n  - {action: Accept, to: [{domainNames: [a.b]}]}\n"), "domainNames is not supported"},
		{"nodes without Nodes", cnp(head + "  egress:\n  - {action: Deny, to: [{nodes: {}}]}\n"), "egress[0] selects nodes, and no Node is declared"},
		{"empty protocols", cnp(head + "  ingress:\n  - {action: Deny, from: [{namespaces: {}}], protocols: []}\n"), "protocols is empty"},
		{"range", cnp(head + "  ingress:\n  - {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 9}}}}]}\n"), "must have a start below its end"},
		{"BANP name", "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: x}\nspec: {subject: {namespaces: {}}}\n", "metadata.name must be default"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: []byte(row.manifest)}})
			if errs := problems.Errors(); len(errs) == 0 || !strings.Contains(errs[0].String(), row.want) {
				t.Errorf("got %q, want one with %q", errs, row.want)
			}
		})
	}
}

// TestWarnings are about what is looked over, and what takes something else's place.
func TestWarnings(t *testing.T) {
	manifests := "hello\n---\nreplicas: 3\n---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\n---\n" + base + policy("policyTypes: [Egress], ingress: [{}]") + policy("ingress: []")
	c, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: []byte(manifests)}})
	var got []string
	for _, p := range problems {
		got = append(got, p.Message)
	}
	const nothing = "skipped: no object of Kubernetes, because it has no apiVersion or no kind|"
	want := nothing + nothing + "CiliumNetworkPolicy of cilium.io/v2 is skipped: it may change who can reach whom|NetworkPolicy a/p: takes the place of the one at m.yaml:26"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
	if len(c.Policies) != 1 || len(c.Policies[0].Isolates) != 1 || len(c.Skipped) != 2 {
		t.Errorf("policies %+v, skipped %v", c.Policies, c.Skipped)
	}
}

// TestWorkloads shows under which name pods stand, and what is known of them.
func TestWorkloads(t *testing.T) {
	const pod = "{apiVersion: v1, kind: Pod, metadata: {name: NAME, namespace: n, labels: {app: x, pod-template-hash: h1}, ownerReferences: [OWNER]}, spec: {containers: []}, status: {PHASE}}\n---\n"
	make := func(name, owner, status string) string {
		return strings.NewReplacer("NAME", name, "OWNER", owner, "PHASE", status).Replace(pod)
	}
	const byRS = "{kind: ReplicaSet, name: web-h1, controller: true}"
	const rs = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-h1, namespace: n, ownerReferences: [{kind: Deployment, name: front, controller: true}]}, spec: {replicas: 1, template: {metadata: {labels: {app: x}}}}}\n---\n"
	const oldRS = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-h0, namespace: n, ownerReferences: [{kind: Deployment, name: front, controller: true}]}, spec: {replicas: 0, template: {metadata: {labels: {app: old}}}}}\n---\n"
	const deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: front, namespace: n}, spec: {replicas: 3, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, ports: [{name: p, containerPort: 1}]}], initContainers: [{name: s, restartPolicy: Always, ports: [{name: q, containerPort: 2}]}, {name: i, ports: [{name: r, containerPort: 3}]}]}}}}\n---\n"
	for _, row := range []struct{ name, manifests, want string }{
		{"a bare pod", make("a", "", "podIP: 10.0.0.1"), "n/Pod/a[app=x,pod-template-hash=h1 10.0.0.1]"},
		{"a pod of a ReplicaSet that isn't declared", make("a", byRS, "podIP: 10.0.0.1"), "n/Deployment/web[app=x,pod-template-hash=h1 10.0.0.1]"},
		{"one whose name has no hash", make("a", "{kind: ReplicaSet, name: web, controller: true}", ""), "n/ReplicaSet/web[app=x,pod-template-hash=h1]"},
		{"a declared ReplicaSet says whose it is", rs + make("a", byRS, ""), "n/Deployment/front[app=x,pod-template-hash=h1]"},
		{"two pods", make("a", byRS, "podIP: 10.0.0.1") + make("b", byRS, "podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]"), "n/Deployment/web*[app=x,pod-template-hash=h1 10.0.0.1 10.0.0.2 fd00::2]"},
		{"a template", deployment, "n/Deployment/front*[app=x p/1 q/2]"},
		{"pods stand for the template", deployment + rs + make("a", byRS, "") + oldRS, "n/Deployment/front*[app=x,pod-template-hash=h1]"},
		{"ReplicaSets of a Deployment that isn't declared", rs + oldRS, "n/Deployment/front[app=x]"},
		{"finished pods are gone", make("a", "", "phase: Succeeded") + make("b", "", "phase: Failed"), ""},
		{"another kind of owner", make("a", "{kind: Rollout, name: r, controller: true}", ""), "n/Rollout/r[app=x,pod-template-hash=h1]"},
		{"a static pod", make("etcd-a", "{kind: Node, name: a, controller: true}", ""), "n/Pod/etcd-a[app=x,pod-template-hash=h1]"},
		{"an owner that is no controller", make("a", "{kind: Rollout, name: r}", ""), "n/Pod/a[app=x,pod-template-hash=h1]"},
		{"a Job", "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {metadata: {labels: {a: b}}}}}", "default/Job/j[a=b,batch.kubernetes.io/job-name=j,job-name=j]"},
		{"a CronJob", "{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {jobTemplate: {spec: {template: {metadata: {labels: {a: b}}}}}}}", "default/CronJob/j[a=b]"},
		{"a DaemonSet", "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {template: {metadata: {labels: {a: b}}}}}", "default/DaemonSet/d*[a=b]"},
		{"a list", "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}, {apiVersion: v1, kind: Pod, metadata: {name: b}}]}", "default/Pod/a[] default/Pod/b[]"},
		{"a list of one kind", "{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}}]}", "default/Pod/a[]"},
		{"JSON", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"k": "v"}}}`, "default/Pod/a[k=v]"},
		{"a resource of the same kind elsewhere", "{apiVersion: serving.knative.dev/v1, kind: Deployment, metadata: {name: a}}", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: []byte(row.manifests)}})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var got []string
			for _, w := range c.Workloads {
				text := w.String()
				if w.Several {
					text += "*"
				}
				for _, p := range w.Pods {
					var words []string
					if len(p.Labels) > 0 {
						words = append(words, p.Labels.String())
					}
					for _, n := range p.Ports {
						words = append(words, n.Name+"/"+string(rune('0'+n.Port)))
					}
					for _, a := range p.Addresses {
						words = append(words, a.String())
					}
					text += "[" + strings.Join(words, " ") + "]"
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// TestAliasesAreBounded: lists of aliases of lists of aliases end.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nx0: &x0 {apiVersion: v1, kind: Service, metadata: {name: x}}\n")
	for i := 1; i < 4; i++ {
		fmt.Fprintf(&b, "x%d: &x%d {apiVersion: v1, kind: List, items: [%s]}\n", i, i, strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 2000))
	}
	b.WriteString("items: [*x3]\n")
	_, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: []byte(b.String())}})
	if errs := problems.Errors(); len(errs) != 1 || !strings.Contains(errs[0].Message, "more than 20000000 values") {
		t.Errorf("got %v", problems)
	}
}

// FuzzLoad: whatever is read, nothing panics, and what is right can be asked about.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("../../examples/kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(base + policy("ingress: [{ports: [{port: http}]}]") + cluster("x", "tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Pass, to: [{networks: [10.0.0.0/8]}]}]")))
	f.Fuzz(func(t *testing.T, manifests []byte) {
		c, problems := kubernetes.Load([]topology.Source{{Name: "m.yaml", Content: manifests}})
		for _, p := range problems {
			if p.Line < 1 || p.File == "" {
				t.Errorf("a problem without a place: %v", p)
			}
		}
		if len(problems.Errors()) > 0 || len(c.Workloads) > 40 || len(c.Policies) > 40 {
			return
		}
		w, err := kubernetes.NewWorld(c, kubernetes.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kubernetes.ReachOf(w, audit.Question{}); err != nil {
			t.Fatal(err)
		}
		kubernetes.FindingsOf(w)
		if _, err := kubernetes.Prove(c, kubernetes.Options{}, c.Assertions); err != nil && !strings.Contains(err.Error(), "is not declared") {
			t.Fatal(err)
		}
		d, err := kubernetes.DiffOf(c, c, kubernetes.Options{})
		if err != nil || !d.IsEmpty() {
			t.Fatalf("differs from itself: %+v, %v", d, err)
		}
	})
}
