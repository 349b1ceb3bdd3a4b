package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/compile/compiletest"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// TestAuditVerify verifies a node of an example from files, as they are and with a flow missing.
func TestAuditVerify(t *testing.T) {
	world := compiletest.Example(t, "../examples/three-tier", 3)
	n := compile.Plans(world.State)["n1"]
	in := pipeline.Input{Plan: n, TunnelPort: 1}
	type row [3]any
	rows := []row{{"weft-vxlan", 1, []any{"map", [][2]string{}}}, {"br-int", 65534, []any{"map", [][2]string{}}}, {"spare", []any{"set", []int{}}, []any{"map", [][2]string{}}}}
	for _, w := range world.Workloads {
		if w.Node != "n1" {
			continue
		}
		port := uint32(len(in.Attachments) + 2)
		in.Attachments = append(in.Attachments, pipeline.Attachment{
			Interface: w.Name, OFPort: port, Network: world.State.Networks[w.Network].ID, Identity: w.Identity, MAC: w.MAC, Addresses: w.Addresses})
		labels := ""
		for _, i := range n.Identities {
			if i.ID == w.Identity {
				labels = i.Labels.String()
			}
		}
		var addrs []string
		for _, a := range w.Addresses {
			addrs = append(addrs, a.String())
		}
		rows = append(rows, row{w.Name, port, []any{"map", [][2]string{
			{"weft-kind", "container"}, {"attached-mac", w.MAC.String()}, {"weft-network", w.Network.String()}, {"weft-labels", labels}, {"weft-addresses", strings.Join(addrs, ",")}}}})
	}
	if len(in.Attachments) == 0 {
		t.Fatal("no workloads on n1")
	}
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ports, err := json.Marshal(map[string]any{"headings": []string{"name", "ofport", "external_ids"}, "data": rows})
	if err != nil {
		t.Fatal(err)
	}
	dumped := func(f openflow.Flow) string { return " duration=1.5s, n_packets=3, n_bytes=294, " + f.String() + "\n" }
	var all, fewer, asking strings.Builder
	for _, f := range pipeline.Render(in) {
		line := dumped(f)
		all.WriteString(line)
		if f.Table != uint8(pipeline.TableSource) {
			fewer.WriteString(line)
		}
	}
	in.AgentND = true
	for _, f := range pipeline.Render(in) {
		asking.WriteString(dumped(f))
	}
	args := []string{"audit", "verify", "--plan", write("plan", planwire.MarshalSnapshot(7, n)), "--ports", write("ports", ports), "--flows"}
	for _, tt := range []struct {
		name, flows, datapath, want string
		code                        cli.ExitCode
	}{
		{"good", "OFPST_FLOW reply (OF1.5) (xid=0x2):\n" + all.String(), "netdev", "node n1: proved: ", cli.ExitOK},
		{"kernel", asking.String(), "system", "node n1: proved: ", cli.ExitOK},
		{"kernel, answered in the switch", all.String(), "system", "handed to the agent for an answer by ND\n  packet: ", cli.ExitRefused},
		{"without Source", fewer.String(), "", "should be: classified and routed\n  packet: ", cli.ExitRefused},
		{"unreadable", all.String() + "table=0,actions=learn(table=1)\n", "", "", cli.ExitRefused},
		{"no such datapath", all.String(), "ebpf", "", cli.ExitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			env := cli.Env{Stdout: &out, Stderr: &errs, Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }}
			code := cli.Run(context.Background(), env, append(args, write("flows", []byte(tt.flows)), "--datapath", tt.datapath))
			if code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, tt.code, tt.want, &out, &errs)
			}
		})
	}
}

// observed is a controller whose nodes answer as they are told to.
type observed struct {
	weftv1connect.UnimplementedIntentServiceHandler
	weftv1connect.UnimplementedObserveServiceHandler
	answers map[string][]*weftv1.InspectResponse
	asked   int
}

func (o *observed) ListNodes(context.Context, *connect.Request[weftv1.ListNodesRequest]) (*connect.Response[weftv1.ListNodesResponse], error) {
	res := &weftv1.ListNodesResponse{}
	for n := range o.answers {
		res.Nodes = append(res.Nodes, &weftv1.NodeInfo{Name: n})
	}
	return connect.NewResponse(res), nil
}

