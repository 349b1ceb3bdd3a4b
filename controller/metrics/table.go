package metrics

import (
	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/scrape"
)

type (
	measured = controller.Measurements
	metric   = scrape.Metric[controller.Measurements]
)

// Table returns the controller's metrics.
func Table() scrape.Table[controller.Measurements] {
	return scrape.Table[controller.Measurements]{
		{Name: "weft_controller_info", Help: "Which controller it is: always 1.", Kind: scrape.Gauge, Labels: []string{"name", "version"},
			Values: func(m measured, put scrape.Put) { put(1, m.Name, m.Version) }},
		gauge("weft_controller_revision", "Revision of the store.", func(m measured) float64 { return float64(m.Revision) }),
		gauge("weft_controller_planned_revision", "Revision that the nodes' plans are computed for.", func(m measured) float64 { return float64(m.Planned) }),
		gauge("weft_controller_objects", "Declared objects.", func(m measured) float64 { return float64(m.Objects) }),
		{Name: "weft_controller_nodes", Help: "Registered nodes, by whether their agent is connected to any controller.", Kind: scrape.Gauge, Labels: []string{"state"},
			Values: func(m measured, put scrape.Put) {
				put(float64(m.Nodes.Connected), "connected")
				put(float64(m.Nodes.Disconnected), "disconnected")
			}},
		gauge("weft_controller_drained_nodes", "Nodes that take no further workloads: weft node drain.", func(m measured) float64 { return float64(m.Nodes.Drained) }),
		gauge("weft_controller_nodes_behind", "Connected nodes whose switch hasn't confirmed their newest plan.", func(m measured) float64 { return float64(m.Nodes.Behind) }),
		gauge("weft_controller_failed_links", "Tunnels between nodes that count as failed, so that traffic is led around them.", func(m measured) float64 { return float64(m.FailedLinks) }),
		gauge("weft_controller_relayed_pairs", "Pairs of nodes that reach each other over other nodes, by intent or because of failed links.", func(m measured) float64 { return float64(m.Nodes.Relayed) }),
		gauge("weft_controller_plan_streams", "Nodes that follow their plan at this controller.", func(m measured) float64 { return float64(m.Streams) }),
		{Name: "weft_controller_changes_total", Help: "Applies and deletions that users asked this controller for: made, refused because of problems in what was declared, or failed.", Kind: scrape.Counter, Labels: []string{"outcome"},
			Values: func(m measured, put scrape.Put) {
				put(float64(m.Changes.Failed), "failed")
				put(float64(m.Changes.Made), "made")
				put(float64(m.Changes.Refused), "refused")
			}},
		counter("weft_controller_compiles_total", "Changes of the store that this controller has compiled to plans.", func(m measured) float64 { return float64(m.Compiles) }),
		counter("weft_controller_compile_seconds_total", "Time spent on compiling changes of the store to plans.", func(m measured) float64 { return m.Compiling.Seconds() }),
		counter("weft_controller_changed_plans_total", "Nodes' plans that came out different, summed over all compiles.", func(m measured) float64 { return float64(m.ChangedPlans) }),
		gauge("weft_controller_ca_expiry_timestamp_seconds", "When the certificate of the fabric's certificate authority expires.", func(m measured) float64 { return scrape.Time(m.CAExpires) }),
		gauge("weft_controller_etcd_connected", "Whether etcd answers this controller. Without it for 6 s the controller sends its nodes away.", func(m measured) float64 { return scrape.Bool(m.Contact) }),
		gauge("weft_controller_etcd_answered_timestamp_seconds", "When a majority of etcd answered last; it is asked every second.", func(m measured) float64 { return scrape.Time(m.Answered) }),
	}
}

// OfEtcd returns the names of those of the embedded etcd's own metrics that are told too: how fast its disk is, and how full.
func OfEtcd() []string {
	return []string{
		"etcd_disk_backend_commit_duration_seconds", "etcd_disk_wal_fsync_duration_seconds",
		"etcd_mvcc_db_total_size_in_bytes", "etcd_server_quota_backend_bytes",
	}
}

func gauge(name, help string, value func(measured) float64) metric {
	return metric{Name: name, Help: help, Kind: scrape.Gauge, Values: func(m measured, put scrape.Put) { put(value(m)) }}
}

func counter(name, help string, value func(measured) float64) metric {
	return metric{Name: name, Help: help, Kind: scrape.Counter, Values: func(m measured, put scrape.Put) { put(value(m)) }}
}
