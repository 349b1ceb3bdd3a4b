package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// The limits of overlays.
const (
	MaxHubs         = 64
	MaxOverlayLinks = 4000
	minVTEPBits     = 8
	maxVTEPBits     = 28
	minEncryptedMTU = minIPv6MTU + vxlanIPv4 + wireGuardIPv6
)

// encryption checks what a fabric says of its tunnels: encryption and overlay.
func (v *validator) encryption(o *Object) {
	s := o.Fabric.Spec
	wireguard := s.Encryption.Mode == EncryptionWireGuard
	switch s.Encryption.Mode {
	case EncryptionNone, EncryptionWireGuard:
	default:
		v.errorf(o, "spec.encryption.mode", "is %q: write %s or %s", clip(string(s.Encryption.Mode)), EncryptionNone, EncryptionWireGuard)
		return
	}
	if s.Encryption.Required && !wireguard {
		v.errorf(o, "spec.encryption.required", "is set without a mode that encrypts: write mode: %s, or remove it", EncryptionWireGuard)
	}
	if s.Encryption.Port != 0 && !wireguard {
		v.errorf(o, "spec.encryption.port", "is set without a mode that encrypts: write mode: %s, or remove it", EncryptionWireGuard)
	}
	if wireguard && s.Encryption.Port == s.VXLANPort {
		v.errorf(o, "spec.encryption.port", "is %d, as vxlanPort is: choose another", s.Encryption.Port)
	}
	if wireguard && s.UnderlayMTU < minEncryptedMTU {
		v.errorf(o, "spec.underlayMTU", "is %d: with WireGuard it must be at least %d, so that workloads can send 1280 bytes", s.UnderlayMTU, minEncryptedMTU)
	}
	v.overlay(o, wireguard)
}

func (v *validator) overlay(o *Object, wireguard bool) {
	s := o.Fabric.Spec.Overlay
	if !slices.Contains(overlayTypes, string(s.Type)) {
		v.errorf(o, "spec.overlay.type", "is %q: write %s", clip(string(s.Type)), oneOf(overlayTypes))
		return
	}
	if s.Type != OverlayMesh && !wireguard {
		v.errorf(o, "spec.overlay.type", "%s relays between WireGuard tunnels: write encryption: {mode: %s} too, or leave the underlay to route", s.Type, EncryptionWireGuard)
	}
	for _, part := range []struct {
		of    OverlayType
		given bool
	}{{OverlayHub, s.Hub != nil}, {OverlayZones, s.Zones != nil}, {OverlayLinks, s.Links != nil}} {
		switch path := "spec.overlay." + string(part.of); {
		case part.given && part.of != s.Type:
			v.errorf(o, path, "belongs to the type %s, not %s: remove it, or change the type", part.of, s.Type)
		case !part.given && part.of == s.Type:
			v.errorf(o, path, "is missing: the type %s needs it", s.Type)
		}
	}
	if h := s.Hub; h != nil {
		v.hubs(o, h)
	}
	if z := s.Zones; z != nil {
		if err := CheckLabelKey(z.Label); err != nil {
			v.errorf(o, "spec.overlay.zones.label", "is not valid: %v", err)
		}
		v.labelSelector(o, "spec.overlay.zones.gateways", z.Gateways)
		if z.Gateways.IsZero() {
			v.errorf(o, "spec.overlay.zones.gateways", "selects every node: name labels that only gateways have")
		}
	}
	v.overlayLinks(o, s.Links)
	if !wireguard && s.VTEPs.IsValid() {
		v.errorf(o, "spec.overlay.vteps", "is set without encryption, where nodes' tunnel addresses are their underlay addresses: remove it, or write encryption: {mode: %s}", EncryptionWireGuard)
	} else if wireguard {
		v.vteps(o, s.VTEPs)
	}
}

