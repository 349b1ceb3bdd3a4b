package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// The limits of the fabric and its networks.
const (
	MaxSubnets     = 64 // of one network
	maxDNS         = 8  // name servers of one subnet
	minUnderlayMTU = minIPv6MTU + vxlanIPv6
	maxUnderlayMTU = 65535
	// maxReclaimHours is a year.
	maxReclaimHours = 8760
)

func (v *validator) fabric(o *Object) {
	s := o.Fabric.Spec
	if o.Key.Name != FabricName {
		v.errorf(o, "metadata.name", "must be %q: there is one fabric", FabricName)
	}
	if s.UnderlayMTU < minUnderlayMTU || s.UnderlayMTU > maxUnderlayMTU {
		// A workload must be able to send 1280 bytes, also over IPv6.
		v.errorf(o, "spec.underlayMTU", "is %d, out of range %d-%d", s.UnderlayMTU, minUnderlayMTU, maxUnderlayMTU)
	}
	v.posture(o, s.Posture)
	v.encryption(o)
	v.clientAccess(o)
	if s.ReclaimHours < 1 || s.ReclaimHours > maxReclaimHours {
		v.errorf(o, "spec.reclaimHours", "is %d, out of range 1-%d", s.ReclaimHours, maxReclaimHours)
	}
	if b := s.NodeBlock.IPv4; b < 16 || b > maxLeaseIPv4 {
		v.errorf(o, "spec.nodeBlock.ipv4", "is %d, out of range 16-%d", b, maxLeaseIPv4)
	}
	if b := s.NodeBlock.IPv6; b < 64 || b > maxLeaseIPv6 {
		v.errorf(o, "spec.nodeBlock.ipv6", "is %d, out of range 64-%d", b, maxLeaseIPv6)
	}
	for i, key := range s.IgnoredLabels {
		check := key
		if strings.HasSuffix(key, "/") {
			check += "x"
		}
		if err := CheckLabelKey(check); err != nil {
			v.errorf(o, fmt.Sprintf("spec.ignoredLabels[%d]", i), "is not valid: %v; a key that ends in '/' stands for all keys with that prefix", err)
		}
	}
}

func (v *validator) posture(o *Object, a Action) {
	if a != "" && a != Allow && a != Deny {
		v.errorf(o, "spec.posture", "is %q: write %s or %s", clip(string(a)), Allow, Deny)
	}
}

func (v *validator) network(o *Object) {
	v.posture(o, o.Network.Spec.Posture)
	v.networkEncryption(o)
	v.networkMTU(o)
	subnets := o.Network.Spec.Subnets
	switch {
	case len(subnets) == 0:
		v.errorf(o, "spec.subnets", "is empty: a network needs at least one subnet")
	case len(subnets) > MaxSubnets:
		v.errorf(o, "spec.subnets", "has %d subnets, at most %d are allowed: use several networks and peer them", len(subnets), MaxSubnets)
		return
	}
	for i, s := range subnets {
		path := fmt.Sprintf("spec.subnets[%d]", i)
		if err := fabric.CheckName(s.Name); err != nil {
			v.errorf(o, path+".name", "is not valid: %v", err)
		}
		if j := slices.IndexFunc(subnets[:i], func(t Subnet) bool { return t.Name == s.Name }); j >= 0 {
			v.errorf(o, path+".name", "is %q, the name of subnets[%d] too: rename one", s.Name, j)
		}
		if len(s.Prefixes()) == 0 {
			v.errorf(o, path, "has no range: give ipv4, ipv6 or both")
		}
		if v.rangeOf(o, path+".ipv4", s.IPv4, true) {
			v.gateway(o, path+".gateway4", s.IPv4, s.Gateway4)
		}
		if v.rangeOf(o, path+".ipv6", s.IPv6, false) {
			v.gateway(o, path+".gateway6", s.IPv6, s.Gateway6)
		}
		v.dns(o, path+".dns", s)
		for j, t := range subnets[:i] {
			for _, p := range s.Prefixes() {
				for _, q := range t.Prefixes() {
					if p.Overlaps(q) {
						v.errorf(o, path+familyField(p), "%s overlaps %s of subnets[%d] (%s): change one", p, q, j, t.Name)
					}
				}
			}
		}
	}
}

