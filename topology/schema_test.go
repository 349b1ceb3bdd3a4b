package topology_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/topology"
)

func schemaOf(t *testing.T, kind topology.Kind) *topology.JSONSchema {
	t.Helper()
	text, err := topology.Schema(kind)
	if err != nil {
		t.Fatal(err)
	}
	var s topology.JSONSchema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// eachField calls f with every field of a schema and the name that users write.
func eachField(s *topology.JSONSchema, path string, f func(path string, s *topology.JSONSchema)) {
	if s.Items != nil {
		eachField(s.Items, path+"[]", f)
	}
	for name, p := range s.Properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		f(at, p)
		eachField(p, at, f)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range topology.Kinds {
		s := schemaOf(t, kind)
		if s.Description == "" {
			t.Errorf("%s has no description", kind)
		}
		eachField(s, "", func(path string, p *topology.JSONSchema) {
			if p.Description == "" {
				t.Errorf("%s: %s has no description", kind, path)
			}
		})
	}
}

// The page has a section of each kind, and names each field of the kind there, or in the section of a part
// that kinds share.
func TestPageNamesEveryField(t *testing.T) {
	sections := pageSections(t)
	for _, kind := range topology.Kinds {
		text, ok := sections[string(kind)]
		if !ok {
			t.Errorf("docs/topology.md has no section %s", kind)
			continue
		}
		eachField(schemaOf(t, kind), "", func(path string, _ *topology.JSONSchema) {
			for prefix, shared := range map[string]string{
				"metadata.": "Common fields", "apiVersion": "Common fields", "kind": "Common fields", "metadata": "Common fields", "spec": "Common fields",
				"spec.ingress[].": "Rules", "spec.egress[].": "Rules",
			} {
				if path == prefix || strings.HasSuffix(prefix, ".") && strings.HasPrefix(path, prefix) {
					text += sections[shared]
				}
			}
			if strings.Contains(path, ".matchLabels") || strings.Contains(path, ".matchExpressions") {
				text += sections["Selectors"]
			}
			name := path[strings.LastIndexByte(path, '.')+1:]
			if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "."+name+"`") {
				t.Errorf("docs/topology.md: section %s doesn't name `%s` (%s)", kind, name, path)
			}
		})
	}
}

func pageSections(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/topology.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq("\n"+string(page), "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		sections[title] = text
	}
	return sections
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// The page's examples form one topology together, which is valid, and hold every kind.
func TestPageExamplesAreValid(t *testing.T) {
	page, err := os.ReadFile("../docs/topology.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	line := 1
	for _, m := range yamlBlock.FindAllSubmatchIndex(page, -1) {
		at := 1 + strings.Count(string(page[:m[2]]), "\n")
		b.WriteString(strings.Repeat("\n", at-line-1) + "---\n")
		b.Write(page[m[2]:m[3]])
		line = 1 + strings.Count(b.String(), "\n")
	}
	intent, foreign, problems := topology.Load([]topology.Source{{Name: "docs/topology.md", Content: []byte(b.String())}})
	if len(problems) > 0 {
		t.Error(problems)
	}
	for _, kind := range topology.Kinds {
		if !slices.ContainsFunc(intent.Objects(), func(o *topology.Object) bool { return o.Key.Kind == kind }) {
			t.Errorf("no example of %s", kind)
		}
	}
	if len(foreign) == 0 {
		t.Error("no example of a Workload")
	}
}

func TestSchemaOfUnknownKind(t *testing.T) {
	if _, err := topology.Schema("Networks"); err == nil || !strings.Contains(err.Error(), `did you mean "Network"`) {
		t.Errorf("error %v", err)
	}
	all := schemaOf(t, "")
	if len(all.OneOf) != len(topology.Kinds) {
		t.Errorf("%d kinds in the schema of all", len(all.OneOf))
	}
}

func TestSchemaGolden(t *testing.T) {
	const path = "testdata/schema.txtar"
	got := &txtar.Archive{Comment: []byte("The JSON Schema of every kind.\n")}
	for _, kind := range topology.Kinds {
		text, err := topology.Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		got.Files = append(got.Files, txtar.File{Name: string(kind) + ".json", Data: append(text, '\n')})
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(txtar.Format(got)) {
		t.Errorf("%s is out of date: review the change and run with -update", path)
	}
}
