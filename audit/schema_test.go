package audit_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/topology"
)

// Each document is what its schema says: every required field is there, every field is known, types and words are right.
func TestSchemas(t *testing.T) {
	r := fullReport(t)
	w := worldOf(t, topology.Source{Name: "corner.yaml", Content: []byte(reportYAML)})
	why, err := audit.WhyOf(w.Intent, w.Workloads, audit.Question{From: "acme/web", To: "acme/db"}, "tcp/1")
	if err != nil {
		t.Fatal(err)
	}
	diff, err := audit.DiffOf(audit.Side{Intent: w.Intent, Workloads: w.Workloads}, audit.Side{Intent: w.Intent, Workloads: w.Workloads[1:]})
	if err != nil {
		t.Fatal(err)
	}
	state := audit.NewState(7)
	state.Nodes = []audit.StateNode{{Node: "n", Attachments: []audit.Attachment{{Node: "n", Addresses: []netip.Prefix{}}}}}
	documents := map[string]any{"Reach": r.Reach, "Why": why, "Proofs": r.Proofs, "Findings": r.Findings, "Diff": diff, "Report": r, "State": state}
	for kind, zero := range audit.Documents() {
		text, err := audit.SchemaOf(kind, zero)
		if err != nil {
			t.Fatal(err)
		}
		var schema map[string]any
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(documents[kind])
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(b, &document); err != nil {
			t.Fatal(err)
		}
		conforms(t, kind, schema, document)
	}
}

// conforms checks a value against the part of JSON Schema that is used.
func conforms(t *testing.T, path string, schema map[string]any, value any) {
	t.Helper()
	if c, ok := schema["const"]; ok && c != value {
		t.Errorf("%s is %v, not %v", path, value, c)
	}
	if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, value) {
		t.Errorf("%s is %v, none of %v", path, value, words)
	}
	switch kind := schema["type"]; v := value.(type) {
	case map[string]any:
		if kind != "object" && kind != nil {
			t.Errorf("%s is an object", path)
		}
		properties, closed := schema["properties"].(map[string]any)
		if required, ok := schema["required"].([]any); ok {
			for _, name := range required {
				if _, ok := v[name.(string)]; !ok {
					t.Errorf("%s lacks %s", path, name)
				}
			}
		}
		for name, child := range v {
			s, known := properties[name].(map[string]any)
			if closed && !known {
				t.Errorf("%s.%s is not in the schema", path, name)
			}
			if known {
				conforms(t, path+"."+name, s, child)
			}
		}
	case []any:
		items, ok := schema["items"].(map[string]any)
		if !ok {
			t.Errorf("%s is a list", path)
			return
		}
		for _, child := range v {
			conforms(t, path+"[]", items, child)
		}
	case string:
		if kind != "string" && kind != nil {
			t.Errorf("%s is a string", path)
		}
	case float64:
		if kind != "integer" {
			t.Errorf("%s is a number", path)
		}
	case bool:
		if kind != "boolean" {
			t.Errorf("%s is a boolean", path)
		}
	case nil:
		if kind != nil {
			t.Errorf("%s is null", path)
		}
	}
}
