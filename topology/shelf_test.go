package topology_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// TestIntentForgetsItsHistory changes an intent step by step, and compares each step with an intent made of the
// same objects at once. In the end every earlier intent must still answer as it did.
func TestIntentForgetsItsHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := map[topology.Key]*topology.Object{}
		intent := topology.NewIntent()
		var passed []*topology.Intent
		var answers []map[string]any
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			changed := rapid.SliceOfN(rapid.Custom(drawObject), 1, 4).Draw(t, "objects")
			if rapid.IntRange(0, 2).Draw(t, "gone") == 0 {
				var keys []topology.Key
				for _, o := range changed {
					keys = append(keys, o.Key)
					delete(objects, o.Key)
				}
				intent = intent.Without(keys...)
			} else {
				for _, o := range changed {
					objects[o.Key] = o
				}
				intent = intent.With(changed...)
			}
			want := answersOf(topology.NewIntent(slices.Collect(maps.Values(objects))...))
			if diff := cmp.Diff(want, answersOf(intent), exact); diff != "" {
				t.Fatalf("(-at once +step by step):\n%s", diff)
			}
			if got := intent.Objects(); len(got) != len(objects) || intent.Len() != len(objects) ||
				!slices.IsSortedFunc(got, func(a, b *topology.Object) int { return a.Key.Compare(b.Key) }) {
				t.Fatalf("%d objects, want %d in order: %v", intent.Len(), len(objects), got)
			}
			for key, o := range objects {
				if intent.Get(key) != o {
					t.Fatalf("%s is another object, or gone", key)
				}
			}
			passed, answers = append(passed, intent), append(answers, want)
		}
		for i, p := range passed {
			if diff := cmp.Diff(answers[i], answersOf(p), exact); diff != "" {
				t.Fatalf("intent %d of %d changed (-then +now):\n%s", i, len(passed), diff)
			}
		}
	})
}

var exact = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

// drawObject draws one of few objects, so that they meet and refer to each other.
func drawObject(t *rapid.T) *topology.Object {
	name := func(label string) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label) }
	meta := topology.Metadata{Tenant: name("tenant"), Name: name("name")}
	var body any
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		body = &topology.Fabric{Metadata: topology.Metadata{Name: topology.FabricName}, Spec: topology.FabricSpec{UnderlayMTU: rapid.IntRange(1400, 1402).Draw(t, "mtu")}}
	case 1:
		body = &topology.Tenant{Metadata: topology.Metadata{Name: meta.Tenant}}
	case 2:
		n := &topology.Network{Metadata: meta}
		for i := range rapid.IntRange(1, 2).Draw(t, "subnets") {
			n.Spec.Subnets = append(n.Spec.Subnets, topology.Subnet{Name: fmt.Sprintf("s%d", i), IPv4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)})
		}
		body = n
	case 3:
		body = &topology.Peering{Metadata: meta, Spec: topology.PeeringSpec{Network: name("local"), Peer: topology.PeerNetwork{Tenant: name("peer"), Network: name("remote")}}}
	case 4:
		body = &topology.Port{Metadata: meta, Spec: topology.PortSpec{Network: name("network"), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 1).Draw(t, "subnet")), 0, 9})}}}
	case 5:
		body = &topology.FirewallPolicy{Metadata: meta, Spec: topology.FirewallPolicySpec{Network: name("network")}}
	default:
		body = &topology.PlatformPolicy{Metadata: topology.Metadata{Name: meta.Name}}
	}
	o, _ := topology.NewObject(body)
	return o
}

// answersOf asks an intent everything.
func answersOf(i *topology.Intent) map[string]any {
	out := map[string]any{
		"settings": i.Settings(), "tenants": i.Tenants(), "networks": i.Networks(), "peerings": i.Peerings(), "ports": i.Ports(),
		"policies": i.FirewallPolicies(), "platform": i.PlatformPolicies(), "len": i.Len(),
	}
	for _, tenant := range []string{"a", "b", "c", "d"} {
		out["networks of "+tenant], out["policies of "+tenant] = i.NetworksOf(tenant), i.FirewallPoliciesOf(tenant)
		for _, name := range []string{"a", "b", "c"} {
			ref := fabric.NetworkRef{Tenant: tenant, Name: name}
			out["peers of "+ref.String()] = i.PeersOf(ref)
			out["ports of "+ref.String()] = i.PortsOf(ref)
			out["references to "+ref.String()] = i.References(topology.Key{Kind: topology.KindNetwork, Tenant: tenant, Name: name})
		}
	}
	return out
}

// TestPeersByDefinition compares PeersOf with the definition: both networks exist, and each side declares a
// peering with the other.
func TestPeersByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := topology.NewIntent(rapid.SliceOfN(rapid.Custom(drawObject), 0, 60).Draw(t, "objects")...)
		declared := map[[2]fabric.NetworkRef]bool{}
		for _, p := range i.Peerings() {
			declared[[2]fabric.NetworkRef{p.Local(), p.Remote()}] = true
		}
		for _, here := range i.Networks() {
			var want []fabric.NetworkRef
			for _, there := range i.Networks() {
				if there != here && declared[[2]fabric.NetworkRef{here.Ref(), there.Ref()}] && declared[[2]fabric.NetworkRef{there.Ref(), here.Ref()}] {
					want = append(want, there.Ref())
				}
			}
			if diff := cmp.Diff(want, i.PeersOf(here.Ref())); diff != "" {
				t.Fatalf("peers of %s (-definition +got):\n%s", here.Ref(), diff)
			}
		}
	})
}
