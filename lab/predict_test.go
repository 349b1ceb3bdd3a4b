package lab_test

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/weftfabric/weft/lab"
	"github.com/weftfabric/weft/lab/probe"
)

func TestExamplesLoad(t *testing.T) {
	fabrics, err := filepath.Glob("../examples/*/fabric.yaml")
	if err != nil || len(fabrics) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, fabric := range fabrics {
		dir := filepath.Dir(fabric)
		topo, err := lab.Load([]string{dir}, nil, 0)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		if len(topo.Workloads) < 2 {
			t.Errorf("%s has %d workloads", dir, len(topo.Workloads))
		}
	}
}

// The rows say in words what the YAML of two-tenants says.
func TestPredictTwoTenants(t *testing.T) {
	topo, err := lab.Load([]string{"../examples/two-tenants"}, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{
		"acme/web-1": "10.0.1.10/24", "acme/web-2": "10.0.1.64/24", "acme/db-1": "10.0.2.10/24", "acme/dev-1": "10.0.1.10/24",
		"globex/web-1": "10.0.1.10/24", "globex/db-1": "10.0.2.10/24", "globex/batch-1": "10.0.1.130/24",
	}
	var workloads []lab.Attached
	for _, w := range topo.Workloads {
		p, err := netip.ParsePrefix(addresses[w.Ref()])
		if err != nil {
			t.Fatalf("%s: %v", w.Ref(), err)
		}
		workloads = append(workloads, lab.Attached{Workload: w, Addresses: []netip.Prefix{p}})
	}
	ping := probe.Service{Protocol: probe.ICMP}
	tcp := func(port uint16) probe.Service { return probe.Service{Protocol: probe.TCP, Port: port} }
	udp := func(port uint16) probe.Service { return probe.Service{Protocol: probe.UDP, Port: port} }
	rows := []struct {
		from, to string
		service  probe.Service
		want     string
	}{
		{"acme/web-1", "acme/db-1", tcp(5432), "acme/db-1"},
		{"acme/web-1", "acme/db-1", ping, "acme/db-1"},
		{"acme/web-1", "acme/db-1", udp(7), ""},
		{"acme/db-1", "acme/web-1", tcp(80), ""},
		{"acme/web-2", "acme/web-1", tcp(80), "acme/web-1"},
		{"acme/web-2", "acme/web-1", tcp(22), ""},
		{"acme/web-1", "globex/db-1", tcp(5432), "acme/db-1"},
		{"globex/web-1", "acme/web-1", tcp(80), "globex/web-1"},
		{"acme/dev-1", "acme/web-1", tcp(80), "acme/dev-1"},
		{"acme/dev-1", "acme/db-1", tcp(5432), ""},
		{"globex/batch-1", "globex/db-1", tcp(5432), ""},
		{"globex/batch-1", "globex/db-1", udp(53), "globex/db-1"},
		{"globex/web-1", "globex/db-1", tcp(5432), "globex/db-1"},
		{"globex/db-1", "globex/batch-1", udp(9000), "globex/batch-1"},
		{"acme/web-2", "globex/batch-1", udp(9000), ""},
	}
	var questions []lab.Question
	for _, r := range rows {
		questions = append(questions, lab.Question{From: r.from, To: r.to, Service: r.service, Address: netip.MustParsePrefix(addresses[r.to]).Addr()})
	}
	got, err := lab.Predict(topo.Intent, workloads, questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if got[i] != r.want {
			t.Errorf("%s to %s, %s: predicted %q, want %q", r.from, r.to, r.service, got[i], r.want)
		}
	}
}
