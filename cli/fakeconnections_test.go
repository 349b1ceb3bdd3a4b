package cli_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Hits tells two nodes' counts; n3 doesn't answer.
func (f fakeObserve) Hits(_ context.Context, req *connect.Request[weftv1.HitsRequest], stream *connect.ServerStream[weftv1.HitsResponse]) error {
	rule := func(id uint32, policy, name string, line int32, hits uint64, ago time.Duration) *weftv1.RuleHits {
		r := &weftv1.RuleHits{
			Id: id, Direction: uint32(firewall.Ingress), Action: uint32(firewall.Allow), Hits: hits, Networks: []string{"acme/prod"},
			Origin: &weftv1.RuleOrigin{Policy: policy, Rule: name, Line: line},
		}
		if line > 0 {
			r.Origin.File = "acme.yaml"
		} else {
			r.Action = uint32(firewall.Deny)
		}
		if hits > 0 {
			r.Last = timestamppb.New(fakeNow.Add(-ago))
		}
		return r
	}
	rules := func(times uint64, ago time.Duration) *weftv1.HitsPart {
		return &weftv1.HitsPart{Rules: []*weftv1.RuleHits{
			rule(7, "FirewallPolicy acme/web-in", "http", 14, 3*times, ago), rule(8, "FirewallPolicy acme/web-in", "ingress[1]", 18, 0, 0),
			rule(9, "FirewallPolicies of Network acme/prod", "default", 0, times, ago),
		}}
	}
	for _, res := range []*weftv1.HitsResponse{
		{Node: "n1", Part: rules(1, time.Minute)}, {Node: "n2", Part: rules(2, time.Hour)}, {Node: "n1", Last: true}, {Node: "n2", Last: true},
		{Node: "n3", Last: true, Error: "it is not connected"},
	} {
		if names := req.Msg.GetNodes(); len(names) > 0 && !slices.Contains(names, res.GetNode()) {
			continue
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
	return nil
}

// FlowLog tells three records of two nodes, the later one first, as far as the question's time goes.
func (f fakeObserve) FlowLog(_ context.Context, req *connect.Request[weftv1.FlowLogRequest], stream *connect.ServerStream[weftv1.FlowLogResponse]) error {
	q := req.Msg.GetQuestion()
	end := func(addr string, port uint16, workload string) *flowlog.End {
		return &flowlog.End{Address: netip.MustParseAddr(addr), Port: port, Network: "acme/prod", Identity: 0x101, Labels: fabric.Labels{"app": "web"}, Workload: workload}
	}
	web := &flowlog.Rule{ID: 7, Policy: "FirewallPolicy acme/web-in", Name: "http", Action: "allow", File: "acme.yaml", Line: 14}
	for _, r := range []flowlog.Record{
		{Time: fakeNow.Add(-time.Minute), Node: "n2", Verdict: "deny", Reason: "posture-deny", Protocol: "icmp", ICMP: &flowlog.ICMP{Type: 8}, Src: end("10.0.1.5", 0, ""), Dst: end("10.0.1.6", 0, "db-1"), Repeated: 4},
		{Time: fakeNow.Add(-30 * time.Second), Node: "n2", Limited: map[string]uint64{"switch": 20, "agent": 3}},
		{Time: fakeNow.Add(-2 * time.Minute), Node: "n1", Verdict: "allow", Rule: web, Direction: "ingress", Protocol: "tcp", Src: end("10.0.1.5", 40000, "web-1"), Dst: end("fd00::6", 80, "")},
		{Time: fakeNow.Add(-2 * time.Hour), Node: "n1", Verdict: "allow", Rule: web, Direction: "ingress", Protocol: "udp", Src: end("10.0.1.5", 40000, ""), Dst: end("10.0.1.6", 53, "")},
	} {
		if r.Time.Before(q.GetSince().AsTime()) || q.GetVerdict() != "" && q.GetVerdict() != r.Verdict {
			continue
		}
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := stream.Send(&weftv1.FlowLogResponse{Node: r.Node, Part: &weftv1.FlowLogPart{Records: []string{string(text)}}}); err != nil {
			return err
		}
	}
	for _, res := range []*weftv1.FlowLogResponse{
		{Node: "n1", Part: &weftv1.FlowLogPart{Missed: 1, Damaged: 2}}, {Node: "n1", Last: true}, {Node: "n2", Last: true}, {Node: "n3", Last: true, Error: "it is not connected"},
	} {
		if err := stream.Send(res); err != nil {
			return err
		}
	}
	return nil
}

// Cuts tells of nodes that have cut some.
func (f fakeObserve) Cuts(_ context.Context, req *connect.Request[weftv1.CutsRequest], stream *connect.ServerStream[weftv1.CutsResponse]) error {
	for i, n := range req.Msg.GetNodes() {
		res := &weftv1.CutsResponse{Node: n, Last: true, Part: &weftv1.CutsPart{Connections: uint64(2 + i)}}
		if n == "n3" {
			res = &weftv1.CutsResponse{Node: n, Last: true, Error: "it is not connected"}
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
	return nil
}
