package wireguard

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Key is a public, private or preshared key: 32 bytes, written in base64.
type Key = wgtypes.Key

// Config is how a device has to be.
type Config struct {
	Private Key
	// Port is the UDP port to listen on.
	Port  uint16
	Peers []Peer
}

// Peer is another node as WireGuard sees it.
type Peer struct {
	Key Key
	// Endpoint is where to send; invalid while the peer has to speak first, because its address isn't known.
	Endpoint netip.AddrPort
	// Allowed are the VTEPs reached through the peer, and the only sources accepted from it.
	Allowed []netip.Prefix
	// Keepalive is the interval of empty packets that keep a NAT's mapping; 0 sends none.
	Keepalive time.Duration
}

// change returns what takes a device from have to want. Endpoints are set where they differ from told, the
// configuration that this process made last: between the two a peer may have roamed, which is its own affair.
//
// The result first gives addresses to their new peers, which takes them from the old ones in one step
// (wireguard's allowed IPs are one table), and then removes what nobody wants: an address that moves between
// peers is never without one.
func change(have *wgtypes.Device, told, want Config) (wgtypes.Config, bool) {
	var out wgtypes.Config
	changed := false
	if have.PrivateKey != want.Private {
		out.PrivateKey, changed = &want.Private, true
	}
	if have.ListenPort != int(want.Port) {
		port := int(want.Port)
		out.ListenPort, changed = &port, true
	}
	present := make(map[Key]*wgtypes.Peer, len(have.Peers))
	for i := range have.Peers {
		present[have.Peers[i].PublicKey] = &have.Peers[i]
	}
	before := make(map[Key]Peer, len(told.Peers))
	for _, p := range told.Peers {
		before[p.Key] = p
	}
	var shrink, remove []wgtypes.PeerConfig
	for _, p := range want.Peers {
		was := present[p.Key]
		delete(present, p.Key)
		c, differs := peerChange(was, before[p.Key], p)
		if !differs {
			continue
		}
		if was != nil && len(p.Allowed) < len(was.AllowedIPs) {
			shrink = append(shrink, c)
			continue
		}
		out.Peers = append(out.Peers, c)
	}
	for _, p := range have.Peers {
		if present[p.PublicKey] != nil {
			remove = append(remove, wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true})
		}
	}
	out.Peers = append(append(out.Peers, shrink...), remove...)
	return out, changed || len(out.Peers) > 0
}

// peerChange returns what takes a peer from was, which is nil for a new one, to want.
func peerChange(was *wgtypes.Peer, told, want Peer) (wgtypes.PeerConfig, bool) {
	c := wgtypes.PeerConfig{PublicKey: want.Key, UpdateOnly: was != nil}
	differs := was == nil
	if want.Endpoint.IsValid() && (was == nil || was.Endpoint == nil || told.Endpoint != want.Endpoint && addrPort(was.Endpoint) != want.Endpoint) {
		c.Endpoint, differs = net.UDPAddrFromAddrPort(want.Endpoint), true
	}
	if was == nil && want.Keepalive > 0 || was != nil && was.PersistentKeepaliveInterval != want.Keepalive {
		keepalive := want.Keepalive
		c.PersistentKeepaliveInterval, differs = &keepalive, true
	}
	if was == nil || !slices.Equal(prefixes(was.AllowedIPs), sortedPrefixes(want.Allowed)) {
		c.ReplaceAllowedIPs, differs = true, true
		for _, p := range want.Allowed {
			c.AllowedIPs = append(c.AllowedIPs, net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
		}
	}
	return c, differs
}

func addrPort(a *net.UDPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// prefixes returns nets in order.
func prefixes(nets []net.IPNet) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(nets))
	for _, n := range nets {
		if a, ok := netip.AddrFromSlice(n.IP); ok {
			bits, _ := n.Mask.Size()
			out = append(out, netip.PrefixFrom(a.Unmap(), bits))
		}
	}
	return sortedPrefixes(out)
}

func sortedPrefixes(p []netip.Prefix) []netip.Prefix {
	return slices.SortedFunc(slices.Values(p), netip.Prefix.Compare)
}
