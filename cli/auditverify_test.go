package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/compile/compiletest"
	"github.com/weftfabric/weft/wire/planwire"
)

// TestAuditVerify verifies a node of an example from files, as they are and with a flow missing.
func TestAuditVerify(t *testing.T) {
	world := compiletest.Example(t, "../examples/three-tier", 3)
	plan := compile.Plans(world.State)["n1"]
	in := pipeline.Input{Plan: plan, TunnelPort: 1}
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
		for _, i := range plan.Identities {
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
	var all, fewer strings.Builder
	for _, f := range pipeline.Render(in) {
		line := " duration=1.5s, n_packets=3, n_bytes=294, " + f.String() + "\n"
		all.WriteString(line)
		if f.Table != uint8(pipeline.TableSource) {
			fewer.WriteString(line)
		}
	}
	args := []string{"audit", "verify", "--plan", write("plan", planwire.MarshalSnapshot(7, plan)), "--ports", write("ports", ports), "--flows"}
	for _, tt := range []struct {
		name, flows, want string
		code              cli.ExitCode
	}{
		{"good", "OFPST_FLOW reply (OF1.5) (xid=0x2):\n" + all.String(), "node n1: proved: ", cli.ExitOK},
		{"without Source", fewer.String(), "should be: classified and routed\n  packet: ", cli.ExitRefused},
		{"unreadable", all.String() + "table=0,actions=learn(table=1)\n", "", cli.ExitRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			env := cli.Env{Stdout: &out, Stderr: &errs, Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }}
			code := cli.Run(context.Background(), env, append(args, write("flows", []byte(tt.flows))))
			if code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, tt.code, tt.want, &out, &errs)
			}
		})
	}
}
