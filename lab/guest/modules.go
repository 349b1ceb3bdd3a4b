package guest

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is a kernel module, decompressed.
type module struct {
	name    string
	content []byte
}

// loadModules finds modules by name below a directory, with what they depend on, in the order in which they
// must be inserted. A name that is not found is taken to be built into the kernel.
func loadModules(dir string, names []string) ([]module, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if base, _, ok := strings.Cut(d.Name(), ".ko"); ok {
				paths[moduleName(base)] = path
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find kernel modules: %w", err)
	}
	l := loader{paths: paths, loaded: map[string]bool{}}
	for _, name := range names {
		if err := l.load(name); err != nil {
			return nil, err
		}
	}
	return l.order, nil
}

type loader struct {
	paths  map[string]string
	loaded map[string]bool
	order  []module
}

func (l *loader) load(name string) error {
	name = moduleName(name)
	path, ok := l.paths[name]
	if l.loaded[name] || !ok {
		return nil
	}
	l.loaded[name] = true
	content, err := readModule(path)
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	depends, err := dependencies(content)
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", path, err)
	}
	for _, d := range depends {
		if err := l.load(d); err != nil {
			return err
		}
	}
	l.order = append(l.order, module{name, content})
	return nil
}

// moduleName is the name that the kernel uses: '-' and '_' are one.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func readModule(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".ko":
		return os.ReadFile(path)
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dcq", path).Output()
	}
	return nil, fmt.Errorf("%s: the compression is not supported", path)
}

// dependencies reads what a module says of itself: "depends=a,b" in its section .modinfo, one of several
// strings that NUL bytes end.
func dependencies(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for line := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(line), "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
