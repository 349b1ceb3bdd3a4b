package overlay

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// vxlanOverhead is what VXLAN adds to a workload's packet: Ethernet 14, VXLAN 8, UDP 8, IPv4 20 (RFC 7348, section 5).
const vxlanOverhead = 14 + 8 + 8 + 20

// Want is how the node's encrypted way has to be. The zero value: there is none.
type Want struct {
	// Kernel says that the kernel forwards packets, not vswitchd.
	Kernel bool
	// Link has no VTEP where nothing is encrypted.
	Link wireguard.Link
	Port uint16
	// VXLANPort is the port of the tunnel packets inside.
	VXLANPort uint16
	Tunnels   []Tunnel // in the order of their names
}

// Tunnel is a WireGuard peer by its node's name.
type Tunnel struct {
	Name fabric.NodeName
	Peer wireguard.Peer
	// Next is the peer under the key that it is about to use; without allowed IPs, and zero outside of rotations.
	Next wireguard.Peer
	// Probe is the address at which the peer answers probes, and MTU the largest packet that the tunnel should carry.
	Probe netip.Addr
	MTU   int
}

// Of returns what a plan asks for. ownPort is the port that the node's configuration names; 0 takes the plan's.
func Of(n *plan.Node, kernel bool, ownPort uint16) Want {
	e := n.Settings.Encryption
	if !e.WireGuard || !n.Settings.VTEP.Is4() || !e.VTEPs.Contains(n.Settings.VTEP) {
		return Want{Kernel: kernel}
	}
	w := Want{
		Kernel: kernel, Port: e.Port, VXLANPort: n.Settings.VXLANPort,
		Link: wireguard.Link{VTEP: n.Settings.VTEP, Probe: e.Probe, VTEPs: e.VTEPs, MTU: n.Settings.WorkloadMTU + vxlanOverhead, Relay: e.Relay},
	}
	if ownPort != 0 {
		w.Port = ownPort
	}
	allowed := n.Allowed()
	for _, t := range n.Tunnels {
		out := Tunnel{Name: t.Name, Probe: t.Probe, MTU: w.Link.MTU, Peer: peer(t.End, t)}
		if t.MTU > 0 {
			out.MTU = min(t.MTU, out.MTU)
		}
		out.Peer.Allowed = allowed[t.Name]
		if !t.Next.Key.IsZero() {
			out.Next = peer(t.Next, t)
		}
		w.Tunnels = append(w.Tunnels, out)
	}
	return w
}

func peer(end plan.TunnelEnd, t plan.Tunnel) wireguard.Peer {
	return wireguard.Peer{Key: wireguard.Key(end.Key), Endpoint: end.Endpoint, Keepalive: time.Duration(t.Keepalive) * time.Second}
}

// Encrypts reports whether there is a way at all.
func (w Want) Encrypts() bool { return w.Link.VTEP.IsValid() }

// SameLink reports whether two wishes differ in their peers at most.
func (w Want) SameLink(o Want) bool {
	return w.Kernel == o.Kernel && w.Link == o.Link && w.Port == o.Port && w.VXLANPort == o.VXLANPort
}

// Equal reports whether two wishes are the same.
func (w Want) Equal(o Want) bool { return reflect.DeepEqual(w, o) }

// Targets returns what has to be measured: each tunnel by its own probe address.
func (w Want) Targets() []paths.Target {
	var out []paths.Target
	for _, t := range w.Tunnels {
		if t.Probe.IsValid() {
			out = append(out, paths.Target{Name: t.Name, Address: t.Probe, MTU: t.MTU})
		}
	}
	return out
}

// waits gives each VTEP the probe address of the node through which it is reached.
func (w Want) waits() map[netip.Addr]netip.Addr {
	out := map[netip.Addr]netip.Addr{}
	for _, t := range w.Tunnels {
		for _, p := range t.Peer.Allowed {
			if t.Probe.IsValid() && p.IsSingleIP() && p.Addr() != t.Probe {
				out[p.Addr()] = t.Probe
			}
		}
	}
	return out
}

// config returns the device's configuration; moved are the tunnels whose other end has begun to use its next key.
func (w Want) config(keys wireguard.Keys, moved map[fabric.NodeName]wireguard.Key) wireguard.Config {
	c := wireguard.Config{Private: keys.Current, Port: w.Port}
	for _, t := range w.Tunnels {
		now, next := t.Peer, t.Next
		if next.Key != (wireguard.Key{}) {
			if moved[t.Name] == next.Key {
				now.Allowed, next.Allowed = nil, now.Allowed
				now.Keepalive = 0
			} else {
				next.Keepalive = 0 // it would try for a session that nobody can answer yet
			}
			c.Peers = append(c.Peers, next)
		}
		c.Peers = append(c.Peers, now)
	}
	return c
}
