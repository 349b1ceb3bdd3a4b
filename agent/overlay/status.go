package overlay

import (
	"net/netip"
	"time"

	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
)

// The implementations of WireGuard.
const (
	Kernel   = "kernel"
	Embedded = "embedded"
)

// Status is what the WireGuard device is doing.
type Status struct {
	Implementation string
	Key            fabric.PublicKey
	KeySince       time.Time // when the key was made
	Tunnels        []TunnelStatus
	// Counters are those of the embedded device; zero for the kernel's.
	Counters wireguard.Counters
}

// TunnelStatus is what the device knows of a tunnel. A tunnel in rotation is summed over both keys.
type TunnelStatus struct {
	Name           fabric.NodeName
	Endpoint       netip.AddrPort
	Handshake      time.Time
	Received, Sent uint64 // bytes
}

// Status asks the device.
func (m *Manager) Status() (Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Implementation: Kernel, Key: fabric.PublicKey(m.keys.Current.PublicKey()), KeySince: m.keys.Since}
	if m.embedded != nil {
		s.Implementation, s.Counters = Embedded, m.embedded.Counters()
	}
	d, err := m.control.Status()
	if err != nil {
		return Status{}, err
	}
	peers := make(map[wireguard.Key]wireguard.PeerStatus, len(d.Peers))
	for _, p := range d.Peers {
		peers[p.Key] = p
	}
	for _, t := range m.want.Tunnels {
		out := TunnelStatus{Name: t.Name}
		for _, key := range []wireguard.Key{t.Peer.Key, t.Next.Key} {
			p, ok := peers[key]
			if !ok {
				continue
			}
			out.Received, out.Sent = out.Received+p.Received, out.Sent+p.Sent
			if out.Handshake.IsZero() || p.Handshake.After(out.Handshake) {
				out.Endpoint, out.Handshake = p.Endpoint, p.Handshake
			}
		}
		s.Tunnels = append(s.Tunnels, out)
	}
	return s, nil
}
