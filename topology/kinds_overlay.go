package topology

import (
	"net/netip"
	"reflect"
)

// Encryption says how packets travel between the nodes.
type Encryption struct {
	// Mode is none (default) or wireguard.
	Mode EncryptionMode `json:"mode,omitzero"`
	// Required keeps nodes without a key out, instead of reaching them in the plain.
	Required bool `json:"required,omitzero"`
	// Port is the UDP port on which nodes listen, unless a node's own configuration names another.
	Port uint16 `json:"port,omitzero"` // default 51820 with wireguard
}

// EncryptionMode is a way to encrypt tunnels.
type EncryptionMode string

// The modes of encryption.
const (
	EncryptionNone      EncryptionMode = "none"
	EncryptionWireGuard EncryptionMode = "wireguard"
)

// NetworkEncryption is what a network asks of the tunnels.
type NetworkEncryption struct {
	// Required keeps the network's packets from travelling in the plain, on a fabric that would reach nodes without a
	// key so.
	Required bool `json:"required,omitzero"`
}

// Overlay says which nodes have tunnels with each other, and what is reached over relays. Types other than mesh
// need encryption.
type Overlay struct {
	// Type is mesh (default), hub, zones or links.
	Type OverlayType `json:"type,omitzero"`
	// VTEPs is the range of the nodes' tunnel addresses; the upper half is for probes.
	VTEPs netip.Prefix `json:"vteps,omitzero"` // default 100.92.0.0/16 with wireguard
	// Hub belongs to the type hub: every node has a tunnel to each hub, and reaches others over one of them.
	Hub *HubOverlay `json:"hub,omitzero"`
	// Zones belongs to the type zones.
	Zones *ZonesOverlay `json:"zones,omitzero"`
	// Links belongs to the type links: the tunnels that there are, one by one.
	Links []OverlayLink `json:"links,omitzero"`
}

// OverlayType is a shape of the overlay.
type OverlayType string

// The types of overlays.
const (
	OverlayMesh  OverlayType = "mesh"
	OverlayHub   OverlayType = "hub"
	OverlayZones OverlayType = "zones"
	OverlayLinks OverlayType = "links"
)

// HubOverlay names the hubs, by name, by labels or both. Several share the load and stand in for each other.
type HubOverlay struct {
	Nodes    []string  `json:"nodes,omitzero"`
	Selector *Selector `json:"selector,omitzero"`
}

// ZonesOverlay groups nodes by a label of theirs. Nodes of a zone have direct tunnels; between zones gateways relay.
type ZonesOverlay struct {
	// Label is the key of the node label whose value is the zone's name.
	Label string `json:"label"`
	// Gateways selects, by the labels of nodes, the gateways of each zone. Several of a zone share the load and stand in
	// for each other.
	Gateways Selector `json:"gateways"`
}

// OverlayLink is a tunnel between two nodes.
type OverlayLink struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// SameOverlay reports whether two fabrics have the same tunnels between the same nodes.
func SameOverlay(a, b FabricSpec) bool {
	return a.Encryption.Mode == b.Encryption.Mode && reflect.DeepEqual(a.Overlay, b.Overlay)
}
