package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/topology"
)

// manyManifests returns Deployments in twenty namespaces, and NetworkPolicies over them with ranges and named ports.
func manyManifests(workloads, policies int) []byte {
	d := draw{rand.New(rand.NewPCG(1, 1))}
	var items []dict
	ns := func(i int) string { return fmt.Sprintf("n%d", i%20) }
	for i := range 20 {
		items = append(items, dict{"apiVersion": "v1", "kind": "Namespace", "metadata": dict{"name": ns(i), "labels": dict{"team": fmt.Sprint(i % 5)}}})
	}
	for i := range workloads {
		labels := dict{"app": fmt.Sprintf("a%d", i), "tier": d.one("web", "app", "data"), "track": d.one("stable", "canary")}
		items = append(items, dict{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": dict{"name": fmt.Sprintf("d%d", i), "namespace": ns(i)},
			"spec": dict{"replicas": 2, "template": dict{"metadata": dict{"labels": labels}, "spec": dict{"containers": []dict{{"ports": []dict{{"name": "main", "containerPort": 8000 + i%7}}}}}}}})
	}
	for i := range policies {
		peers := []dict{
			{"podSelector": dict{"matchLabels": dict{"tier": d.one("web", "app")}}},
			{"namespaceSelector": dict{"matchLabels": dict{"team": d.one("0", "1", "2", "3", "4")}}},
			{"ipBlock": dict{"cidr": fmt.Sprintf("198.51.%d.0/24", i%200), "except": []string{fmt.Sprintf("198.51.%d.%d/32", i%200, i%250)}}},
		}
		items = append(items, dict{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": dict{"name": fmt.Sprintf("p%d", i), "namespace": ns(i)},
			"spec": dict{"podSelector": dict{"matchLabels": dict{"tier": d.one("web", "app", "data")}}, "policyTypes": []string{"Ingress", "Egress"},
				"ingress": []dict{{"from": peers[:1+i%3], "ports": []dict{{"port": "main"}, {"port": 443, "endPort": 443 + i%9}}}},
				"egress":  []dict{{"to": peers[i%3:], "ports": []dict{{"port": 5432}, {"port": "main"}, {"protocol": "UDP", "port": 53}}}}}})
	}
	text, err := json.Marshal(dict{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		panic(err)
	}
	return text
}

// BenchmarkAllPairs answers for all pairs of 400 workloads with 200 policies, and the outside: from the manifests' text, and
// from the decoded cluster.
func BenchmarkAllPairs(b *testing.B) {
	sources := []topology.Source{{Name: "many.json", Content: manyManifests(400, 200)}}
	c, problems := kubernetes.Load(sources)
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	reach := func(b *testing.B, c *kubernetes.Cluster) {
		w, err := kubernetes.NewWorld(c, kubernetes.Options{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := kubernetes.ReachOf(w, audit.Question{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(r.Rows)), "rows")
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			kubernetes.Load(sources)
		}
	})
	b.Run("reach", func(b *testing.B) {
		for b.Loop() {
			reach(b, c)
		}
	})
}
