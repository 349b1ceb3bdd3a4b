package lab_test

import (
	"strings"
	"testing"

	"github.com/weftfabric/weft/lab"
)

func TestDeclaredNodes(t *testing.T) {
	const head = "apiVersion: lab.weft.dev/v1alpha1\nkind: Node\nmetadata: "
	rows := []struct{ name, yaml, want string }{
		{"labels", head + "{name: node2, labels: {zone: east}}\n", ""},
		{"behind NAT", head + "{name: node2}\nspec: {nat: true}\n", ""},
		{"no node", head + "{name: east}\n", `3: Node east: metadata.name "east" is no node of the lab: they are node1, node2 and so on`},
		{"another spelling", head + "{name: node02}\n", `"node02" is no node of the lab`},
		{"too many", head + "{name: node4}\n", `"node4" is more than the 3 nodes of this lab: raise --nodes`},
		{"out of range", head + "{name: node101}\n", `"node101" is out of range: a lab has at most 100 nodes`},
		{"twice", head + "{name: node1}\n---\n" + head + "{name: node1}\n", `7: Node node1: metadata.name "node1" is declared twice`},
		{"with a tenant", head + "{name: node1, tenant: acme}\n", "metadata.tenant is none of a node's: leave it out"},
		{"wrong label", head + "{name: node1, labels: {zone: 'a b'}}\n", "metadata.labels are wrong"},
		{"unknown field", head + "{name: node1}\nspec: {gnat: true}\n", "gnat"},
		{"unknown kind", "apiVersion: lab.weft.dev/v1alpha1\nkind: Router\nmetadata: {name: node1}\n", "the lab knows Workload and Node of lab.weft.dev/v1alpha1"},
	}
	for _, row := range rows {
		topo, err := lab.Load([]string{"-"}, strings.NewReader(row.yaml), 3)
		switch {
		case row.want == "" && (err != nil || len(topo.Nodes) != 1):
			t.Errorf("%s: %v, %v", row.name, topo.Nodes, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
	}
}
