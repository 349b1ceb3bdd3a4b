package runtimes

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeImage writes an image that sleeps, of one layer with the files below a directory, in the format of `docker save`:
// an archive with manifest.json, the image's configuration and the layer (Docker Image Specification v1.2, "Combined
// Image JSON + Filesystem Changeset Format").
func writeImage(t *testing.T, path, name, root string) {
	t.Helper()
	layer := archive(t, func(w *tar.Writer) error { return w.AddFS(linkFS{os.DirFS(root), root}) })
	config := marshal(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/bin/sleep", "3600"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := marshal(t, []map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	image := archive(t, func(w *tar.Writer) error {
		for _, f := range []struct {
			name    string
			content []byte
		}{{"manifest.json", manifest}, {"config.json", config}, {"layer.tar", layer}} {
			if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
				return err
			}
			if _, err := w.Write(f.content); err != nil {
				return err
			}
		}
		return nil
	})
	write(t, path, string(image))
}

// linkFS is a directory whose symbolic links can be read, as tar needs it.
type linkFS struct {
	fs.FS
	root string
}

func (f linkFS) ReadLink(name string) (string, error) {
	return os.Readlink(filepath.Join(f.root, name))
}

func (f linkFS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(filepath.Join(f.root, name)) }

func archive(t *testing.T, fill func(*tar.Writer) error) []byte {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
