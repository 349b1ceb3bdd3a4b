package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// wantReport asks for a report soon.
func (a *Agent) wantReport() { signal(a.reports) }

// reportPause follows each report, so that many changes in a row don't make many reports.
const reportPause = 100 * time.Millisecond

// reportLoop tells the controller what the node enforces: at once when that changes, and from time to time.
func (a *Agent) reportLoop(ctx context.Context) {
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	var last sent
	for {
		periodic := false
		select {
		case <-ctx.Done():
			return
		case <-a.reports:
		case <-ticker.C:
			periodic = true
		}
		next, err := a.sendReport(ctx, last, periodic)
		if err != nil && ctx.Err() == nil {
			a.cfg.Logger.Debug("report", "error", err)
			next = sent{} // the next one tells everything
		}
		last = next
		select {
		case <-ctx.Done():
			return
		case <-time.After(reportPause):
		}
	}
}

// sent is what the controller was told last.
type sent struct {
	revision uint64
	report   *weftv1.NodeReport
}

// sendReport sends a report if it tells something new, or if it is due, and returns what the controller knows then.
func (a *Agent) sendReport(ctx context.Context, last sent, due bool) (sent, error) {
	ctx, cancel := context.WithTimeout(ctx, controllerTimeout)
	defer cancel()
	var tunnels overlay.Want
	now, err := ask(ctx, a, func(s *state) (sent, error) {
		if s.controller != connected {
			return sent{}, errors.New(s.controller)
		}
		tunnels = s.way.want
		return sent{s.enforced(), s.report(a.cfg.Version)}, nil
	})
	if err != nil {
		return sent{}, err
	}
	now.report.Wireguard = a.wireguardReport(tunnels)
	now.report.Problems = append(now.report.Problems, tunnelProblems(now.report.Wireguard)...)
	now.report.Clients = a.clientReport()
	request := &weftv1.ReportRequest{EnforcedRevision: now.revision, Report: now.report}
	if last.report != nil && proto.Equal(last.report, now.report) {
		if now.revision == last.revision && !due {
			return last, nil
		}
		request.Report = nil
	}
	return now, a.cfg.Controller.Report(ctx, request)
}

// report is what the node says of itself.
func (s *state) report(version string) *weftv1.NodeReport {
	r := &weftv1.NodeReport{
		Version: version, Datapath: string(s.datapath), OvsVersion: s.ovs.Version, Flows: uint32(s.flows.count),
		Drops: maps.Clone(s.flows.drops), Problems: s.problems(), Questions: maps.Clone(s.flows.questions),
	}
	for _, at := range s.all() {
		p, problem := s.resolve(at)
		if _, ok := s.attachments[at.Interface]; !ok || problem != "" {
			continue
		}
		out := &weftv1.Attachment{
			Interface: at.Interface, Network: s.index.refs[p.Network].String(), Workload: at.Name, Mac: p.MAC.String(),
			Identity: uint32(p.Identity), Labels: at.Labels,
		}
		if !at.Port.IsZero() {
			out.Port, out.Labels = at.Port.String(), s.index.labels[p.Identity]
		}
		for _, addr := range p.Addresses {
			out.Addresses = append(out.Addresses, addr.String())
		}
		r.Attachments = append(r.Attachments, out)
	}
	return r
}

// problems returns what is not as it should be, for people.
func (s *state) problems() []string {
	out := slices.Concat(s.planProblems(), s.closedProblems(), s.jobProblems(), s.flows.refusals())
	for _, a := range s.flows.alien {
		out = append(out, "removed a flow with the fabric's cookie that nobody of the fabric wrote: "+a)
	}
	out = append(out, s.driftProblems(time.Now())...)
	if s.ovsProblem != "" {
		out = append(out, s.ovsProblem)
	}
	out = append(out, s.lostProblems()...)
	if s.way.problem != "" {
		out = append(out, s.way.problem)
	}
	for _, p := range []string{s.hitsProblem, s.cuts.problem, s.clientProblem} {
		if p != "" {
			out = append(out, p)
		}
	}
	if !s.flows.connected {
		out = append(out, "OpenFlow: "+s.flows.problem)
	}
	for _, name := range slices.Sorted(maps.Keys(s.damaged)) {
		out = append(out, s.damaged[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.bindRefusals)) {
		out = append(out, fmt.Sprintf("interface %s is not bound: %s", name, s.bindRefusals[name].reason))
	}
	for _, i := range s.ovs.Interfaces {
		if i.Error != "" {
			out = append(out, fmt.Sprintf("interface %s: Open vSwitch: %s", i.Name, i.Error))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.goneSince)) {
		out = append(out, fmt.Sprintf("interface %s: its link is gone; its port is removed after a minute", name))
	}
	if s.havePlan {
		for _, at := range s.all() {
			if _, problem := s.resolve(at); problem != "" {
				out = append(out, fmt.Sprintf("interface %s: %s", at.Interface, problem))
			}
		}
	}
	return out[:min(len(out), maxProblems)]
}

// status is the agent's state, for people and for the plugin's STATUS.
func (s *state) status(node fabric.NodeName, version string) *cniwire.AgentStatus {
	reason := s.notReady()
	return &cniwire.AgentStatus{
		Plan: s.planStatus(time.Now()), Problems: s.problems(),
		Node: string(node), Version: version, Ready: reason == "", Reason: reason, Datapath: string(s.datapath),
		Controller: s.controller, Revision: s.flows.revision, Attachments: len(s.attachments), Flows: s.flows.count,
		Drops: maps.Clone(s.flows.drops), Questions: maps.Clone(s.flows.questions),
	}
}

// notReady says why no workload can be attached now; empty when one can.
func (s *state) notReady() string {
	tunnel, ok := s.ovs.Interface(tunnelPort)
	switch {
	case s.ovsProblem != "":
		return s.ovsProblem
	case !s.ovsSeen:
		return "Open vSwitch's database has not answered yet"
	case !s.bridgeReady:
		return "the integration bridge is being made"
	case !s.flows.connected:
		return "no OpenFlow connection to the bridge: " + s.flows.problem
	case !s.havePlan:
		return "no plan yet; controller: " + s.controller
	case ok && tunnel.Error != "":
		return "the tunnel port doesn't work: " + tunnel.Error
	case !ok || tunnel.OFPort == 0:
		return "the tunnel port is being made"
	case len(s.flows.enforced) == 0 && s.flows.count == 0:
		return "the flows are being installed"
	}
	return ""
}
