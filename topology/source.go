package topology

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The limits on what is read, so that an input can't exhaust memory.
const (
	MaxFileSize  = 4 << 20  // bytes of one file, or of standard input
	MaxTotalSize = 64 << 20 // bytes of all files together
	MaxDocuments = 100_000  // documents of all files together
)

// StdinName is the name under which standard input stands in messages; "-" asks for it.
const StdinName = "<stdin>"

// Source is one file of declarations. Name is as the user gave it and stands in messages.
type Source struct {
	Name    string
	Content []byte
}

// ReadSources reads files, directories and, for "-", stdin. A directory stands for the files in it whose
// names end in .yaml or .yml, in the order of their names; directories within it are not entered. A file
// that is named twice is read once.
func ReadSources(paths []string, stdin io.Reader) ([]Source, error) {
	names, err := expandPaths(paths)
	if err != nil {
		return nil, err
	}
	var (
		sources []Source
		total   int
	)
	for _, name := range names {
		s, err := readSource(name, stdin)
		if err != nil {
			return nil, err
		}
		if total += len(s.Content); total > MaxTotalSize {
			return nil, fmt.Errorf("%s: the files have more than %d MiB together: apply them in several parts", s.Name, MaxTotalSize>>20)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// expandPaths replaces directories by the files in them.
func expandPaths(paths []string) ([]string, error) {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, path := range paths {
		if path == "-" {
			add(path)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			add(filepath.Clean(path))
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		found := false
		for _, e := range entries {
			if !e.IsDir() && isYAML(e.Name()) {
				found = true
				add(filepath.Join(path, e.Name()))
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: the directory holds no *.yaml or *.yml file", path)
		}
	}
	return names, nil
}

func isYAML(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"))
}

func readSource(name string, stdin io.Reader) (Source, error) {
	r := stdin
	if name == "-" {
		name = StdinName
	} else {
		f, err := os.Open(name)
		if err != nil {
			return Source{}, err
		}
		defer f.Close()
		r = f
	}
	content, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err != nil {
		return Source{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(content) > MaxFileSize {
		return Source{}, fmt.Errorf("%s: the file has more than %d MiB: split it", name, MaxFileSize>>20)
	}
	return Source{Name: name, Content: content}, nil
}
