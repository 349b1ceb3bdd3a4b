package edit_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
)

// TestSizesThatDontFit: what is declared must fit the links of the nodes that are there; what comes to fall short later is told,
// and keeps nobody from changing something else.
func TestSizesThatDontFit(t *testing.T) {
	fabricWith := func(spec string) string {
		return "---\napiVersion: weft.dev/v1alpha1\nkind: Fabric\nmetadata: {name: default}\nspec: " + spec + "\n"
	}
	const tenant = "---\napiVersion: weft.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
	network := func(spec string) string {
		return "---\napiVersion: weft.dev/v1alpha1\nkind: Network\nmetadata: {name: prod, tenant: acme}\nspec: " + spec + "\n"
	}
	nodes := func(v *state.View, links map[fabric.NodeName]compile.NodeState) *state.View {
		for name, n := range links {
			v = register(t, v, name, n)
		}
		return v
	}
	at := func(vtep string, mtu int) compile.NodeState {
		return compile.NodeState{VTEP: netip.MustParseAddr(vtep), MTU: mtu}
	}
	base := []string{tenant, network("{subnets: [{name: a, ipv4: 10.0.0.0/24}]}")}
	for _, tt := range []struct {
		name   string
		nodes  map[fabric.NodeName]compile.NodeState
		before []string
		after  []string
		want   string // the error, or nothing
	}{
		{"a larger underlay than a link", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 9000), "n2": at("192.0.2.2", 1500), "n3": at("192.0.2.3", 0)},
			base, []string{fabricWith("{underlayMTU: 9000}"), tenant, base[1]}, "a.yaml:5: Fabric default: spec.underlayMTU is 9000, but the link of node n2 has 1500: enlarge it first, or declare that"},
		{"all links carry it", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 9000), "n3": at("192.0.2.3", 0)},
			base, []string{fabricWith("{underlayMTU: 9000}"), tenant, base[1]}, ""},
		{"a link was small before", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 1400)},
			base, []string{fabricWith("{underlayMTU: 1500}"), tenant, base[1]}, ""},
		{"less, though still too much", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 1400)},
			base, []string{fabricWith("{underlayMTU: 1450}"), tenant, base[1]}, ""},
		{"a network that a link can't carry", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 1400)},
			base, []string{tenant, network("{mtu: 1400, subnets: [{name: a, ipv4: 10.0.0.0/24}]}")}, "a.yaml:9: Network acme/prod: spec.mtu needs packets of 1400 bytes, but ways of node n1 leave 1350: the underlay carries 1400 there, and VXLAN over IPv4 takes the rest"},
		{"a network that IPv6 underneath can't carry", map[fabric.NodeName]compile.NodeState{"n1": at("2001:db8::1", 0), "n2": at("192.0.2.1", 0)},
			base, []string{tenant, network("{mtu: 1450, subnets: [{name: a, ipv4: 10.0.0.0/24}]}")}, "a.yaml:9: Network acme/prod: spec.mtu needs packets of 1450 bytes, but ways of node n1 leave 1430: the underlay carries 1500 there, and VXLAN over IPv6 takes the rest"},
		{"IPv6 where less than 1280 is left", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 1329)},
			base, []string{tenant, network("{subnets: [{name: a, ipv6: \"fd00::/64\"}]}")}, "a.yaml:9: Network acme/prod: spec.subnets needs packets of 1280 bytes, but ways of node n1 leave 1279: the underlay carries 1329 there, and VXLAN over IPv4 takes the rest"},
		{"IPv4 where less than 1280 is left", map[fabric.NodeName]compile.NodeState{"n1": at("192.0.2.1", 1329)},
			base, []string{tenant, network("{posture: deny, subnets: [{name: a, ipv4: 10.0.0.0/24}]}")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := nodes(apply(t, state.NewView(), tt.before...), tt.nodes)
			r := tryApply(v, tt.after...)
			got := ""
			if err := r.Problems.Err(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}

	// A node that comes later is taken, and what falls short is told.
	v := apply(t, state.NewView(), tenant, network("{mtu: 1400, subnets: [{name: a, ipv4: 10.0.0.0/24}]}"))
	v = register(t, v, "n1", at("192.0.2.1", 1400))
	v = register(t, v, "n2", at("192.0.2.2", 9000))
	v = register(t, v, "n3", at("192.0.2.3", 0))
	want := "the link to other nodes has an MTU of 1400, but the Fabric's spec.underlayMTU is 1500: its ways leave 1350 bytes to workloads, too little for acme/prod"
	if got := edit.LinkProblem(v, "n1"); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, name := range []fabric.NodeName{"n2", "n3"} {
		if got := edit.LinkProblem(v, name); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if r := tryApply(v, tenant, network("{mtu: 1400, posture: deny, subnets: [{name: a, ipv4: 10.0.0.0/24}]}")); r.Problems.Err() != nil {
		t.Errorf("the node that came later keeps others from changing something else: %v", r.Problems.Err())
	}
	v = register(t, v, "n4", at("2001:db8::1", 0))
	v = apply(t, v, tenant, network("{mtu: 1400, subnets: [{name: a, ipv4: 10.0.0.0/24}]}"))
	if got := edit.LinkProblem(v, "n4"); got != "" {
		t.Errorf("1400 bytes fit over IPv6: %q", got)
	}
	if !strings.Contains(edit.LinkProblem(v, "n1"), "acme/prod") {
		t.Error("what falls short is no longer told")
	}
}
