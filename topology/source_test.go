package topology_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/topology"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadSources(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", ".hidden.yaml", "notes.txt", "sub/c.yaml"} {
		write(t, filepath.Join(dir, name), name)
	}
	sources, err := topology.ReadSources([]string{dir, "-", filepath.Join(dir, "b.yaml"), filepath.Join(dir, "notes.txt")}, strings.NewReader("in"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sources {
		got = append(got, strings.TrimPrefix(s.Name, dir+"/")+"="+string(s.Content))
	}
	if diff := cmp.Diff([]string{"a.yml=a.yml", "b.yaml=b.yaml", "<stdin>=in", "notes.txt=notes.txt"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadSourcesRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "big.yaml"), strings.Repeat("#", topology.MaxFileSize+1))
	write(t, filepath.Join(dir, "empty/notes.txt"), "")
	for path, want := range map[string]string{
		filepath.Join(dir, "big.yaml"): "more than 4 MiB",
		filepath.Join(dir, "empty"):    "holds no *.yaml",
		filepath.Join(dir, "missing"):  "no such file",
		"-":                            "more than 4 MiB",
	} {
		_, err := topology.ReadSources([]string{path}, bytes.NewReader(make([]byte, topology.MaxFileSize+1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	const tenant = "apiVersion: weft.dev/v1alpha1\nkind: Tenant\nmetadata: {name: t}\n---\n"
	big := topology.Source{Name: "big", Content: bytes.Repeat([]byte("# comment\n"), topology.MaxFileSize/10)}
	var many []topology.Source
	for range 17 {
		many = append(many, big)
	}
	for _, tc := range []struct {
		name    string
		sources []topology.Source
		want    string
	}{
		{"file", []topology.Source{{Name: "f", Content: make([]byte, topology.MaxFileSize+1)}}, "f:1: the file has more than 4 MiB"},
		{"total", many, "more than 64 MiB together"},
		{"documents", []topology.Source{{Name: "f", Content: []byte(strings.Repeat("a: 1\n---\n", topology.MaxDocuments/4+1))}}, "too many errors"},
		{"utf-8", []topology.Source{{Name: "f", Content: []byte(tenant + "a: \xff")}}, "f:5: the file is not UTF-8"},
	} {
		_, _, problems := topology.Decode(tc.sources)
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %.200v, want one with %q", tc.name, err, tc.want)
		}
	}
}