func familyField(p netip.Prefix) string {
	if p.Addr().Is4() {
		return ".ipv4"
	}
	return ".ipv6"
}

// rangeOf reports whether one range of a subnet is right, or absent.
func (v *validator) rangeOf(o *Object, path string, p netip.Prefix, is4 bool) bool {
	if !p.IsValid() {
		return true
	}
	least, most := 8, 30
	if !is4 {
		least, most = 32, 126
	}
	switch {
	case p.Addr().Is4() != is4:
		v.errorf(o, path, "is %s, a range of the other IP version: move it to the other field", p)
	case p != p.Masked():
		v.errorf(o, path, "is %s, which has host bits set: write %s", p, p.Masked())
	case p.Bits() < least || p.Bits() > most:
		v.errorf(o, path, "is %s: the length must be from /%d to /%d", p, least, most)
	default:
		for _, special := range specialRanges {
			if p.Overlaps(special.prefix) {
				v.errorf(o, path, "is %s, which overlaps %s (%s): choose another range", p, special.prefix, special.what)
				return false
			}
		}
		return true
	}
	return false
}

// specialRanges can't be those of a subnet (RFC 6890).
var specialRanges = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this host"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/8"), "reserved, loopback and IPv4 in IPv6"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

func (v *validator) gateway(o *Object, path string, p netip.Prefix, gateway netip.Addr) {
	switch {
	case !gateway.IsValid():
	case !p.IsValid():
		v.errorf(o, path, "is %s, but the subnet has no range of that IP version: remove it, or give the range", gateway)
	case !p.Contains(gateway):
		v.errorf(o, path, "%s lies outside the subnet's %s: choose an address in it", gateway, p)
	case !Usable(p, gateway):
		v.errorf(o, path, "%s is the network or broadcast address of %s: choose another", gateway, p)
	}
}

// dns checks a subnet's name servers. DHCP for IPv4 is what tells them, so they and the subnet have IPv4 addresses.
func (v *validator) dns(o *Object, path string, s Subnet) {
	switch {
	case len(s.DNS) > maxDNS:
		v.errorf(o, path, "has %d servers, at most %d are allowed", len(s.DNS), maxDNS)
	case len(s.DNS) > 0 && !s.IPv4.IsValid():
		v.errorf(o, path, "is told by DHCP for IPv4, but the subnet has no IPv4 range: remove it, or give ipv4")
	}
	for i, a := range s.DNS {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !a.Is4():
			v.errorf(o, at, "is %s: DHCP for IPv4 can name IPv4 addresses only", a)
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			v.errorf(o, at, "is %s, which no server can have", a)
		case slices.Contains(s.DNS[:i], a):
			v.errorf(o, at, "is %s, which is listed before: remove one", a)
		}
	}
}

func (v *validator) addressGroup(o *Object) {
	prefixes := o.AddressGroup.Spec.Prefixes
	switch {
	case len(prefixes) == 0:
		v.errorf(o, "spec.prefixes", "is empty: list at least one range")
	case len(prefixes) > MaxGroupPrefixes:
		v.errorf(o, "spec.prefixes", "has %d ranges, at most %d are allowed: use several groups", len(prefixes), MaxGroupPrefixes)
	}
	first := map[netip.Prefix]int{}
	for i, p := range prefixes {
		path := fmt.Sprintf("spec.prefixes[%d]", i)
		v.cidr(o, path, p)
		if j, seen := first[p]; seen {
			v.errorf(o, path, "is %s, as prefixes[%d] is: remove one", p, j)
		} else {
			first[p] = i
		}
	}
}
