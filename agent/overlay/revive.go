package overlay

import (
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/wireguard"
)

// silentFor is how long a peer may stay without its first handshake before the next try. WireGuard alone tries again after 5
// seconds (whitepaper, section 6.1: Rekey-Timeout), which is long when the other end just was a moment later to know
// this one.
const silentFor = time.Second

// renewDown begins new sessions with peers that were there and answer no more, where this node is behind NAT. After a restart
// they have lost their sessions, and can't begin new ones themselves because they don't know this node's address any more; WireGuard
// alone does so after 15 seconds (whitepaper, section 6.1: Keepalive-Timeout and Rekey-Timeout).
func (m *Manager) renewDown(status wireguard.Status) {
	if m.cfg.Down == nil || m.embedded == nil {
		return
	}
	down := m.cfg.Down()
	var peers []wireguard.Key
	for _, t := range m.want.Tunnels {
		if t.Peer.Keepalive == 0 || !slices.Contains(down, t.Name) {
			continue
		}
		for _, p := range status.Peers {
			if (p.Key == t.Peer.Key || p.Key == t.Next.Key) && !p.Handshake.IsZero() && p.Endpoint.IsValid() {
				peers = append(peers, p.Key)
			}
		}
	}
	m.embedded.Renew(peers)
}

// reviveSilent begins anew with peers that never answered. Their sessions can't be lost by that: they have none.
func (m *Manager) reviveSilent(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.want.Encrypts() {
		return nil
	}
	status, err := m.control.Status()
	if err != nil {
		return err
	}
	silent := make(map[wireguard.Key]time.Time)
	var again []wireguard.Key
	for _, p := range status.Peers {
		if !p.Handshake.IsZero() || len(p.Allowed) == 0 || !p.Endpoint.IsValid() {
			continue
		}
		since, known := m.silent[p.Key]
		if !known {
			since = now
		}
		if now.Sub(since) >= silentFor {
			again, since = append(again, p.Key), now
		}
		silent[p.Key] = since
	}
	m.silent = silent
	m.renewDown(status)
	if len(again) == 0 {
		return nil
	}
	if err := m.control.Forget(again); err != nil {
		return err
	}
	return m.control.Configure(m.want.config(m.keys, m.moved))
}
