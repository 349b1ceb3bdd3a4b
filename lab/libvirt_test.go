package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/guest"
	"github.com/weftfabric/weft/topology"
)

// TestLibvirt: a libvirt domain whose interfaceid is a Port's UID comes up by DHCP and is reached from another node;
// destroyed, it leaves nothing, and created again it works again.
func TestLibvirt(t *testing.T) {
	if os.Getenv("WEFT_LIBVIRT") == "" {
		t.Skip("WEFT_LIBVIRT is not set: install libvirt-daemon, libvirt-daemon-driver-qemu and libvirt-clients, and run `make test-libvirt`")
	}
	r, _ := testLab(t, "testdata/moves.yaml")
	n, dir := r.Nodes[0], shortDir(t)
	writeGuest(t, guest.Files{Dir: os.Getenv("WEFT_GUEST_DIR"), Busybox: "/bin/busybox", Probe: filepath.Join(r.BinDir, "weft-lab-probe")}, dir)
	script, err := filepath.Abs("testdata/libvirt.sh")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(spec{name: "workload/libvirtd", namespace: n.Namespace, args: []string{"unshare", "-m", "sh", script, n.OVSDir(), dir}}); err != nil {
		t.Fatal(err)
	}
	virsh := func(args ...string) (string, error) {
		return command(context.Background(), append([]string{"virsh", "-c", "qemu+unix:///system?socket=" + filepath.Join(dir, "run", "libvirt-sock")}, args...)...)
	}
	t.Cleanup(func() { _, _ = virsh("destroy", "vm") }) // fails when the test has done it
	m := mover{t: t, r: r}
	m.until("libvirtd", func() bool { _, err := virsh("list"); return err == nil })
	two, err := r.Find("acme/two")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		begin := time.Now()
		if out, err := virsh("create", filepath.Join(dir, "vm.xml")); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		m.forwards(1, true)
		m.until("an answer of the guest", func() bool {
			_, err := command(t.Context(), within(two.Namespace, "ping", "-c", "1", "-W", "1", moverAddress)...)
			return err == nil
		})
		t.Logf("the guest answers after %s", time.Since(begin).Round(time.Millisecond))
		console, err := os.ReadFile(filepath.Join(dir, "console"))
		if err != nil || !strings.Contains(string(console), "DHCP: 10.0.0.10/24 mtu 1450 routes 0.0.0.0/0 10.0.0.1 dns 10.0.0.53 from 10.0.0.1") {
			t.Errorf("the guest's console says, %v:\n%s", err, console)
		}
		if out := m.run(within(n.Namespace, "tc", "filter", "show", "dev", "vmtap", "ingress")...); !strings.Contains(out, "weft-shield") {
			t.Errorf("libvirt's tap has no shield: %s", out)
		}
		if out, err := virsh("destroy", "vm"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		m.forwards(1, false)
		m.released()
		if _, err := command(t.Context(), within(n.Namespace, "ip", "link", "show", "vmtap")...); err == nil {
			t.Error("the tap is left")
		}
	}
}

// writeGuest writes the guest's file system and its domain into a directory.
func writeGuest(t *testing.T, files guest.Files, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "initramfs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := guest.WriteInitramfs(f, files); err != nil {
		t.Fatal(err)
	}
	xml, err := os.ReadFile("testdata/libvirt.xml")
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := filepath.Abs(files.Kernel())
	if err != nil {
		t.Fatal(err)
	}
	uid := topology.PortUID(fabric.PortRef{Tenant: "acme", Name: "vm"})
	text := strings.NewReplacer("KERNEL", kernel, "DIR", dir, "UID", uid).Replace(string(xml))
	if err := os.WriteFile(filepath.Join(dir, "vm.xml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
