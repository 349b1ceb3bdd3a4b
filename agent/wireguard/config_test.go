package wireguard

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	"pgregory.net/rapid"
)

// table is a model of a device: which peer has which address. An address has one peer at most, as WireGuard's table of
// allowed IPs has it.
type table struct {
	peers map[Key]Peer
	owner map[netip.Prefix]Key
}

func (t *table) apply(c wgtypes.Config, during func()) {
	for _, p := range c.Peers {
		if p.Remove {
			delete(t.peers, p.PublicKey)
			maps.DeleteFunc(t.owner, func(_ netip.Prefix, k Key) bool { return k == p.PublicKey })
			during()
			continue
		}
		was, present := t.peers[p.PublicKey]
		if p.UpdateOnly && !present {
			continue
		}
		was.Key = p.PublicKey
		if p.Endpoint != nil {
			was.Endpoint = addrPort(p.Endpoint)
		}
		if p.PersistentKeepaliveInterval != nil {
			was.Keepalive = *p.PersistentKeepaliveInterval
		}
		t.peers[p.PublicKey] = was
		if p.ReplaceAllowedIPs {
			maps.DeleteFunc(t.owner, func(_ netip.Prefix, k Key) bool { return k == p.PublicKey })
		}
		for _, a := range prefixes(p.AllowedIPs) {
			t.owner[a] = p.PublicKey
		}
		during()
	}
}

func (t *table) device(c Config) *wgtypes.Device {
	d := &wgtypes.Device{PrivateKey: c.Private, ListenPort: int(c.Port)}
	for _, k := range slices.SortedFunc(maps.Keys(t.peers), func(a, b Key) int { return slices.Compare(a[:], b[:]) }) {
		p := t.peers[k]
		w := wgtypes.Peer{PublicKey: k, PersistentKeepaliveInterval: p.Keepalive}
		if p.Endpoint.IsValid() {
			w.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
		}
		for a, owner := range t.owner {
			if owner == k {
				w.AllowedIPs = append(w.AllowedIPs, net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), 32)})
			}
		}
		d.Peers = append(d.Peers, w)
	}
	return d
}

func drawConfig(t *rapid.T, label string) Config {
	c := Config{Port: 51820}
	owners := rapid.SliceOfN(rapid.IntRange(-1, 4), 8, 8).Draw(t, label) // of each address, its peer
	for k := range 5 {
		p := Peer{Key: Key{byte(k + 1)}}
		for host, owner := range owners {
			if owner == k {
				p.Allowed = append(p.Allowed, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 92, 0, byte(host)}), 32))
			}
		}
		if p.Allowed == nil && rapid.Bool().Draw(t, label+" absent") {
			continue
		}
		if port := rapid.IntRange(0, 2).Draw(t, label+" endpoint"); port > 0 {
			p.Endpoint = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(port))
		}
		p.Keepalive = time.Duration(rapid.IntRange(0, 1).Draw(t, label+" keepalive")) * 25 * time.Second
		c.Peers = append(c.Peers, p)
	}
	return c
}

// From any configuration to any other: the result is what was wanted, a second change finds nothing to do, and an
// address that both configurations route is routed at every moment between them.
func TestChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := drawConfig(t, "from"), drawConfig(t, "to")
		m := &table{peers: map[Key]Peer{}, owner: map[netip.Prefix]Key{}}
		first, _ := change(m.device(from), Config{}, from)
		m.apply(first, func() {})
		kept := map[netip.Prefix]bool{}
		for _, p := range to.Peers {
			for _, a := range p.Allowed {
				if _, ok := m.owner[a]; ok {
					kept[a] = true
				}
			}
		}
		second, _ := change(m.device(from), from, to)
		m.apply(second, func() {
			for a := range kept {
				if _, ok := m.owner[a]; !ok {
					t.Fatalf("%s has no peer in between", a)
				}
			}
		})
		if len(m.peers) != len(to.Peers) {
			t.Fatalf("%d peers, want %d", len(m.peers), len(to.Peers))
		}
		for _, p := range to.Peers {
			got, ok := m.peers[p.Key]
			if !ok || got.Keepalive != p.Keepalive || p.Endpoint.IsValid() && got.Endpoint != p.Endpoint {
				t.Fatalf("peer %v is %+v, want %+v", p.Key, got, p)
			}
			for _, a := range p.Allowed {
				if m.owner[a] != p.Key {
					t.Fatalf("%s belongs to %v, want %v", a, m.owner[a], p.Key)
				}
			}
		}
		if again, changed := change(m.device(to), to, to); changed {
			t.Fatalf("a second change isn't empty: %+v", again)
		}
	})
}

// A peer that has roamed keeps the endpoint that WireGuard learnt, until the plan names another one.
func TestChangeKeepsRoamedEndpoint(t *testing.T) {
	planned, roamed, moved := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("198.51.100.7:4001"), netip.MustParseAddrPort("192.0.2.2:51820")
	want := func(e netip.AddrPort) Config { return Config{Peers: []Peer{{Key: Key{1}, Endpoint: e}}} }
	have := &wgtypes.Device{Peers: []wgtypes.Peer{{PublicKey: Key{1}, Endpoint: net.UDPAddrFromAddrPort(roamed)}}}
	if c, changed := change(have, want(planned), want(planned)); changed {
		t.Errorf("the roamed endpoint is overwritten: %+v", c)
	}
	c, changed := change(have, want(planned), want(moved))
	if !changed || addrPort(c.Peers[0].Endpoint) != moved {
		t.Errorf("the new endpoint isn't told: %+v", c)
	}
}
