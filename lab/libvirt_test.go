package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/guest"
	"github.com/weftfabric/weft/topology"
)

// TestLibvirt: a libvirt domain whose interfaceid is a Port's UID comes up by DHCP and is reached from another node. Its
// card is pulled and plugged again while it runs; destroyed, it leaves nothing, and created again it works again.
func TestLibvirt(t *testing.T) {
	if os.Getenv("WEFT_LIBVIRT") == "" {
		t.Skip("WEFT_LIBVIRT is not set: install libvirt-daemon, libvirt-daemon-driver-qemu and libvirt-clients, and run `make test-libvirt`")
	}
	r, _ := testLab(t, "testdata/moves.yaml")
	l := startLibvirt(t, r)
	for _, pulled := range []bool{true, false} {
		l.up("created", 1, func() { l.must("create", filepath.Join(l.dir, "vm.xml")) })
		if pulled {
			l.must("detach-interface", "vm", "bridge", "--mac", moverMAC, "--live")
			l.gone()
			l.up("its card is plugged again", 2, func() { l.must("attach-device", "vm", filepath.Join(l.dir, "interface.xml"), "--live") })
		}
		l.must("destroy", "vm")
		l.gone()
	}
}

// libvirt is a libvirtd of the first node.
type libvirt struct {
	mover
	node Node
	dir  string // everything of libvirt
	from string // the namespace of a workload on another node
}

func startLibvirt(t *testing.T, r *Record) libvirt {
	t.Helper()
	two, err := r.Find("acme/two")
	if err != nil {
		t.Fatal(err)
	}
	l := libvirt{mover: mover{t: t, r: r}, node: r.Nodes[0], dir: shortDir(t), from: two.Namespace}
	writeGuest(t, guest.Files{Dir: os.Getenv("WEFT_GUEST_DIR"), Busybox: "/bin/busybox", Probe: filepath.Join(r.BinDir, "weft-lab-probe")}, l.dir)
	script, err := filepath.Abs("testdata/libvirt.sh")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(spec{name: "workload/libvirtd", namespace: l.node.Namespace, args: []string{"unshare", "-m", "sh", script, l.node.OVSDir(), l.dir}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(tail(l.console()))
		}
		_, _ = l.virsh(context.Background(), "destroy", "vm") // fails when the test has done it
	})
	l.until("libvirtd", func() bool { _, err := l.virsh(t.Context(), "list"); return err == nil })
	return l
}

func (l libvirt) console() string { return filepath.Join(l.dir, "console") }

func (l libvirt) virsh(ctx context.Context, args ...string) (string, error) {
	return command(ctx, append([]string{"virsh", "-c", "qemu+unix:///system?socket=" + filepath.Join(l.dir, "run", "libvirt-sock")}, args...)...)
}

func (l libvirt) must(args ...string) {
	l.t.Helper()
	if out, err := l.virsh(l.t.Context(), args...); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
}

// up does something that lets the guest's card come up, waits until it answers, and prints how long that took. The guest
// then has asked by DHCP for a number of times since it booted.
func (l libvirt) up(what string, asked int, do func()) {
	l.t.Helper()
	begin := time.Now()
	do()
	l.forwards(1, true)
	l.untilWithin(guestBoot, "an answer of the guest", func() bool {
		_, err := command(l.t.Context(), within(l.from, "ping", "-c", "1", "-W", "1", moverAddress)...)
		return err == nil
	})
	l.t.Logf("%s: the guest answers after %s", what, time.Since(begin).Round(time.Millisecond))
	l.until(fmt.Sprintf("a guest that was told its address %d times", asked), func() bool {
		console, err := os.ReadFile(l.console())
		return err == nil && strings.Count(string(console), "DHCP: 10.0.0.10/24 mtu 1450 routes 0.0.0.0/0 10.0.0.1 dns 10.0.0.53 from 10.0.0.1") == asked
	})
	if out := l.run(within(l.node.Namespace, "tc", "filter", "show", "dev", "vmtap", "ingress")...); !strings.Contains(out, "weft-shield") {
		l.t.Errorf("libvirt's tap has no shield: %s", out)
	}
}

// gone waits until nothing of the guest's card is left.
func (l libvirt) gone() {
	l.t.Helper()
	l.forwards(1, false)
	l.released()
	l.until("the end of the tap", func() bool {
		_, err := command(l.t.Context(), within(l.node.Namespace, "ip", "link", "show", "vmtap")...)
		return err != nil
	})
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
	kernel, err := filepath.Abs(files.Kernel())
	if err != nil {
		t.Fatal(err)
	}
	fill := func(name string, words ...string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(words...).Replace(string(text))
	}
	card := fill("libvirt-interface.xml", "UID", topology.PortUID(fabric.PortRef{Tenant: "acme", Name: "vm"}))
	for name, text := range map[string]string{"interface.xml": card, "vm.xml": fill("libvirt.xml", "KERNEL", kernel, "DIR", dir, "INTERFACE", card)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
