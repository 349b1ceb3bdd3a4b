package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The oracle is the cpio program that everyone uses.
func TestCPIO(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	var b bytes.Buffer
	c := &cpioWriter{w: &b}
	c.write(entry{name: "d", mode: modeDir})
	c.write(entry{name: "d/file", mode: modeProgram, content: []byte("hello")})
	c.write(entry{name: "link", mode: modeLink, content: []byte("d/file")})
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "link"))
	if err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "d/file")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestProgramsOfAGuestAreStaticallyLinked(t *testing.T) {
	for path, want := range map[string]string{"/bin/sh": "not statically linked", "guest_test.go": "bad magic number"} {
		if err := checkStatic(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCPIOAlignment(t *testing.T) {
	for n := range 9 {
		var b bytes.Buffer
		c := &cpioWriter{w: &b}
		c.write(entry{name: strings.Repeat("n", n+1), mode: modeFile, content: make([]byte, n)})
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		if b.Len()%4 != 0 {
			t.Errorf("an entry with %d bytes ends at offset %d, not a multiple of 4", n, b.Len())
		}
	}
}

func TestModuleOrder(t *testing.T) {
	dir := os.Getenv("WEFT_GUEST_DIR")
	if dir == "" {
		t.Skip("WEFT_GUEST_DIR is not set: run `make guest`")
	}
	modules, err := loadModules(filepath.Join(dir, "modules"), guestModules[:])
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, m := range modules {
		at[m.name] = i + 1
	}
	for _, pair := range [][2]string{{"virtio_ring", "virtio_pci"}, {"net_failover", "virtio_net"}, {"failover", "net_failover"}} {
		if at[pair[0]] == 0 || at[pair[0]] > at[pair[1]] {
			t.Errorf("%s is inserted at %d, %s at %d", pair[0], at[pair[0]], pair[1], at[pair[1]])
		}
	}
}
