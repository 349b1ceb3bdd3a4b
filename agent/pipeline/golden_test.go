package pipeline_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/compile/compiletest"
	"github.com/weftfabric/weft/wire/openflow"
)

var update = flag.Bool("update", false, "rewrite the goldens under testdata")

// TestGoldens renders the input of each testdata/*.txtar and compares with its flows. ovs-ofctl must accept them.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 2 || archive.Files[0].Name != "input.json" || archive.Files[1].Name != "flows" {
				t.Fatalf("%s must hold input.json and flows: %v", file, err)
			}
			var in pipeline.Input
			d := json.NewDecoder(bytes.NewReader(archive.Files[0].Data))
			d.DisallowUnknownFields()
			if err := d.Decode(&in); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			got := annotated(pipeline.Render(in))
			if want := string(archive.Files[1].Data); got != want {
				if !*update {
					t.Fatalf("run go test -update if this is meant:\n%s", cmp.Diff(want, got))
				}
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Run("ovs-ofctl", func(t *testing.T) { parseFlows(t, got) })
		})
	}
}

// annotated writes flows for reading: a heading for each table, the reason above each drop.
func annotated(flows []openflow.Flow) string {
	var b strings.Builder
	table := -1
	for _, f := range flows {
		if int(f.Table) != table {
			table = int(f.Table)
			fmt.Fprintf(&b, "\n# %d %s\n", table, pipeline.Table(f.Table))
		}
		if c, ok := pipeline.ParseCookie(f.Cookie); ok && c.Drop != 0 {
			fmt.Fprintf(&b, "# %s\n", c.Drop)
		}
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// TestExamples renders every node of each example, its workloads attached, and compares with the flows in
// testdata/examples: from YAML to flows in one line. ovs-ofctl must accept them.
func TestExamples(t *testing.T) {
	fabrics, err := filepath.Glob("../../examples/*/fabric.yaml")
	if err != nil || len(fabrics) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, fabric := range fabrics {
		dir := filepath.Dir(fabric)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			world := compiletest.Example(t, dir, 3)
			plans := compile.Plans(world.State)
			golden := txtar.Archive{Comment: []byte("Flows of examples/" + filepath.Base(dir) + "; rewritten by go test -update.\n")}
			for _, node := range world.Nodes() {
				in := pipeline.Input{Plan: plans[node], TunnelPort: 1}
				for _, w := range world.Workloads {
					if w.Node == node {
						in.Attachments = append(in.Attachments, pipeline.Attachment{
							Interface: w.Name, OFPort: uint32(len(in.Attachments) + 2), Network: world.State.Networks[w.Network].ID,
							Identity: w.Identity, MAC: w.MAC, Addresses: w.Addresses})
					}
				}
				golden.Files = append(golden.Files, txtar.File{Name: string(node), Data: []byte(annotated(pipeline.Render(in)))})
			}
			file := filepath.Join("testdata", "examples", filepath.Base(dir)+".txtar")
			got := txtar.Format(&golden)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the flows differ from %s; run go test -update if this is meant:\n%s", file, cmp.Diff(string(want), string(got)))
			}
			for _, f := range golden.Files {
				t.Run("ovs-ofctl "+f.Name, func(t *testing.T) { parseFlows(t, string(f.Data)) })
			}
		})
	}
}

// parseFlows holds flows against ovs-ofctl.
func parseFlows(t *testing.T, flows string) {
	t.Helper()
	requireOVS(t)
	path := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(path, []byte(flows), 0o644); err != nil {
		t.Fatal(err)
	}
	(&ovs{dir: t.TempDir()}).run(t, "", "ovs-ofctl", "-O", "OpenFlow15", "parse-flows", path)
}
