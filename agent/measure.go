package agent

import (
	"context"
	"errors"
	"time"

	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
)

// Measurements are what an agent counts and measures, at one moment: the numbers of its status and its report, for those who
// keep them. Asking for them makes the agent do nothing: what the switch counted is as old as its last reading.
type Measurements struct {
	Node     fabric.NodeName
	Version  string
	Datapath ovs.DatapathType
	OVS      string // Open vSwitch's version; empty while the database hasn't told

	Ready    bool // a workload can be attached
	Problems int
	// Controller says that there is a plan stream, Switch that there is an OpenFlow connection.
	Controller, Switch bool
	// Expires is when the node's certificate does; zero before there is one.
	Expires time.Time

	// Plan is the revision of the plan that the node has, and Enforced the one that a barrier has confirmed; 0: none.
	// PlanConfirmed is when a controller said last that it is the newest.
	Plan, Enforced uint64
	PlanConfirmed  time.Time

	Ports int // attachments
	// Flows are those that the switch has confirmed, Refused those that it refused. ClosedNetworks are closed for that.
	Flows, Refused, ClosedNetworks int
	// Compared is when the switch's flows were last compared with what they should be; zero before.
	Compared time.Time
	// Dropped are the packets that were dropped since the agent's start, by reason, as of the last reading of the switch.
	Dropped map[string]uint64
	// Drifted are the flows and port settings that others have changed since the agent's start, Repaired those of them that are
	// right again. ForeignFlows are flows of others in the fabric's tables.
	Drifted, Repaired uint64
	ForeignFlows      int

	// Tunnels and WireGuard are there where the node has encrypted tunnels; Relayed are the nodes that it reaches over others.
	Tunnels   []MeasuredTunnel
	WireGuard *MeasuredWireGuard
	Relayed   int
}

// MeasuredTunnel is a tunnel as WireGuard and the probes see it.
type MeasuredTunnel struct {
	overlay.TunnelStatus
	// Path is nil where the tunnel isn't probed.
	Path *paths.Path
}

// MeasuredWireGuard is the node's device.
type MeasuredWireGuard struct {
	Implementation string
	KeySince       time.Time
	// Counters is nil for the kernel's device, which doesn't tell.
	Counters *wireguard.Counters
}

// errNoMeasurements says that the loop has too much to do.
var errNoMeasurements = errors.New("the agent doesn't answer in time")

// Measure returns what the agent counts and measures. It fails when ctx ends before the agent answers.
func (a *Agent) Measure(ctx context.Context) (Measurements, error) {
	var want overlay.Want
	m, err := ask(ctx, a, func(s *state) (Measurements, error) {
		want = s.way.want
		return s.measure(time.Now()), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return m, errNoMeasurements
	}
	if err != nil {
		return m, err
	}
	m.Node, m.Version = a.cfg.Node, a.cfg.Version
	if a.cfg.Expires != nil {
		m.Expires = a.cfg.Expires()
	}
	a.measureWay(&m, want)
	return m, nil
}

// measure returns what the loop knows.
func (s *state) measure(now time.Time) Measurements {
	m := Measurements{
		Datapath: s.datapath, OVS: s.ovs.Version, Ready: s.notReady() == "", Problems: len(s.problems()),
		Controller: s.controller == connected, Switch: s.flows.connected, Enforced: s.enforced(),
		Ports: len(s.attachments), Flows: s.flows.count, Refused: len(s.flows.refused), ClosedNetworks: len(s.flows.closed()),
		Compared: s.compared, Dropped: s.flows.dropped.totals(),
		Drifted: s.drift.Seen, Repaired: s.drift.Repaired, ForeignFlows: s.drift.Foreign(), Relayed: len(s.plan.Hops),
	}
	if p := s.planStatus(now); p != nil {
		m.Plan, m.PlanConfirmed = p.Revision, p.Confirmed
	}
	return m
}

// measureWay adds what WireGuard and the probes tell.
func (a *Agent) measureWay(m *Measurements, want overlay.Want) {
	if a.cfg.Overlay == nil || !want.Encrypts() {
		return
	}
	status, err := a.cfg.Overlay.Status()
	if err != nil {
		return // it is among the problems, as the reason why the way can't be made
	}
	m.WireGuard = &MeasuredWireGuard{Implementation: status.Implementation, KeySince: status.KeySince}
	if status.Implementation == overlay.Embedded {
		m.WireGuard.Counters = &status.Counters
	}
	measured := map[fabric.NodeName]paths.Path{}
	if a.cfg.Paths != nil {
		for _, p := range a.cfg.Paths.Paths() {
			measured[p.Name] = p.Path
		}
	}
	for _, t := range status.Tunnels {
		out := MeasuredTunnel{TunnelStatus: t}
		if p, ok := measured[t.Name]; ok {
			out.Path = &p
		}
		m.Tunnels = append(m.Tunnels, out)
	}
}
