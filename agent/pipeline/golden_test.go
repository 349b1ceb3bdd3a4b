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
			t.Run("ovs-ofctl", func(t *testing.T) {
				requireOVS(t)
				path := filepath.Join(t.TempDir(), "flows")
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				(&ovs{dir: t.TempDir()}).run(t, "", "ovs-ofctl", "-O", "OpenFlow15", "parse-flows", path)
			})
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
