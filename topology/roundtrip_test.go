package topology_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/topology"
)

// corpus returns the inputs of the goldens and the examples.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	archives, _ := filepath.Glob("testdata/errors/*.txtar")
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if f.Name != "problems" {
				out = append(out, f.Data)
			}
		}
	}
	examples, _ := filepath.Glob("../examples/*/*.yaml")
	for _, path := range examples {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	if len(archives) == 0 || len(examples) == 0 {
		t.Fatal("no corpus")
	}
	return out
}

// checkLoad holds what is true of every input: errors say where, and what decodes without errors survives
// its canonical form, both read as JSON and as YAML.
func checkLoad(t *testing.T, content []byte) {
	t.Helper()
	objects, _, problems := topology.Decode([]topology.Source{{Name: "in.yaml", Content: content}})
	intent := topology.NewIntent(objects...)
	all := append(topology.Validate(intent), problems...)
	last := 1 // YAML counts lines by all of these breaks
	for _, br := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		last += strings.Count(string(content), br)
	}
	for _, p := range all {
		if p.File != "in.yaml" || p.Line < 1 || p.Line > last || p.Message == "" || p.Severity == 0 {
			t.Errorf("problem without a place: %#v", p)
		}
	}
	if problems.Err() != nil {
		return
	}
	for _, o := range objects {
		canonical, err := json.Marshal(o)
		if err != nil {
			t.Fatalf("%s: %v", o.Key, err)
		}
		back, err := topology.UnmarshalObject(canonical)
		if err != nil {
			t.Fatalf("%s: %v\n%s", o.Key, err, canonical)
		}
		if !back.Equal(o) {
			again, _ := json.Marshal(back)
			t.Errorf("%s changed:\n%s\n%s", o.Key, canonical, again)
		}
		read, _, faults := topology.Decode([]topology.Source{{Name: "json", Content: canonical}})
		if len(faults) > 0 || len(read) != 1 || !read[0].Equal(o) {
			t.Errorf("%s: as YAML: %v\n%s", o.Key, faults, canonical)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, content := range corpus(t) {
		checkLoad(t, content)
	}
}

func FuzzLoad(f *testing.F) {
	for _, content := range corpus(f) {
		f.Add(content)
	}
	f.Fuzz(checkLoad)
}

func TestEmptyAndAbsentRulesDiffer(t *testing.T) {
	const head = `{"apiVersion":"weft.dev/v1alpha1","kind":"FirewallPolicy","metadata":{"name":"p","tenant":"t"},"spec":{`
	for _, tc := range []struct {
		spec        string
		in, e       bool
		ingressJSON string
	}{
		{`"ingress":[]}}`, true, false, `"ingress":[]`},
		{`"egress":[]}}`, false, true, `"egress":[]`},
		{`"ingress":[],"egress":[]}}`, true, true, `"ingress":[],"egress":[]`},
	} {
		o, err := topology.UnmarshalObject([]byte(head + tc.spec))
		if err != nil {
			t.Fatal(err)
		}
		spec := o.FirewallPolicy.Spec
		if (spec.Ingress != nil) != tc.in || (spec.Egress != nil) != tc.e {
			t.Errorf("%s: ingress %v, egress %v", tc.spec, spec.Ingress, spec.Egress)
		}
		if b, _ := json.Marshal(o); !strings.Contains(string(b), tc.ingressJSON) {
			t.Errorf("%s became %s", tc.spec, b)
		}
	}
}

func TestUnmarshalObjectIsStrict(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{}`,
		`{"apiVersion":"weft.dev/v1","kind":"Tenant"}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Tenent"}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Tenant","metadata":{"name":"a"},"spce":{}}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Tenant","metadata":{"name":"a","x":1}}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Tenant","metadata":{"name":"a"}} {}`,
	} {
		if o, err := topology.UnmarshalObject([]byte(text)); err == nil {
			t.Errorf("%s was accepted as %s", text, o.Key)
		}
	}
}
