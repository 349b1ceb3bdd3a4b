package guest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Image is a root file system with programs of this machine, for a guest that is to be a whole machine with a kernel of its
// own.
type Image struct {
	// Dir holds the kernel's modules, as Files.Dir does; Modules are those that init finds in /modules, in order.
	Dir     string
	Modules []string
	// Programs are copied into /bin under their own names, with the libraries that they need.
	Programs []string
	// Files and directories, with all that is in them, are copied: the path in the guest, and that on this machine.
	Files map[string]string
	// Links are symbolic links and their targets.
	Links map[string]string
	Init  []byte
}

// Write writes the image as an uncompressed cpio archive.
func (i Image) Write(w io.Writer) error {
	modules, err := loadModules(filepath.Join(i.Dir, "modules"), i.Modules)
	if err != nil {
		return err
	}
	files := make(map[string]string)
	for _, p := range i.Programs {
		if err := addProgram(files, p); err != nil {
			return err
		}
	}
	for to, from := range i.Files {
		if err := addTree(files, to, from); err != nil {
			return err
		}
	}
	t := tree{cpioWriter: &cpioWriter{w: w}, made: map[string]bool{".": true}}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "run", "var", "modules"} {
		t.directory(dir)
	}
	t.write(entry{name: "dev/console", mode: modeChar, major: 5, minor: 1})
	for _, to := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(files[to])
		if err != nil {
			return err
		}
		t.directory(path.Dir(to))
		t.write(entry{name: to, mode: modeProgram, content: content})
	}
	for _, link := range slices.Sorted(maps.Keys(i.Links)) {
		t.directory(path.Dir(link))
		t.write(entry{name: link, mode: modeLink, content: []byte(i.Links[link])})
	}
	for n, m := range modules {
		t.write(entry{name: fmt.Sprintf("modules/%02d-%s.ko", n, m.name), mode: modeFile, content: m.content})
	}
	t.write(entry{name: "init", mode: modeProgram, content: i.Init})
	return t.close()
}

// tree writes each directory once, before what is in it.
type tree struct {
	*cpioWriter
	made map[string]bool
}

func (t tree) directory(name string) {
	if t.made[name] {
		return
	}
	t.directory(path.Dir(name))
	t.made[name] = true
	t.write(entry{name: name, mode: modeDir})
}

// addProgram adds a program and its libraries, which the dynamic linker finds at the paths that they have here.
func addProgram(files map[string]string, program string) error {
	found, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("%s is to run in a virtual machine: %w", program, err)
	}
	real, err := filepath.EvalSymlinks(found)
	if err != nil {
		return err
	}
	files["bin/"+filepath.Base(program)] = real
	out, err := exec.Command("ldd", real).Output()
	if err != nil {
		return nil //nolint:nilerr // ldd refuses what is linked statically
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files[strings.TrimPrefix(word, "/")] = word
		}
	}
	return nil
}

// addTree adds a file, or a directory with what is in it.
func addTree(files map[string]string, to, from string) error {
	return filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		files[path.Join(to, filepath.ToSlash(rel))] = p
		return err
	})
}
