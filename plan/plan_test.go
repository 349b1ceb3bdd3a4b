package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/plan/plantest"
)

// plain compares all but where in the files a rule stands.
var plain = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.IgnoreFields(firewall.Origin{}, "File", "Line"),
}

func TestApplyUndoesDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := plantest.Draw(t, "n1"), plantest.Draw(t, "n1")
		kept := plan.Clone(from)
		delta := plan.Diff(from, to)
		got, err := plan.Apply(from, delta)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(to, got, plain); diff != "" {
			t.Fatalf("apply of the difference (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(kept, from, plain); diff != "" {
			t.Fatalf("the old plan changed (-was +is):\n%s", diff)
		}
		if delta.IsEmpty() != plan.Equal(from, to) {
			t.Fatalf("the delta is empty: %v, the plans are equal: %v", delta.IsEmpty(), plan.Equal(from, to))
		}
		if again := plan.Diff(got, to); !again.IsEmpty() {
			t.Fatalf("a difference remains: %+v", again)
		}
		whole, err := plan.Apply(plan.Node{Name: "n1"}, plan.Delta{Upsert: plan.Entries(to)})
		if err != nil || !plan.Equal(whole, to) {
			t.Fatalf("a plan made of all entries differs: %v", err)
		}
	})
}

func TestHashIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := plantest.Draw(t, "n1")
		m := plan.Clone(n)
		slices.Reverse(m.Peers)
		slices.Reverse(m.Tunnels)
		slices.Reverse(m.Hops)
		slices.Reverse(m.Placements)
		slices.Reverse(m.Networks)
		slices.Reverse(m.Identities)
		slices.Reverse(m.Routes)
		slices.Reverse(m.Ports)
		slices.Reverse(m.Tables)
		for i := range m.Tables {
			slices.Reverse(m.Tables[i].Rules)
			for j := range m.Tables[i].Rules {
				slices.Reverse(m.Tables[i].Rules[j].Peers.CIDRs)
				slices.Reverse(m.Tables[i].Rules[j].Services)
			}
		}
		if plan.Hash(n) != plan.Hash(m) {
			t.Fatal("the order of slices changes the hash")
		}
		if diff := cmp.Diff(n, plan.Canonical(m), plain); diff != "" {
			t.Fatalf("canonical form (-want +got):\n%s", diff)
		}
	})
}