func (o *observed) Inspect(_ context.Context, req *connect.Request[weftv1.InspectRequest], stream *connect.ServerStream[weftv1.InspectResponse]) error {
	o.asked++
	for _, n := range req.Msg.Nodes {
		for _, m := range o.answers[n] {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// Trace drops everything.
func (o *observed) Trace(_ context.Context, req *connect.Request[weftv1.TraceRequest], stream *connect.ServerStream[weftv1.TraceResponse]) error {
	for i := range req.Msg.Packets {
		part := &weftv1.TracePart{Index: uint32(i), Text: "Flow: ip\nDatapath actions: drop\n"}
		if err := stream.Send(&weftv1.TraceResponse{Node: req.Msg.Node, Part: part}); err != nil {
			return err
		}
	}
	return stream.Send(&weftv1.TraceResponse{Node: req.Msg.Node, Last: true})
}

// nodeAnswer is what a node of an example tells, with some flows left out.
func nodeAnswer(t *testing.T, leaveOut func(openflow.Flow) bool) []*weftv1.InspectResponse {
	world := compiletest.Example(t, "../examples/three-tier", 3)
	n := compile.Plans(world.State)["n1"]
	in := pipeline.Input{Plan: n, TunnelPort: 1}
	ports := []*weftv1.InspectPort{{Ofport: 1, Name: "weft-vxlan"}, {Ofport: 65534, Name: "br-int"}}
	for _, w := range world.Workloads {
		if w.Node != "n1" {
			continue
		}
		p := &weftv1.InspectPort{Ofport: uint32(len(ports)), Name: w.Name, ExternalIds: map[string]string{"weft-kind": "container", "attached-mac": w.MAC.String(), "weft-network": w.Network.String()}}
		for _, i := range n.Identities {
			if i.ID == w.Identity {
				p.ExternalIds["weft-labels"] = i.Labels.String()
			}
		}
		var addrs []string
		for _, a := range w.Addresses {
			addrs = append(addrs, a.String())
		}
		p.ExternalIds["weft-addresses"] = strings.Join(addrs, ",")
		ports = append(ports, p)
		in.Attachments = append(in.Attachments, pipeline.Attachment{
			Interface: w.Name, OFPort: p.Ofport, Network: world.State.Networks[w.Network].ID, Identity: w.Identity, MAC: w.MAC, Addresses: w.Addresses})
	}
	var flows []byte
	for _, f := range pipeline.Render(in) {
		if !leaveOut(f) {
			flows = append(flows, f.String()+"\n"...)
		}
	}
	hash, sum := plan.Hash(n), sha256.Sum256(flows)
	state := &weftv1.InspectState{PlanRevision: 7, PlanHash: hash[:], Settled: true, TunnelPort: 1, ReadAt: timestamppb.New(fakeNow), FlowsSha256: sum[:]}
	var meters strings.Builder
	for _, m := range pipeline.Meters() {
		meters.WriteString(m.String() + "\n")
	}
	bridge := &weftv1.InspectBridge{
		Name: "br-int", FailMode: "secure", OtherConfig: map[string]string{"disable-in-band": "true"}, Fragments: "normal",
		Tunnels: []*weftv1.InspectTunnel{{Name: "weft-vxlan", Type: "vxlan", Options: map[string]string{"remote_ip": "flow", "key": "flow"}}},
	}
	return []*weftv1.InspectResponse{
		{Node: "n1", Part: &weftv1.InspectPart{State: state, Bridge: bridge}},
		{Node: "n1", Part: &weftv1.InspectPart{Meters: []byte(meters.String())}},
		{Node: "n1", Part: &weftv1.InspectPart{Plan: planwire.ToProtos(plan.Entries(n))}},
		{Node: "n1", Part: &weftv1.InspectPart{Ports: ports, Flows: flows[:1000]}},
		{Node: "n1", Part: &weftv1.InspectPart{Flows: flows[1000:]}},
		{Node: "n1", Last: true, Expected: &weftv1.InspectExpected{PlanRevision: 7, PlanHash: hash[:], CompiledRevision: 9, CompiledHash: hash[:]}},
	}
}

// TestAuditVerifyNodes verifies nodes by what they tell.
func TestAuditVerifyNodes(t *testing.T) {
	all := func(openflow.Flow) bool { return false }
	withoutSource := func(f openflow.Flow) bool { return f.Table == uint8(pipeline.TableSource) }
	last := func(edit func(*weftv1.InspectExpected)) []*weftv1.InspectResponse {
		a := nodeAnswer(t, all)
		edit(a[len(a)-1].Expected)
		return a
	}
	told := func(edit func(*weftv1.InspectPart)) []*weftv1.InspectResponse {
		a := nodeAnswer(t, all)
		edit(a[0].Part)
		return a
	}
	mirrored := func(p *weftv1.InspectPart) {
		p.Bridge.Mirrors = []*weftv1.InspectMirror{{Name: "span", All: true, Output: "port p9"}}
	}
	for _, tt := range []struct {
		name, args, want string
		answers          map[string][]*weftv1.InspectResponse
		code             cli.ExitCode
		asked            int
	}{
		{"good", "", "node n1: proved: ", map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, all)}, cli.ExitOK, 1},
		{"without Source", "--node n1 --trace", "classified and routed\n  packet: ", map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, withoutSource)}, cli.ExitRefused, 1},
		{"traced", "--trace", "traced on the node, shows it: yes\n    Datapath actions: drop\n", map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, withoutSource)}, cli.ExitRefused, 1},
		{"sarif", "-o sarif", `"ruleId": "entry"`, map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, withoutSource)}, cli.ExitRefused, 1},
		{"json", "-o json", `"planRevision": 7`, map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, all)}, cli.ExitOK, 1},
		{"mirrored", "", "switch mirror span: all packets go to port p9, too, but should be: packets go where flows send them, and nowhere else\n  remedy: ovs-vsctl -- --id=@m get Mirror span ",
			map[string][]*weftv1.InspectResponse{"n1": told(mirrored)}, cli.ExitRefused, 1},
		{"mirrored, sarif", "-o sarif", `"ruleId": "switch"`, map[string][]*weftv1.InspectResponse{"n1": told(mirrored)}, cli.ExitRefused, 1},
		{"of an older agent", "", "note: the agent doesn't tell the bridge's settings", map[string][]*weftv1.InspectResponse{
			"n1": told(func(p *weftv1.InspectPart) { p.Bridge = nil })}, cli.ExitOK, 1},
		{"another plan", "", "plan what the node works on: plan of revision 7 with hash ", map[string][]*weftv1.InspectResponse{
			"n1": last(func(e *weftv1.InspectExpected) { e.PlanHash, e.CompiledHash = []byte("other"), nil })}, cli.ExitRefused, 4},
		{"a wrong compile", "", "plan what the controller tells the node: ", map[string][]*weftv1.InspectResponse{
			"n1": last(func(e *weftv1.InspectExpected) { e.CompiledHash = []byte("other") })}, cli.ExitRefused, 1},
		{"gone", "", "node n2: not verified: it is not connected", map[string][]*weftv1.InspectResponse{
			"n1": nodeAnswer(t, all), "n2": {{Node: "n2", Last: true, Error: "it is not connected"}}}, cli.ExitUnreachable, 1},
		{"cut", "", "node n1: not verified: the controller said nothing about it", map[string][]*weftv1.InspectResponse{"n1": nodeAnswer(t, all)[:2]}, cli.ExitUnreachable, 1},
		{"parts missing", "", "not verified: what it told can't be read: its flows have another hash", map[string][]*weftv1.InspectResponse{
			"n1": append(nodeAnswer(t, all)[:4], nodeAnswer(t, all)[5])}, cli.ExitUnreachable, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &observed{answers: tt.answers}
			mux := http.NewServeMux()
			mux.Handle(weftv1connect.NewIntentServiceHandler(o))
			mux.Handle(weftv1connect.NewObserveServiceHandler(o))
			socket := filepath.Join(t.TempDir(), "s")
			serve(t, socket, mux)
			var out, errs bytes.Buffer
			env := cli.Env{Stdout: &out, Stderr: &errs, Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }}
			code := cli.Run(t.Context(), env, append([]string{"--server", "unix://" + socket, "audit", "verify"}, strings.Fields(tt.args)...))
			if code != tt.code || !strings.Contains(out.String(), tt.want) || o.asked != tt.asked {
				t.Errorf("exit code %d, want %d with %q; asked %d times:\n%.2000s%s", code, tt.code, tt.want, o.asked, &out, &errs)
			}
		})
	}
}
