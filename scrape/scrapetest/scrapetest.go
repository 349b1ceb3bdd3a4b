// Package scrapetest holds tables of metrics to what they promise: names as Prometheus wants them, a text that was reviewed, and
// a page of the documentation that lists them.
package scrapetest

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/weftfabric/weft/scrape"
)

var update = flag.Bool("update", false, "rewrite expected metrics and the tables of their page")

// Text returns what a scrape tells of a state, and fails the test where a name or a text isn't as Prometheus wants it.
func Text[S any](t *testing.T, table scrape.Table[S], state S) string {
	t.Helper()
	c := scrape.Of(table, state)
	problems, err := testutil.CollectAndLint(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var names []string
	for _, m := range table {
		names = append(names, m.Name)
	}
	b, err := testutil.CollectAndFormat(c, expfmt.TypeTextPlain, names...)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Golden compares a text with a file. The file must hold every metric of the table.
func Golden[S any](t *testing.T, table scrape.Table[S], file, text string) {
	t.Helper()
	for _, m := range table {
		if !strings.Contains(text, "# TYPE "+m.Name+" "+m.Kind.String()+"\n") {
			t.Errorf("the state has no %s %s", m.Kind, m.Name)
		}
	}
	compare(t, file, text)
}

// Documented compares a table with the one below a heading of a page.
func Documented[S any](t *testing.T, table scrape.Table[S], page, heading string) {
	t.Helper()
	var rows strings.Builder
	rows.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range table {
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, strings.Join(labels, " "), m.Help)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := replaceTable(string(content), heading, rows.String())
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	compare(t, page, want)
}

// replaceTable returns a page with another first table below a heading.
func replaceTable(page, heading, table string) (string, error) {
	before, rest, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		return "", fmt.Errorf("there is no heading %q", heading)
	}
	text, rest, ok := strings.Cut(rest, "\n|")
	if !ok || strings.Contains(text, "\n#") {
		return "", fmt.Errorf("there is no table below %q", heading)
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	return before + "\n" + heading + "\n" + text + "\n" + table + "\n" + after, nil
}

func compare(t *testing.T, file, want string) {
	t.Helper()
	have, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if string(have) == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s isn't what it should be (-update rewrites it):\n%s", file, difference(string(have), want))
}

// difference returns the lines that one text has and the other hasn't.
func difference(have, want string) string {
	var out strings.Builder
	lack := func(mark, of, in string) {
		lines := map[string]bool{}
		for l := range strings.Lines(in) {
			lines[l] = true
		}
		for l := range strings.Lines(of) {
			if !lines[l] {
				out.WriteString(mark + l)
			}
		}
	}
	lack("- ", have, want)
	lack("+ ", want, have)
	return out.String()
}