func TestEveryFieldChangesTheHash(t *testing.T) {
	a := netip.MustParseAddr
	base := func() plan.Node {
		return plan.Node{
			Name: "n1", Settings: plan.Settings{VTEP: a("192.0.2.1"), IgnoredLabels: []string{"x"}},
			Peers:      []plan.Peer{{Name: "n2", VTEP: a("192.0.2.2")}},
			Tunnels:    []plan.Tunnel{{Name: "n2", End: plan.TunnelEnd{Key: fabric.PublicKey{1}}}},
			Hops:       []plan.Hop{{Node: "n3", Via: "n2"}},
			Placements: []plan.Placement{{Node: "n2", Identity: 0x101}},
			Networks:   []plan.Network{{ID: 7, Subnets: []plan.Subnet{{Name: "a"}, {Name: "b"}}}},
			Identities: []plan.Identity{{ID: 0x101, Network: 7, Labels: fabric.Labels{"a": "b"}}},
			Routes:     []plan.Route{{Network: 7, Prefix: netip.MustParsePrefix("10.0.0.64/26")}},
			Ports:      []plan.Port{{Ref: fabric.PortRef{Tenant: "acme", Name: "vm"}}},
			Tables:     []firewall.Table{{Network: 7, Rules: []firewall.Rule{{ID: 123, Services: []firewall.Service{{Protocol: firewall.TCP}}}}}},
		}
	}
	changes := map[string]func(*plan.Node){
		"name":         func(n *plan.Node) { n.Name = "n2" },
		"vtep":         func(n *plan.Node) { n.Settings.VTEP = a("192.0.2.9") },
		"mtu":          func(n *plan.Node) { n.Settings.WorkloadMTU = 9000 },
		"port":         func(n *plan.Node) { n.Settings.VXLANPort = 1 },
		"mac":          func(n *plan.Node) { n.Settings.VirtualMAC[0] = 2 },
		"ignored":      func(n *plan.Node) { n.Settings.IgnoredLabels = nil },
		"peer":         func(n *plan.Node) { n.Peers[0].VTEP = a("::1") },
		"underlay":     func(n *plan.Node) { n.Settings.Underlay = a("192.0.2.9") },
		"wireguard":    func(n *plan.Node) { n.Settings.Encryption.WireGuard = true },
		"required":     func(n *plan.Node) { n.Settings.Encryption.Required = true },
		"wg port":      func(n *plan.Node) { n.Settings.Encryption.Port = 1 },
		"vteps":        func(n *plan.Node) { n.Settings.Encryption.VTEPs = netip.MustParsePrefix("10.0.0.0/8") },
		"own probe":    func(n *plan.Node) { n.Settings.Encryption.Probe = a("192.0.2.9") },
		"relay":        func(n *plan.Node) { n.Settings.Encryption.Relay = true },
		"strict":       func(n *plan.Node) { n.Settings.StrictIdentity = true },
		"key":          func(n *plan.Node) { n.Tunnels[0].End.Key[31] = 1 },
		"next key":     func(n *plan.Node) { n.Tunnels[0].Next.Key[0] = 1 },
		"endpoint":     func(n *plan.Node) { n.Tunnels[0].End.Endpoint = netip.MustParseAddrPort("192.0.2.2:1") },
		"next end":     func(n *plan.Node) { n.Tunnels[0].Next.Endpoint = netip.MustParseAddrPort("192.0.2.2:1") },
		"tunnel vtep":  func(n *plan.Node) { n.Tunnels[0].VTEP = a("192.0.2.9") },
		"probe":        func(n *plan.Node) { n.Tunnels[0].Probe = a("192.0.2.9") },
		"keepalive":    func(n *plan.Node) { n.Tunnels[0].Keepalive = 1 },
		"tunnel mtu":   func(n *plan.Node) { n.Tunnels[0].MTU = 1300 },
		"via":          func(n *plan.Node) { n.Hops[0].Via = "n4" },
		"hop vtep":     func(n *plan.Node) { n.Hops[0].VTEP = a("192.0.2.9") },
		"placed on":    func(n *plan.Node) { n.Placements[0].Node = "n3" },
		"placed":       func(n *plan.Node) { n.Placements[0].Identity = 0x102 },
		"encrypted":    func(n *plan.Node) { n.Networks[0].Encrypted = true },
		"hosted":       func(n *plan.Node) { n.Networks[0].Hosted = true },
		"ref":          func(n *plan.Node) { n.Networks[0].Ref.Name = "x" },
		"subnet order": func(n *plan.Node) { slices.Reverse(n.Networks[0].Subnets) },
		"gateway":      func(n *plan.Node) { n.Networks[0].Subnets[0].Gateway6 = a("::1") },
		"peering":      func(n *plan.Node) { n.Networks[0].Peers = []fabric.NetworkID{8} },
		"reserved":     func(n *plan.Node) { n.Networks[0].Reserved = []netip.Addr{a("::1")} },
		"labels":       func(n *plan.Node) { n.Identities[0].Labels["a"] = "c" },
		"network mtu":  func(n *plan.Node) { n.Networks[0].MTU = 1400 },
		"route mtu":    func(n *plan.Node) { n.Routes[0].MTU = 1400 },
		"lease":        func(n *plan.Node) { n.Routes[0].Lease = true },
		"route":        func(n *plan.Node) { n.Routes[0].Node = "n2" },
		"port mac":     func(n *plan.Node) { n.Ports[0].MAC[5] = 1 },
		"client":       func(n *plan.Node) { n.Ports[0].Client.Key[0] = 1 },
		"action":       func(n *plan.Node) { n.Tables[0].Rules[0].Action = firewall.Deny },
		"rule id":      func(n *plan.Node) { n.Tables[0].Rules[0].ID = 124 },
		"order":        func(n *plan.Node) { n.Tables[0].Rules[0].Order.Last = true },
		"any subject":  func(n *plan.Node) { n.Tables[0].Rules[0].Subject.Any = true },
		"any peer":     func(n *plan.Node) { n.Tables[0].Rules[0].Peers.Any = true },
		"cidr":         func(n *plan.Node) { n.Tables[0].Rules[0].Peers.CIDRs = []firewall.CIDR{{}} },
		"ports":        func(n *plan.Node) { n.Tables[0].Rules[0].Services[0].Ports.Last = 1 },
		"origin":       func(n *plan.Node) { n.Tables[0].Rules[0].Origin.Rule = "web" },
	}
	for name, change := range changes {
		n := base()
		change(&n)
		if plan.Equal(base(), n) {
			t.Errorf("%s: the change is not seen", name)
		}
	}
}

