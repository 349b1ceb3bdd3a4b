package audit_test

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// TestDiffAgreesWithDecide holds the sum of both parts of a difference against Decide, before and after, for some packets
// between the workloads of random topologies.
func TestDiffAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawTopology(t, "before"), drawTopology(t, "after")
		d, err := audit.DiffOf(audit.Side{Intent: before.Intent, Workloads: before.Workloads}, audit.Side{Intent: after.Intent, Workloads: after.Workloads})
		if err != nil {
			t.Fatal(err)
		}
		same := true
		for _, from := range []string{"acme/one", "acme/two", "acme/three"} {
			for _, to := range []string{"acme/one", "acme/two", "acme/three"} {
				for _, service := range []string{"tcp/1", "tcp/2", "tcp/3", "udp/1", "icmp/8"} {
					was, is := allowed(t, before, from, to, service), allowed(t, after, from, to, service)
					same = same && (was == is || from == to)
					if was != is && from != to && d.IsEmpty() {
						t.Fatalf("%s from %s to %s: %v, then %v, and no difference", service, from, to, was, is)
					}
				}
			}
		}
		moved := false
		for i := range before.Workloads {
			moved = moved || before.Workloads[i].Labels.String() != after.Workloads[i].Labels.String()
		}
		if !moved && len(d.Membership) > 0 {
			t.Fatalf("no workload changed, but %+v", d.Membership)
		}
		if same && !moved && interesting(d) {
			t.Fatalf("no packet differs, but %+v", d)
		}
	})
}

// interesting reports whether a difference speaks of packets that the test asks about: not of those from a class of one
// workload to itself.
func interesting(d audit.Diff) bool {
	for _, r := range d.Policy {
		if r.From != r.To {
			return true
		}
	}
	return len(d.Membership) > 0
}

func allowed(t *rapid.T, w *audit.World, from, to, service string) bool {
	p, err := w.Packet(from, to, service, false)
	if err != nil {
		t.Fatal(err)
	}
	return firewall.Decide(w.Tables, p).Allowed
}

// drawTopology draws three workloads with labels, and a policy or two, with services tcp/1, tcp/2 or all of udp.
func drawTopology(t *rapid.T, name string) *audit.World {
	label := func(what string) fabric.Labels {
		return fabric.Labels{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, name+" "+what)}
	}
	var objects []*topology.Object
	add := func(body any) {
		o, ok := topology.NewObject(body)
		if !ok {
			t.Fatalf("%T is no kind", body)
		}
		objects = append(objects, o)
	}
	add(&topology.Tenant{Metadata: topology.Metadata{Name: "acme"}})
	add(&topology.Network{Metadata: topology.Metadata{Name: "n", Tenant: "acme"}, Spec: topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "s", IPv4: netip.MustParsePrefix("10.0.0.0/24")}}}})
	for i, port := range []string{"one", "two", "three"} {
		add(&topology.Port{Metadata: topology.Metadata{Name: port, Tenant: "acme", Labels: label(port)}, Spec: topology.PortSpec{Network: "n", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}}})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, name+" policies") {
		f := &topology.FirewallPolicy{Metadata: topology.Metadata{Name: fmt.Sprint("p", i), Tenant: "acme"}, Spec: topology.FirewallPolicySpec{
			Priority: 500, Subject: topology.Selector{MatchLabels: label("subject")}, Ingress: []topology.Rule{},
		}}
		for range rapid.IntRange(0, 2).Draw(t, name+" rules") {
			r := topology.Rule{Action: rapid.SampledFrom([]topology.Action{topology.Allow, topology.Deny}).Draw(t, name+" action")}
			if rapid.Bool().Draw(t, name+" cidr") {
				r.From = []topology.Peer{{CIDR: &topology.CIDRPeer{CIDR: netip.MustParsePrefix("10.0.0.10/31")}}}
			} else {
				r.From = []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: topology.Selector{MatchLabels: label("peer")}}}}
			}
			r.Ports = rapid.SampledFrom([][]topology.PortRange{{{Protocol: topology.TCP, Port: 1}}, {{Protocol: topology.TCP, Port: 2}}, {{Protocol: topology.UDP}}, nil}).Draw(t, name+" ports")
			f.Spec.Ingress = append(f.Spec.Ingress, r)
		}
		add(f)
	}
	intent := topology.NewIntent(objects...)
	workloads, _ := audit.WorkloadsOf(intent, nil)
	w, err := audit.NewWorld(intent, workloads, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
