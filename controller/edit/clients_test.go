package edit_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

const clientNetwork = `---
apiVersion: weft.dev/v1alpha1
kind: Fabric
metadata: {name: default}
spec: {clients: {gateways: {matchLabels: {role: gateway}}}}
---
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: main, ipv4: 10.0.0.0/24}]}
`

func declaredClient(i int) string {
	return fmt.Sprintf("---\napiVersion: weft.dev/v1alpha1\nkind: Client\nmetadata: {name: c%d, tenant: acme}\nspec: {network: prod, addresses: [10.0.0.%d], publicKey: %q}\n",
		i, 100+i, fabric.PublicKey{byte(i + 1)})
}

func gatewayState(i int) compile.NodeState {
	n := node(fmt.Sprintf("192.0.2.%d", i), byte(i), fabric.Labels{"role": "gateway"})
	n.Clients.Key = fabric.PublicKey{0xff, byte(i)}
	return n
}

// Clients move only from a gateway that is gone or drained, and wait when there is no other.
func TestPlaceClients(t *testing.T) {
	const clients = 12
	v := state.NewView()
	text := clientNetwork
	for i := range clients {
		text += declaredClient(i)
	}
	v = apply(t, v, text)
	away := map[fabric.NodeName]bool{}
	there := func(name fabric.NodeName) bool { return !away[name] }
	place := func() map[fabric.PortRef]fabric.NodeName {
		t.Helper()
		v = commit(v, edit.PlaceClients(v, there))
		if again := edit.PlaceClients(v, there); len(again.Changes) > 0 {
			t.Fatalf("a second look changes more: %v", again.Changes)
		}
		return maps.Clone(v.Bindings)
	}
	if len(place()) > 0 {
		t.Fatal("clients are placed without a gateway")
	}
	v = register(t, v, "plain", node("192.0.2.9", 9, nil))
	v = register(t, v, "g1", gatewayState(1))
	one := place()
	if len(one) != clients {
		t.Fatalf("%d clients are placed", len(one))
	}
	v = register(t, v, "g2", gatewayState(2))
	v = register(t, v, "g3", gatewayState(3))
	if two := place(); !maps.Equal(one, two) {
		t.Errorf("new gateways move clients: %v", two)
	}
	away["g1"] = true
	spread := place()
	used := slices.Compact(slices.Sorted(maps.Values(spread)))
	if !slices.Equal(used, []fabric.NodeName{"g2", "g3"}) {
		t.Errorf("the clients of a gateway that is gone are at %v", used)
	}
	drained := v.Nodes["g2"]
	drained.Drained = true
	v.Nodes["g2"] = drained
	after := place()
	for ref, at := range spread {
		if at == "g3" && after[ref] != "g3" || after[ref] == "g2" {
			t.Errorf("%s moved from %s to %s", ref, at, after[ref])
		}
	}
	away["g3"] = true
	if kept := place(); !maps.Equal(kept, after) {
		t.Error("clients move although there is no gateway")
	}
}

// Only its gateway has a client's port, and a client can go while it is served.
func TestClientPort(t *testing.T) {
	v := apply(t, state.NewView(), clientNetwork+declaredClient(0))
	v = register(t, v, "g1", gatewayState(1))
	v = register(t, v, "n1", node("192.0.2.9", 9, nil))
	v = commit(v, edit.PlaceClients(v, func(fabric.NodeName) bool { return true }))
	if _, _, err := edit.BindPort(v, "n1", edit.Binding{Port: "acme/c0"}); err == nil || !strings.Contains(err.Error(), "remote client") {
		t.Errorf("another node gets a client's port: %v", err)
	}
	if _, b, err := edit.BindPort(v, "g1", edit.Binding{Port: "acme/c0"}); err != nil || len(b.Changes) > 0 {
		t.Errorf("its gateway is refused the port: %v, %v", b, err)
	}
	if b := edit.ReleasePort(v, "g1", "acme/c0"); len(b.Changes) > 0 {
		t.Error("a gateway gives a client away")
	}
	plans := compile.Plans(v.State)
	if got := plans["g1"].Ports; len(got) != 1 || got[0].Client.Listen != topology.DefaultClientPort+uint16(v.Networks[fabric.NetworkRef{Tenant: "acme", Name: "prod"}].ID)-1 || got[0].Client.Key != (fabric.PublicKey{1}) {
		t.Errorf("the gateway's plan has the ports %+v", got)
	}
	r := edit.Delete(v, []topology.Key{{Kind: topology.KindClient, Tenant: "acme", Name: "c0"}}, nil)
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	if v = commit(v, r.Batch); len(v.Bindings) > 0 {
		t.Errorf("what is gone is bound: %v", v.Bindings)
	}
}
