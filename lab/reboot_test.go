package lab

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
)

// TestReboot: what a node is after it boots. Open vSwitch's database is there, with the records of containers whose links
// and namespaces are gone, and nothing runs. The runtime names its new containers in a GC: every other record goes, at
// once, and addresses and links with it.
func TestReboot(t *testing.T) {
	r, _ := testLab(t, "testdata/moves.yaml")
	m := mover{t: t, r: r}
	n := r.Nodes[0]
	one, err := r.Find("acme/one")
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) Attached {
		t.Helper()
		a := Attached{Workload: one.Workload, Node: string(n.Name), Namespace: r.namespaceName(name)}
		if err := r.makeNamespace(t.Context(), a.Namespace); err != nil {
			t.Fatal(err)
		}
		if _, err := r.cniCall(t.Context(), "ADD", n, a, ""); err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := []Attached{one, add("before-1"), add("before-2")}

	for _, p := range []Part{Agent, Switch, Database} {
		if err := r.Kill(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(r.processesNamed("workload/" + one.Ref())); err != nil {
		t.Fatal(err)
	}
	for _, a := range before {
		if err := deleteNamespace(t.Context(), a.Namespace); err != nil {
			t.Fatal(err)
		}
		r.Namespaces = slices.DeleteFunc(r.Namespaces, func(ns string) bool { return ns == a.Namespace })
	}
	for _, p := range []Part{Database, Switch, Agent} {
		if err := r.Revive(t.Context(), p, n); err != nil {
			t.Fatal(err)
		}
	}

	ready := func() bool {
		status, err := AgentStatus(t.Context(), n)
		return err == nil && status.Ready
	}
	m.until("an agent that is ready", ready)
	after := add("after")
	if _, err := r.collect(t, n, after); err != nil {
		t.Fatal(err)
	}
	status, err := AgentStatus(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if status.Attachments != 1 {
		t.Errorf("%d attachments after the GC, want 1", status.Attachments)
	}
	ports, err := n.vsctl(t.Context(), "list-ports", "br-int")
	if err != nil {
		t.Fatal(err)
	}
	links := ourLinks(m.run(within(n.Namespace, "ip", "-d", "link", "show")...))
	if len(links) != 1 || ports != links[0]+"\nweft-vxlan\n" && ports != "weft-vxlan\n"+links[0]+"\n" {
		t.Errorf("left are the links %v and the ports\n%s", links, ports)
	}
	two, err := r.Find("acme/two")
	if err != nil {
		t.Fatal(err)
	}
	m.until("an answer of the other node's container", func() bool {
		_, err := command(t.Context(), within(after.Namespace, "ping", "-c", "1", "-W", "1", two.Addresses[0].Addr().String())...)
		return err == nil
	})
	if _, err := r.cniCall(t.Context(), "DEL", n, after, ""); err != nil {
		t.Error(err)
	}
}

// collect calls GC with the containers that there are.
func (r *Record) collect(t *testing.T, n Node, valid ...Attached) (string, error) {
	t.Helper()
	var list []map[string]string
	for _, a := range valid {
		list = append(list, map[string]string{"containerID": a.Namespace, "ifname": "eth0"})
	}
	conf, err := json.Marshal(map[string]any{
		"cniVersion": CNIVersion, "name": "weft-lab", "type": "weft-cni", "tenant": "acme", "network": "prod",
		"socket": n.AgentSocket(), "cni.dev/valid-attachments": list,
	})
	if err != nil {
		t.Fatal(err)
	}
	return commandWith(t.Context(), string(conf), []string{"CNI_COMMAND=GC", "CNI_PATH=" + r.BinDir}, within(n.Namespace, filepath.Join(r.BinDir, "weft-cni"))...)
}