func TestPlaceInTheFilesIsNoDifference(t *testing.T) {
	at := func(file string, line int) plan.Node {
		origin := firewall.Origin{Policy: "FirewallPolicy acme/web-in", Rule: "ingress[0]", File: file, Line: line}
		return plan.Node{Name: "n1", Networks: []plan.Network{{ID: 7}}, Tables: []firewall.Table{{Network: 7, Rules: []firewall.Rule{{ID: 1, Origin: origin}}}}}
	}
	from, to := at("a.yaml", 3), at("/srv/b.yaml", 70)
	if !plan.Equal(from, to) || !plan.Diff(from, to).IsEmpty() {
		t.Errorf("a rule that only moved differs: %+v", plan.Diff(from, to))
	}
	to.Tables[0].Rules[0].Action = firewall.Deny
	got, err := plan.Apply(from, plan.Diff(from, to))
	if err != nil || got.Tables[0].Rules[0].Origin.File != "/srv/b.yaml" {
		t.Errorf("the next change doesn't bring the new place along: %+v, %v", got, err)
	}
}

func TestKeys(t *testing.T) {
	n := plan.Node{
		Name:       "n1",
		Peers:      []plan.Peer{{Name: "n2"}},
		Tunnels:    []plan.Tunnel{{Name: "n2"}},
		Hops:       []plan.Hop{{Node: "n3"}},
		Placements: []plan.Placement{{Node: "n2", Identity: 0x101}},
		Networks:   []plan.Network{{ID: 7}},
		Identities: []plan.Identity{{ID: 0x101, Network: 7}},
		Routes:     []plan.Route{{Network: 7, Prefix: netip.MustParsePrefix("10.0.0.64/26")}},
		Ports:      []plan.Port{{Ref: fabric.PortRef{Tenant: "acme", Name: "vm"}, Network: 7}},
		Tables:     []firewall.Table{{Network: 7, Rules: []firewall.Rule{{ID: 123}}}},
	}
	var keys []string
	for _, e := range plan.Entries(n) {
		keys = append(keys, e.Key)
	}
	want := []string{"settings", "peer/n2", "tunnel/n2", "hop/n3", "placement/n2/0x000101", "network/7", "identity/0x000101", "route/7/10.0.0.64/26", "port/acme/vm", "rule/7/123"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys are %q, want %q", keys, want)
	}
}

func TestApplyRefuses(t *testing.T) {
	n := plan.Node{Name: "n1", Networks: []plan.Network{{ID: 7}}, Routes: []plan.Route{{Network: 7, Prefix: netip.MustParsePrefix("10.0.0.0/26")}}}
	rows := []struct {
		name  string
		delta plan.Delta
		want  string
	}{
		{"network still in use", plan.Delta{Remove: []string{"network/7"}}, "route/7/10.0.0.0/26 names a network that the plan lacks"},
		{"rule of no network", plan.Delta{Upsert: []plan.Entry{{Key: "rule/8/1", Rule: &plan.TableRule{Network: 8, Rule: firewall.Rule{ID: 1}}}}}, "rule/8/1 names a network"},
		{"settings removed", plan.Delta{Remove: []string{"settings"}}, "settings can't be removed"},
		{"wrong key", plan.Delta{Upsert: []plan.Entry{{Key: "peer/n3", Peer: &plan.Peer{Name: "n2"}}}}, `"peer/n3" has the content of "peer/n2"`},
		{"no content", plan.Delta{Upsert: []plan.Entry{{Key: "peer/n3"}}}, "0 parts"},
	}
	for _, row := range rows {
		if _, err := plan.Apply(n, row.delta); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
	if got, err := plan.Apply(n, plan.Delta{Remove: []string{"peer/gone"}}); err != nil || !plan.Equal(got, n) {
		t.Errorf("removing what is missing: %v", err)
	}
}

// wide is a plan of 20 networks with 50 routes each.
func wide() plan.Node {
	n := plan.Node{Name: "n1", Settings: plan.Settings{VTEP: netip.MustParseAddr("192.0.2.1")}}
	for id := range fabric.NetworkID(20) {
		n.Networks = append(n.Networks, plan.Network{ID: id + 1})
		for r := range 50 {
			n.Routes = append(n.Routes, plan.Route{Network: id + 1, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r), 0, 0}), 26), Node: "n2", VTEP: netip.MustParseAddr("192.0.2.2"), Lease: true, Subnet: "main"})
		}
		for i := range 20 {
			n.Identities = append(n.Identities, plan.Identity{ID: fabric.Identity(id+1)<<8 + fabric.Identity(i), Network: id + 1, Labels: fabric.Labels{"app": "web", "tier": "front"}})
		}
	}
	return plan.Canonical(n)
}

func BenchmarkHash(b *testing.B) {
	n := wide()
	for b.Loop() {
		plan.Hash(n)
	}
}

func BenchmarkDiff(b *testing.B) {
	from, to := wide(), wide()
	to.Routes[7].Node = "n3"
	for b.Loop() {
		plan.Diff(from, to)
	}
}
