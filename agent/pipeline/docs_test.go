package pipeline_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
)

// TestDocs: docs/pipeline.md has each table and each drop reason, the latter with the tables that drop for it.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(page)
	for _, table := range pipeline.Tables() {
		if row := fmt.Sprintf("\n| %d | %s | ", table, table); !strings.Contains(doc, row) {
			t.Errorf("the page lacks %q", row)
		}
	}
	_, reasons, _ := strings.Cut(doc, "## Drop reasons")
	for _, r := range pipeline.Reasons() {
		if !regexp.MustCompile(`(?m)^\| (?:.*, )?` + r.String() + `(?:, .*)? \|`).MatchString(reasons) {
			t.Errorf("the page doesn't explain %s", r)
		}
	}
}
