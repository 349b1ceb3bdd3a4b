package edit

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// IsGateway reports whether remote clients may be served by a node.
func IsGateway(s topology.FabricSpec, n compile.NodeState) bool {
	return s.Clients != nil && !n.Clients.Key.IsZero() && s.Clients.Gateways.Matches(n.Labels)
}

// PlaceClients gives each remote client a gateway. A client stays where it is while that is a gateway which is there; else
// it goes to the one that a hash of the names chooses among those that are there, and stays when none is. A drained
// node gets none and loses those that it has.
func PlaceClients(v *state.View, there func(fabric.NodeName) bool) state.Batch {
	clients := v.Intent.Clients()
	if len(clients) == 0 {
		return state.Batch{}
	}
	settings := v.Intent.Settings()
	var gateways []fabric.NodeName
	for _, name := range slices.Sorted(maps.Keys(v.Nodes)) {
		if n := v.Nodes[name]; IsGateway(settings, n) && !n.Drained && there(name) {
			gateways = append(gateways, name)
		}
	}
	var changes []compile.Change
	for _, c := range clients {
		ref := c.Ref()
		now := v.Bindings[ref]
		if slices.Contains(gateways, now) {
			continue
		}
		next := gatewayOf(ref, gateways)
		if n, registered := v.Nodes[now]; next == "" && registered && IsGateway(settings, n) {
			continue
		}
		if next != now {
			changes = append(changes, compile.Change{Binding: &compile.BindingChange{Port: ref, Node: next}})
		}
	}
	return batch(changes...)
}

// gatewayOf chooses by rendezvous hashing: when a gateway goes, only its own clients move.
func gatewayOf(ref fabric.PortRef, gateways []fabric.NodeName) (best fabric.NodeName) {
	var highest string
	for _, name := range gateways {
		sum := sha256.Sum256([]byte("client\x00" + ref.String() + "\x00" + string(name)))
		if weight := string(sum[:]); weight > highest {
			best, highest = name, weight
		}
	}
	return best
}
