package topology

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// The defaults of a Fabric.
const (
	DefaultUnderlayMTU   = 1500
	DefaultVXLANPort     = 4789 // RFC 7348, section 5
	DefaultNodeBlockIPv4 = 26
	DefaultNodeBlockIPv6 = 122
	DefaultPosture       = Allow
	DefaultReclaimHours  = 72    // a weekend: a machine that fails on Friday evening finds its addresses on Monday
	DefaultWireGuardPort = 51820 // as wg-quick(8) examples have it; none is assigned
	DefaultClientPort    = 51830 // the first of those at which clients connect
)

// DefaultPriority is the priority of a policy that names none.
const DefaultPriority = 500

// DefaultVirtualMAC is the MAC with which the fabric answers: "wft" within the locally administered range.
func DefaultVirtualMAC() fabric.MAC { return fabric.MAC{0x02, 0x77, 0x65, 0x66, 0x74, 0x01} }

// DefaultVTEPs is within 100.64.0.0/10, which is neither the internet's nor, by RFC 6598, a private network's, so
// that it meets no tenant's and hardly any site's addresses; 32766 nodes have room.
func DefaultVTEPs() netip.Prefix { return netip.MustParsePrefix("100.92.0.0/16") }

// DefaultIgnoredLabels are the keys that differ per workload by their nature: the lab's own, and those that
// Kubernetes controllers set on each of their pods.
func DefaultIgnoredLabels() []string {
	return []string{
		LabAPIPrefix,
		"apps.kubernetes.io/pod-index",
		"batch.kubernetes.io/job-completion-index",
		"controller-revision-hash",
		"pod-template-generation",
		"pod-template-hash",
		"statefulset.kubernetes.io/pod-name",
	}
}

// applyDefaults fills in what the object leaves out, as far as it depends on the object alone. It is
// idempotent. What depends on other objects is resolved when it is read: see Intent.
func (o *Object) applyDefaults() {
	if m := o.Metadata(); len(m.Labels) == 0 {
		m.Labels = nil // the canonical form doesn't tell empty from absent
	}
	switch {
	case o.Fabric != nil:
		o.Fabric.Spec.applyDefaults()
	case o.Network != nil:
		for i := range o.Network.Spec.Subnets {
			o.Network.Spec.Subnets[i].applyDefaults()
		}
	case o.Peering != nil:
		setDefault(&o.Peering.Spec.Peer.Tenant, o.Key.Tenant)
	case o.Port != nil:
		setDefault(&o.Port.Spec.MAC, DefaultMAC(o.Port.Ref()))
	case o.FirewallPolicy != nil:
		setDefault(&o.FirewallPolicy.Spec.Priority, DefaultPriority)
	case o.PlatformPolicy != nil:
		setDefault(&o.PlatformPolicy.Spec.Priority, DefaultPriority)
	}
	ingress, egress := o.rules()
	for _, rules := range [][]Rule{ingress, egress} {
		for i := range rules {
			setDefault(&rules[i].Action, Allow)
		}
	}
}

func (s *FabricSpec) applyDefaults() {
	setDefault(&s.UnderlayMTU, DefaultUnderlayMTU)
	setDefault(&s.VXLANPort, DefaultVXLANPort)
	setDefault(&s.VirtualMAC, DefaultVirtualMAC())
	setDefault(&s.Posture, DefaultPosture)
	setDefault(&s.NodeBlock.IPv4, DefaultNodeBlockIPv4)
	setDefault(&s.NodeBlock.IPv6, DefaultNodeBlockIPv6)
	setDefault(&s.Encryption.Mode, EncryptionNone)
	setDefault(&s.Overlay.Type, OverlayMesh)
	if s.Encryption.Mode == EncryptionWireGuard {
		setDefault(&s.Encryption.Port, DefaultWireGuardPort)
		setDefault(&s.Overlay.VTEPs, DefaultVTEPs())
	}
	setDefault(&s.ReclaimHours, DefaultReclaimHours)
	if s.Clients != nil {
		setDefault(&s.Clients.Port, DefaultClientPort)
	}
	if s.IgnoredLabels == nil {
		s.IgnoredLabels = DefaultIgnoredLabels()
	}
}

func (s *Subnet) applyDefaults() {
	if s.IPv4.IsValid() {
		setDefault(&s.Gateway4, firstHost(s.IPv4))
	}
	if s.IPv6.IsValid() {
		setDefault(&s.Gateway6, firstHost(s.IPv6))
	}
}

// firstHost returns the first address after the network address.
func firstHost(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
