package agent

import (
	"context"
	"errors"
	"fmt"
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
	discardPort   = 9 // RFC 863
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
	known := map[netip.Addr]time.Time{}
	for {
		peers, err := ask(ctx, a, func(s *state) ([]netip.Addr, error) {
			if s.datapath != ovs.Netdev {
				return nil, nil
			}
			return s.peers(), nil
		})
		if err != nil {
			return
		}
		next := map[netip.Addr]time.Time{}
		for _, p := range peers {
			if last, ok := known[p]; ok && time.Since(last) < touchInterval {
				next[p] = last
				continue
			}
			if err := a.cfg.Touch(ctx, a.cfg.VTEP, p); err != nil {
				a.cfg.Logger.Debug("peer", "error", err)
			}
			next[p] = time.Now()
		}
		known = next
		err = a.waitFor(ctx, wait{For: "other peers", Timeout: touchInterval, Condition: func(s *state) (bool, error) {
			return s.datapath == ovs.Netdev && slices.ContainsFunc(s.peers(), func(p netip.Addr) bool { _, ok := next[p]; return !ok }), nil
		}})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
}

// peers returns the tunnel addresses of the plan's peers.
func (s *state) peers() []netip.Addr {
	out := make([]netip.Addr, len(s.plan.Peers))
	for i, p := range s.plan.Peers {
		out[i] = p.VTEP
	}
	return out
}
