package guest

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

//go:embed init.sh
var initScript []byte

//go:embed dhcp-event.sh
var dhcpScript []byte

// Files are what a guest is made of.
type Files struct {
	// Dir holds vmlinuz and modules/, as `make guest` leaves them.
	Dir string
	// Busybox and Probe are statically linked programs.
	Busybox, Probe string
}

// Kernel is the path of the kernel image.
func (f Files) Kernel() string { return filepath.Join(f.Dir, "vmlinuz") }

// Check reports what is missing, and how to get it.
func (f Files) Check() error {
	for _, path := range []string{f.Kernel(), filepath.Join(f.Dir, "modules")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a kernel for virtual machines is missing: run `make guest` and name its directory with --guest-dir: %w", err)
		}
	}
	if _, err := os.Stat(f.Busybox); err != nil {
		return fmt.Errorf("busybox is missing: install the package busybox-static: %w", err)
	}
	if _, err := os.Stat(f.Probe); err != nil {
		return fmt.Errorf("weft-lab-probe is missing: run `make build` and name its directory with --bin-dir: %w", err)
	}
	for _, path := range []string{f.Busybox, f.Probe} {
		if err := checkStatic(path); err != nil {
			return err
		}
	}
	return nil
}

// checkStatic fails for a program that needs libraries, which the guest doesn't have.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is to run in virtual machines: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s can't run in virtual machines, since it is not statically linked: build it with CGO_ENABLED=0, as `make build` does; of busybox, install busybox-static", path)
	}
	return nil
}

// The guest needs no more than a network card on the PCI bus, and packet sockets for its DHCP client.
var guestModules = [...]string{"virtio_pci", "virtio_net", "af_packet"}

// WriteInitramfs writes the guest's root file system as an uncompressed cpio archive.
func WriteInitramfs(w io.Writer, f Files) error {
	modules, err := loadModules(filepath.Join(f.Dir, "modules"), guestModules[:])
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(f.Busybox)
	if err != nil {
		return err
	}
	probe, err := os.ReadFile(f.Probe)
	if err != nil {
		return err
	}
	c := &cpioWriter{w: w}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "modules"} {
		c.write(entry{name: dir, mode: modeDir})
	}
	// The kernel opens it before init runs.
	c.write(entry{name: "dev/console", mode: modeChar, major: 5, minor: 1})
	c.write(entry{name: "bin/busybox", mode: modeProgram, content: busybox})
	c.write(entry{name: "bin/sh", mode: modeLink, content: []byte("busybox")})
	c.write(entry{name: "bin/weft-lab-probe", mode: modeProgram, content: probe})
	c.write(entry{name: "bin/dhcp-event", mode: modeProgram, content: dhcpScript})
	for i, m := range modules {
		c.write(entry{name: fmt.Sprintf("modules/%02d-%s.ko", i, m.name), mode: modeFile, content: m.content})
	}
	c.write(entry{name: "init", mode: modeProgram, content: initScript})
	return c.close()
}
