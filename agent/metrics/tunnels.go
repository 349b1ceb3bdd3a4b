package metrics

import (
	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/scrape"
)

// tunnels are the metrics of a node's encrypted tunnels, by the node at the other end, and of the device that has them. What
// isn't known is absent: a round trip of 0 would be a very good one.
func tunnels() scrape.Table[agent.Measurements] {
	return scrape.Table[agent.Measurements]{
		ofPath("weft_tunnel_up", "Whether packets get through the tunnel; absent until that is known.", scrape.Gauge, func(p paths.Path, put func(float64)) {
			if p.Measured || !p.Up {
				put(scrape.Bool(p.Up))
			}
		}),
		ofPath("weft_tunnel_probes_total", "Probes that were answered or given up.", scrape.Counter, func(p paths.Path, put func(float64)) { put(float64(p.Judged)) }),
		ofPath("weft_tunnel_lost_probes_total", "Probes that were given up: no answer came within half a second.", scrape.Counter, func(p paths.Path, put func(float64)) { put(float64(p.Missed)) }),
		ofPath("weft_tunnel_falls_total", "How often the tunnel went down.", scrape.Counter, func(p paths.Path, put func(float64)) { put(float64(p.Falls)) }),
		ofPath("weft_tunnel_rtt_seconds", "Round trip of the probes, smoothed; absent until the first answer.", scrape.Gauge, func(p paths.Path, put func(float64)) {
			if p.Measured {
				put(p.RTT.Seconds())
			}
		}),
		ofPath("weft_tunnel_mtu_bytes", "The largest packet that is known to get through the tunnel; absent while none is known.", scrape.Gauge, func(p paths.Path, put func(float64)) {
			if p.MTU > 0 {
				put(float64(p.MTU))
			}
		}),
		ofPath("weft_tunnel_narrow", "Whether the tunnel is known to carry less than its plan says, because the underlay does; absent while its size isn't known.", scrape.Gauge, func(p paths.Path, put func(float64)) {
			if p.MTU > 0 || p.Narrow {
				put(scrape.Bool(p.Narrow))
			}
		}),
		ofTunnel("weft_tunnel_sent_bytes_total", "Bytes sent to the other node, as WireGuard counts them.", scrape.Counter, func(t agent.MeasuredTunnel, put func(float64)) { put(float64(t.Sent)) }),
		ofTunnel("weft_tunnel_received_bytes_total", "Bytes received from the other node, as WireGuard counts them.", scrape.Counter, func(t agent.MeasuredTunnel, put func(float64)) { put(float64(t.Received)) }),
		ofTunnel("weft_tunnel_last_handshake_timestamp_seconds", "When the tunnel's keys were last agreed; absent before the first time. A tunnel whose last handshake is older than 180 s carries nothing.", scrape.Gauge, func(t agent.MeasuredTunnel, put func(float64)) {
			if !t.Handshake.IsZero() {
				put(scrape.Time(t.Handshake))
			}
		}),
		{Name: "weft_wireguard_key_timestamp_seconds", Help: "When the node's WireGuard key was made.", Kind: scrape.Gauge,
			Values: func(m measured, put scrape.Put) {
				if m.WireGuard != nil && !m.WireGuard.KeySince.IsZero() {
					put(scrape.Time(m.WireGuard.KeySince))
				}
			}},
		{Name: "weft_wireguard_relayed_packets_total", Help: "Packets forwarded from one tunnel to another. The kernel's WireGuard doesn't count them.", Kind: scrape.Counter,
			Values: func(m measured, put scrape.Put) {
				if c := counters(m); c != nil {
					put(float64(c.Relayed))
				}
			}},
		{Name: "weft_wireguard_dropped_packets_total", Help: "Packets that came through a tunnel, or were to be sent into one, and were dropped: expired, their TTL was used up; full, the queue was; foreign, they were neither from nor to a tunnel address, or not for this node. The kernel's WireGuard doesn't count them.", Kind: scrape.Counter, Labels: []string{"reason"},
			Values: func(m measured, put scrape.Put) {
				if c := counters(m); c != nil {
					put(float64(c.Expired), "expired")
					put(float64(c.Foreign), "foreign")
					put(float64(c.Full), "full")
				}
			}},
	}
}

func counters(m measured) *wireguard.Counters {
	if m.WireGuard == nil {
		return nil
	}
	return m.WireGuard.Counters
}

func ofTunnel(name, help string, kind scrape.Kind, values func(agent.MeasuredTunnel, func(float64))) metric {
	return metric{Name: name, Help: help, Kind: kind, Labels: []string{"peer"}, Values: func(m measured, put scrape.Put) {
		for _, t := range m.Tunnels {
			values(t, func(v float64) { put(v, string(t.Name)) })
		}
	}}
}

func ofPath(name, help string, kind scrape.Kind, values func(paths.Path, func(float64))) metric {
	return ofTunnel(name, help, kind, func(t agent.MeasuredTunnel, put func(float64)) {
		if t.Path != nil {
			values(*t.Path, put)
		}
	})
}
