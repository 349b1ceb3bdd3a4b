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
// The order keeps every address routed: peers first get the addresses that they lack, which takes them from the peers that
// had them (WireGuard's allowed IPs are one table); only then does anybody lose an address that nobody wants any more.
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
	wanted := map[netip.Prefix]bool{}
	for _, p := range want.Peers {
		for _, a := range p.Allowed {
			wanted[a] = true
		}
		if c, differs := grow(present[p.Key], before[p.Key], p); differs {
			out.Peers = append(out.Peers, c)
		}
	}
	for _, p := range want.Peers {
		if was := present[p.Key]; was != nil && slices.ContainsFunc(prefixes(was.AllowedIPs), func(a netip.Prefix) bool { return !wanted[a] }) {
			out.Peers = append(out.Peers, wgtypes.PeerConfig{PublicKey: p.Key, UpdateOnly: true, ReplaceAllowedIPs: true, AllowedIPs: ipNets(p.Allowed)})
		}
		delete(present, p.Key)
	}
	for _, p := range have.Peers {
		if present[p.PublicKey] != nil {
			out.Peers = append(out.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true})
		}
	}
	return out, changed || len(out.Peers) > 0
}

// grow returns what gives a peer, which is new when was is nil, all that want says, and takes no address from it.
func grow(was *wgtypes.Peer, told, want Peer) (wgtypes.PeerConfig, bool) {
	c := wgtypes.PeerConfig{PublicKey: want.Key, UpdateOnly: was != nil}
	if was == nil {
		was = &wgtypes.Peer{}
	}
	if want.Endpoint.IsValid() && (was.Endpoint == nil || told.Endpoint != want.Endpoint && addrPort(was.Endpoint) != want.Endpoint) {
		c.Endpoint = net.UDPAddrFromAddrPort(want.Endpoint)
	}
	if was.PersistentKeepaliveInterval != want.Keepalive {
		c.PersistentKeepaliveInterval = &want.Keepalive
	}
	had := prefixes(was.AllowedIPs)
	lacking := slices.DeleteFunc(slices.Clone(want.Allowed), func(a netip.Prefix) bool { return slices.Contains(had, a) })
	c.AllowedIPs = ipNets(lacking)
	return c, !c.UpdateOnly || c.Endpoint != nil || c.PersistentKeepaliveInterval != nil || len(lacking) > 0
}

func ipNets(prefixes []netip.Prefix) []net.IPNet {
	out := make([]net.IPNet, len(prefixes))
	for i, p := range prefixes {
		out[i] = net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return out
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
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}
