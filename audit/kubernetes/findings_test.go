package kubernetes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
)

// TestFindings shows what is found about policies, by how it begins; what is found about workloads is left out here.
func TestFindings(t *testing.T) {
	admin := func(name, priority, rules string) string {
		return cluster(name, "tier: Admin, priority: "+priority+", subject: {namespaces: {}}, ingress: ["+rules+"]")
	}
	const every = "from: [{namespaces: {}}]"
	second := func(spec string) string { return strings.Replace(policy(spec), "name: p,", "name: q,", 1) }
	for _, row := range []struct{ name, manifests, want string }{
		{"nothing", policy(`ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]`), ""},
		{"no pod", strings.Replace(policy(`ingress: []`), "app: db", "app: none", 1), "matches-nobody warning NetworkPolicy a/p: selects no pod: correct its selector, or remove it"},
		{"no peer", policy(`ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]`), "matches-nobody warning NetworkPolicy a/p: ingress[0]: no connection can match it: correct its peers or its ports, or remove it"},
		{"no such port", policy(`ingress: [{from: [{podSelector: {}}], ports: [{port: grpc}]}]`), "matches-nobody warning NetworkPolicy a/p: ingress[0]: no connection can match it: correct its peers or its ports, or remove it"},
		{"everyone everything", policy(`ingress: [{}]`), "over-wide warning NetworkPolicy a/p: ingress[0]: allows everyone every protocol: name peers, or ports"},
		{"superfluous, whichever comes first", policy(`ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]`) + second(`ingress: [{from: [{podSelector: {}}]}]`),
			"redundant note NetworkPolicy a/p: ingress[0]: allows nothing that isn't allowed by others too"},
		{"superfluous behind", second(`ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]`) + policy(`ingress: [{from: [{podSelector: {}}]}]`),
			"redundant note NetworkPolicy a/q: ingress[0]: allows nothing that isn't allowed by NetworkPolicy a/p ingress[0] too"},
		{"part of it is needed", policy(`ingress: [{from: [{podSelector: {}}], ports: [{port: 80}, {port: 81}]}]`) + second(`ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]`),
			"redundant note NetworkPolicy a/q: ingress[0]: allows nothing that isn't allowed by NetworkPolicy a/p ingress[0] too"},
		{"shadowed", admin("x", "1", "{action: Deny, "+every+"}, {action: Accept, "+every+", protocols: [{tcp: {destinationPort: {number: 80}}}]}"),
			"shadowed warning ClusterNetworkPolicy x ingress[1]: "},
		{"contradicting", admin("x", "1", "{action: Deny, "+every+", protocols: [{tcp: {destinationPort: {number: 80}}}]}") + admin("y", "1", "{action: Accept, "+every+"}"),
			"contradicting warning ClusterNetworkPolicy x ingress[0]: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			for _, f := range kubernetes.FindingsOf(load(t, base+row.manifests)).Findings {
				if f.Kind != audit.Unisolated {
					got = append(got, fmt.Sprintf("%s %s %s", f.Kind, f.Level, f.Message))
				}
			}
			if text := strings.Join(got, "\n"); len(got) > 1 || !strings.HasPrefix(text, row.want) || row.want == "" && text != "" {
				t.Errorf("got %q,\nwant %q", strings.Join(got, "\n"), row.want)
			}
		})
	}
}
