package overlay

import (
	"context"
	"time"

	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
)

const (
	// rotationPoll is how often a peer that has announced a key is looked at: what this node sends to the old key is
	// lost between the peer's change and this node's.
	rotationPoll = 5 * time.Millisecond
	// rotationSoon is for how long a peer is expected to change soon; afterwards it is looked at once a second.
	rotationSoon = time.Minute
	// restartAfter is how long a peer may take for the first handshake under a new key before the first of further tries: longer
	// than the round trip on most underlays.
	restartAfter = 250 * time.Millisecond
)

// Announce makes the node's next key, which the peers have to know before Switch.
func (m *Manager) Announce() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys, err := m.keys.Announce()
	if err != nil {
		return err
	}
	if err := keys.Save(m.cfg.KeyFile); err != nil {
		return err
	}
	m.keys = keys
	return nil
}

// Switch begins to use the announced key. Sessions begin anew. What is sent meanwhile is held back, by WireGuard until
// there is a session, and by the embedded device until the peer takes packets under the new key.
//
// It returns when all peers have followed, or a second later. No peer may change its own key meanwhile: two initiations that cross
// can leave a session behind of which only one end knows.
func (m *Manager) Switch() error {
	began := time.Now()
	followed, err := m.switchKey()
	done := make(chan struct{})
	go func() {
		defer close(done)
		followed()
	}()
	for patience := restartAfter; ; patience *= 2 {
		select {
		case <-done:
			return err
		case <-time.After(patience):
			if err := m.restartSilent(began); err != nil {
				m.cfg.Logger.Warn("begin anew with peers under the new key", "error", err)
			}
		}
	}
}

// switchKey does it, and returns what waits for the peers.
func (m *Manager) switchKey() (followed func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	followed = func() {}
	keys := m.keys.Switch()
	if err := keys.Save(m.cfg.KeyFile); err != nil {
		return followed, err
	}
	m.keys = keys
	if !m.want.Encrypts() {
		return followed, nil
	}
	if m.embedded != nil {
		followed = m.embedded.Hold(m.want.waits())
	}
	return followed, m.control.Configure(m.want.config(m.keys, m.moved))
}

// restartSilent begins anew with peers that have made no handshake since a moment: a packet of it was lost, and WireGuard tries
// again after 5 seconds only, which is long for packets that are held back.
func (m *Manager) restartSilent(since time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.embedded == nil {
		return nil
	}
	status, err := m.control.Status()
	if err != nil {
		return err
	}
	var silent []wireguard.Key
	for _, p := range status.Peers {
		if len(p.Allowed) > 0 && p.Endpoint.IsValid() && !p.Handshake.After(since) {
			silent = append(silent, p.Key)
		}
	}
	m.embedded.Restart(silent)
	return nil
}

// Run follows the rotations of peers, and begins anew with peers that don't answer, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var looked time.Time
	for {
		if now := time.Now(); now.Sub(looked) >= silentFor/2 {
			looked = now
			if err := m.reviveSilent(now); err != nil {
				m.cfg.Logger.Warn("begin anew with peers", "error", err)
			}
		}
		pause := silentFor / 2
		soon, err := m.followRotations(time.Now())
		switch {
		case err != nil:
			m.cfg.Logger.Warn("follow a peer's new key", "error", err)
		case soon:
			pause = rotationPoll
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-time.After(pause):
		}
	}
}

// followRotations moves the allowed IPs of each peer that has made a handshake with its next key. It reports whether
// others are expected to do so soon.
func (m *Manager) followRotations(now time.Time) (soon bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pending := map[wireguard.Key]fabric.NodeName{}
	for _, t := range m.want.Tunnels {
		if t.Next.Key != (wireguard.Key{}) && m.moved[t.Name] != t.Next.Key {
			pending[t.Next.Key] = t.Name
		}
	}
	if len(pending) == 0 {
		m.awaiting = time.Time{}
		return false, nil
	}
	if m.awaiting.IsZero() {
		m.awaiting = now
	}
	status, err := m.control.Status()
	if err != nil {
		return false, err
	}
	changed := false
	for _, p := range status.Peers {
		if name, ok := pending[p.Key]; ok && !p.Handshake.IsZero() {
			m.moved[name], changed = p.Key, true
			delete(pending, p.Key)
		}
	}
	if changed {
		err = m.control.Configure(m.want.config(m.keys, m.moved))
	}
	return len(pending) > 0 && now.Sub(m.awaiting) < rotationSoon, err
}
