package metrics

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/scrape"
)

type (
	measured = agent.Measurements
	metric   = scrape.Metric[agent.Measurements]
)

// Table returns the agent's metrics.
func Table() scrape.Table[agent.Measurements] { return slices.Concat(node(), tunnels()) }

// node are the metrics of which a node has one, or a fixed number.
func node() scrape.Table[agent.Measurements] {
	return scrape.Table[agent.Measurements]{
		{Name: "weft_agent_info", Help: "What runs on the node: always 1.", Kind: scrape.Gauge, Labels: []string{"node", "version", "datapath", "ovs_version", "wireguard"},
			Values: func(m measured, put scrape.Put) {
				wireguard := ""
				if m.WireGuard != nil {
					wireguard = m.WireGuard.Implementation
				}
				put(1, string(m.Node), m.Version, string(m.Datapath), m.OVS, wireguard)
			}},
		holds("weft_agent_ready", "Whether a workload can be attached now; weft status on the node says why not.", func(m measured) bool { return m.Ready }),
		holds("weft_agent_controller_connected", "Whether the node follows its plan at a controller.", func(m measured) bool { return m.Controller }),
		holds("weft_agent_switch_connected", "Whether the agent has its OpenFlow connection to the switch.", func(m measured) bool { return m.Switch }),
		gauge("weft_agent_problems", "Problems that the node reports, at most 100; weft status tells them.", func(m measured) float64 { return float64(m.Problems) }),
		gauge("weft_agent_plan_revision", "Revision of the newest plan that the node has; 0 without one.", func(m measured) float64 { return float64(m.Plan) }),
		gauge("weft_agent_enforced_revision", "Revision of the plan that the switch, and the encrypted tunnels, act on as confirmed by a barrier; 0 before the first.", func(m measured) float64 { return float64(m.Enforced) }),
		{Name: "weft_agent_plan_confirmed_timestamp_seconds", Help: "When a controller said last that the node's plan is the newest: now, while it is connected.", Kind: scrape.Gauge,
			Values: func(m measured, put scrape.Put) {
				if !m.PlanConfirmed.IsZero() {
					put(scrape.Time(m.PlanConfirmed))
				}
			}},
		{Name: "weft_agent_certificate_expiry_timestamp_seconds", Help: "When the node's certificate expires. It is renewed long before, unless no controller can be reached.", Kind: scrape.Gauge,
			Values: func(m measured, put scrape.Put) {
				if !m.Expires.IsZero() {
					put(scrape.Time(m.Expires))
				}
			}},
		gauge("weft_agent_ports", "Attached workloads' interfaces.", func(m measured) float64 { return float64(m.Ports) }),
		gauge("weft_agent_flows", "Flows that the switch has confirmed.", func(m measured) float64 { return float64(m.Flows) }),
		gauge("weft_agent_refused_flows", "Flows that the switch refuses.", func(m measured) float64 { return float64(m.Refused) }),
		gauge("weft_agent_closed_networks", "Networks that are closed on the node because the switch refuses a flow of their policy.", func(m measured) float64 { return float64(m.ClosedNetworks) }),
		{Name: "weft_agent_compared_timestamp_seconds", Help: "When the switch's flows were last compared with what they should be.", Kind: scrape.Gauge,
			Values: func(m measured, put scrape.Put) {
				if !m.Compared.IsZero() {
					put(scrape.Time(m.Compared))
				}
			}},
		{Name: "weft_agent_dropped_packets_total", Help: "Packets dropped on the node since the agent's start, by reason, as of the last comparison with the switch.", Kind: scrape.Counter, Labels: []string{"reason"},
			Values: func(m measured, put scrape.Put) {
				for _, reason := range slices.Sorted(maps.Keys(m.Dropped)) {
					put(float64(m.Dropped[reason]), reason)
				}
			}},
		counter("weft_agent_drifted_flows_total", "Flows and port settings of the fabric that somebody else has changed.", func(m measured) float64 { return float64(m.Drifted) }),
		counter("weft_agent_repaired_flows_total", "Changed flows and port settings of the fabric that were put right again.", func(m measured) float64 { return float64(m.Repaired) }),
		gauge("weft_agent_foreign_flows", "Flows of somebody else in the fabric's tables, at most 50.", func(m measured) float64 { return float64(m.ForeignFlows) }),
		gauge("weft_agent_relayed_nodes", "Nodes that this one reaches over others.", func(m measured) float64 { return float64(m.Relayed) }),
	}
}

func gauge(name, help string, value func(measured) float64) metric {
	return metric{Name: name, Help: help, Kind: scrape.Gauge, Values: func(m measured, put scrape.Put) { put(value(m)) }}
}

func counter(name, help string, value func(measured) float64) metric {
	return metric{Name: name, Help: help, Kind: scrape.Counter, Values: func(m measured, put scrape.Put) { put(value(m)) }}
}

func holds(name, help string, value func(measured) bool) metric {
	return gauge(name, help, func(m measured) float64 { return scrape.Bool(value(m)) })
}
