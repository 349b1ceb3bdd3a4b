package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/ovs"
)

const (
	// touchInterval is shorter than the time for which Open vSwitch remembers a tunnel peer's MAC address
	// (lib/tnl-neigh-cache.c, 15 minutes), and longer than the kernel's (net.ipv4.neigh.*.base_reachable_time, half a
	// minute): each time the kernel asks again, and Open vSwitch overhears the answer.
	touchInterval = time.Minute
	touchTimeout  = time.Second
	touchRetry    = 100 * time.Millisecond // while the node has no tunnel address, as after a restart of vswitchd
	discardPort   = 9                      // RFC 863
)

// Touch sends one empty datagram to a tunnel peer, for nothing but the neighbour discovery that goes before it.
//
// The userspace datapath looks up a peer's MAC address itself, and drops packets to a peer until it knows it: about a
// second of every first conversation.
func Touch(ctx context.Context, from, to netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(to, discardPort).String())
	if err != nil {
		return fmt.Errorf("touch peer %s: %w", to, err)
	}
	_, err = c.Write(nil)
	return errors.Join(err, c.Close())
}

// touchLoop touches each peer when it enters the plan, and from time to time. Peers that can't be touched are
// none of its business.
func (a *Agent) touchLoop(ctx context.Context) {
	if a.cfg.Touch == nil {
		return
	}
	var t touched
	for {
		var vtep netip.Addr
		now, err := ask(ctx, a, func(s *state) (touched, error) {
			vtep = s.vtep(a.cfg.VTEP)
			n := touched{session: s.flows.sessions, at: map[netip.Addr]time.Time{}}
			for _, p := range s.peersToTouch() {
				n.at[p] = t.last(p, n.session)
			}
			return n, nil
		})
		if err != nil {
			return
		}
		pause := touchInterval
		for _, p := range slices.SortedFunc(maps.Keys(now.at), netip.Addr.Compare) {
			if time.Since(now.at[p]) < touchInterval {
				continue
			}
			if err := a.cfg.Touch(ctx, vtep, p); err != nil {
				a.cfg.Logger.Debug("peer", "error", err)
				pause = touchRetry
				continue
			}
			now.at[p] = time.Now()
		}
		t = now
		err = a.waitFor(ctx, wait{For: "other peers", Timeout: pause, Condition: func(s *state) (bool, error) {
			return s.flows.sessions != t.session || slices.ContainsFunc(s.peersToTouch(), func(p netip.Addr) bool { _, ok := t.at[p]; return !ok }), nil
		}})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
}

// touched says when peers were touched last in a session with the switch: a switch that has restarted knows none.
type touched struct {
	session uint64
	at      map[netip.Addr]time.Time
}

// last returns when a peer was touched in a session; the zero time when it wasn't.
func (t touched) last(p netip.Addr, session uint64) time.Time {
	if t.session != session {
		return time.Time{}
	}
	return t.at[p]
}

// peersToTouch returns the peers that the switch must know by itself: only the userspace datapath does.
func (s *state) peersToTouch() []netip.Addr {
	if s.datapath != ovs.Netdev {
		return nil
	}
	return s.peers()
}

// peers returns the tunnel addresses of the plan's peers.
func (s *state) peers() []netip.Addr {
	out := make([]netip.Addr, len(s.plan.Peers))
	for i, p := range s.plan.Peers {
		out[i] = p.VTEP
	}
	return out
}
