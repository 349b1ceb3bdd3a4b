package topology_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/topology"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each archive holds input files and, last, the problems that Load finds in them.
func TestProblems(t *testing.T) {
	paths, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var sources []topology.Source
			var inputs []txtar.File
			want := ""
			for _, f := range archive.Files {
				if f.Name == "problems" {
					want = string(f.Data)
					continue
				}
				inputs = append(inputs, f)
				sources = append(sources, topology.Source{Name: f.Name, Content: f.Data})
			}
			_, _, problems := topology.Load(sources)
			got := ""
			if len(problems) > 0 {
				got = problems.Error() + "\n"
			}
			if *update {
				inputs = append(inputs, txtar.File{Name: "problems", Data: []byte(got)})
				archive.Files = inputs
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExamplesAreValid(t *testing.T) {
	for _, dir := range []string{"two-tenants", "three-tier", "dual-stack", "encrypted", "zones"} {
		sources, err := topology.ReadSources([]string{filepath.Join("../examples", dir)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		intent, foreign, problems := topology.Load(sources)
		if len(problems) > 0 {
			t.Errorf("%s:\n%v", dir, problems)
		}
		if intent.Len() == 0 || len(foreign) == 0 {
			t.Errorf("%s: %d objects, %d workloads", dir, intent.Len(), len(foreign))
		}
	}
}