func (v *validator) hubs(o *Object, h *HubOverlay) {
	if len(h.Nodes) == 0 && h.Selector == nil {
		v.errorf(o, "spec.overlay.hub", "names no hub: give nodes or a selector")
	}
	if len(h.Nodes) > MaxHubs {
		v.errorf(o, "spec.overlay.hub.nodes", "has %d hubs, at most %d are allowed", len(h.Nodes), MaxHubs)
	}
	for i, name := range h.Nodes {
		path := fmt.Sprintf("spec.overlay.hub.nodes[%d]", i)
		if err := fabric.CheckName(name); err != nil {
			v.errorf(o, path, "is not valid: %v", err)
		}
		if j := slices.Index(h.Nodes, name); j < i {
			v.errorf(o, path, "is %s, as nodes[%d] is: remove one", name, j)
		}
	}
	if h.Selector != nil {
		v.labelSelector(o, "spec.overlay.hub.selector", *h.Selector)
		if h.Selector.IsZero() {
			v.errorf(o, "spec.overlay.hub.selector", "selects every node: name labels that only hubs have, or use the type %s", OverlayMesh)
		}
	}
}

func (v *validator) overlayLinks(o *Object, links []OverlayLink) {
	if len(links) > MaxOverlayLinks {
		v.errorf(o, "spec.overlay.links", "has %d links, at most %d are allowed: use zones or hubs", len(links), MaxOverlayLinks)
		return
	}
	first := map[OverlayLink]int{}
	for i, l := range links {
		path := fmt.Sprintf("spec.overlay.links[%d]", i)
		for _, end := range []struct{ field, name string }{{".from", l.From}, {".to", l.To}} {
			if err := fabric.CheckName(end.name); err != nil {
				v.errorf(o, path+end.field, "is not valid: %v", err)
			}
		}
		if l.From == l.To {
			v.errorf(o, path+".to", "links %s with itself: name another node", l.To)
			continue
		}
		if l.From > l.To {
			l.From, l.To = l.To, l.From
		}
		if j, seen := first[l]; seen {
			v.errorf(o, path, "joins %s and %s, as links[%d] does: remove one", l.From, l.To, j)
			continue
		}
		first[l] = i
	}
}

// vteps checks the range of tunnel addresses. Tenants' ranges never meet it on the wire, but a packet capture or a
// route of a node's would be ambiguous, so they may not overlap.
func (v *validator) vteps(o *Object, p netip.Prefix) {
	const path = "spec.overlay.vteps"
	switch {
	case !p.IsValid():
		return
	case !p.Addr().Is4():
		v.errorf(o, path, "is %s: tunnel addresses are IPv4, whatever the underlay and the tenants use", p)
		return
	case p != p.Masked():
		v.errorf(o, path, "is %s, which has host bits set: write %s", p, p.Masked())
		return
	case p.Bits() < minVTEPBits || p.Bits() > maxVTEPBits:
		v.errorf(o, path, "is %s: the length must be from /%d to /%d", p, minVTEPBits, maxVTEPBits)
		return
	}
	for _, special := range specialRanges {
		if p.Overlaps(special.prefix) {
			v.errorf(o, path, "is %s, which overlaps %s (%s): choose another range", p, special.prefix, special.what)
			return
		}
	}
	for _, n := range v.intent.Networks() {
		for _, s := range n.Spec.Subnets {
			if s.IPv4.IsValid() && s.IPv4.Overlaps(p) {
				v.errorf(o, path, "is %s, which overlaps %s of subnet %s of Network %s: choose another range", p, s.IPv4, s.Name, n.Ref())
				return
			}
		}
	}
}

// networkEncryption refuses a promise that the fabric doesn't keep.
func (v *validator) networkEncryption(o *Object) {
	if o.Network.Spec.Encryption.Required && v.intent.Settings().Encryption.Mode != EncryptionWireGuard {
		v.errorf(o, "spec.encryption.required", "is set, but the Fabric doesn't encrypt: set its spec.encryption.mode to %s, or remove it", EncryptionWireGuard)
	}
}

var overlayTypes = []string{string(OverlayMesh), string(OverlayHub), string(OverlayZones), string(OverlayLinks)}
