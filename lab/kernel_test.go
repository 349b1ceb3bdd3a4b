package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/lab/guest"
)

// kernelTime bounds the test: the guest's processor is emulated.
const kernelTime = 55 * time.Minute

// kernelTests are the tests of this package that TestKernel runs in the machine.
const kernelTests = "^(TestThreeTier|TestTwoTenants|TestVerifiedNodes|TestEncrypted|TestStrictIdentity)$"

// TestKernel runs tests of this package in a machine whose kernel has Open vSwitch's datapath and WireGuard, and an example by
// the command line: predicted equals seen.
func TestKernel(t *testing.T) {
	if os.Getenv("WEFT_KERNEL") == "" {
		t.Skip("it takes many minutes: make test-kernel")
	}
	ovstest.Require(t)
	bin, dir := binaries(t), os.Getenv("WEFT_GUEST_DIR")
	init, err := os.ReadFile("testdata/kernel/init.sh")
	if err != nil {
		t.Fatal(err)
	}
	image := guest.Image{
		Dir: dir,
		Modules: []string{
			"openvswitch", "vport_vxlan", "wireguard", "veth", "tun", "bridge", "sch_ingress", "cls_bpf", "act_bpf",
			"ip_tables", "iptable_filter", "xt_tcpudp", "nf_conntrack_netlink", "af_packet",
		},
		Programs: []string{
			"bash", "busybox", "ip", "ping", "nice", "tcpdump", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ovs-appctl",
		},
		Files: map[string]string{
			"usr/share/openvswitch/vswitch.ovsschema": ovsSchema,
			"usr/lib/x86_64-linux-gnu/xtables":        "/usr/lib/x86_64-linux-gnu/xtables",
		},
		Links: map[string]string{"bin/sh": "bash", "var/run": "/run", "bin/iptables": "xtables-legacy-multi"},
		Init:  init,
	}
	for _, program := range []string{"weft", "weft-controller", "weft-agent", "weft-cni", "weft-lab-probe"} {
		image.Files["weft/"+program] = filepath.Join(bin, program)
	}
	// The tests find examples and testdata from the directory of their package.
	image.Files["source/examples"], image.Files["source/lab/testdata"] = "../examples", "testdata"
	image.Files["weft/lab.test"] = testBinary(t)
	tests := kernelTests
	if only := os.Getenv("WEFT_KERNEL_TESTS"); only != "" {
		tests = only
	}
	image.Files["etc/tests"] = written(t, tests)
	image.Programs = append(image.Programs, "xtables-legacy-multi")
	console := runImage(t, filepath.Join(dir, "vmlinuz"), image)
	for _, part := range []string{"demo", "tests"} {
		if !strings.Contains(console, "RESULT "+part+" 0\n") {
			t.Errorf("the %s failed on the kernel's datapath", part)
		}
	}
	if t.Failed() || testing.Verbose() {
		t.Logf("the machine said:\n%s", console)
	}
}

// testBinary compiles this package's tests so that they need no library.
func testBinary(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "lab.test")
	cmd := exec.Command("go", "test", "-c", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile the tests: %v\n%s", err, text)
	}
	return out
}

// written returns the name of a file with a text.
func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// runImage boots an image, waits until the machine switches itself off, and returns what it said.
func runImage(t *testing.T, kernel string, image guest.Image) string {
	t.Helper()
	dir := t.TempDir()
	initrd, err := os.Create(filepath.Join(dir, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(image.Write(initrd), initrd.Close()); err != nil {
		t.Fatal(err)
	}
	console := filepath.Join(dir, "console")
	ctx, cancel := context.WithTimeout(t.Context(), kernelTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "3072", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-initrd", initrd.Name(), "-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable random.trust_cpu=on",
		"-serial", "file:"+console).CombinedOutput()
	said, readErr := os.ReadFile(console)
	if err := errors.Join(err, readErr); err != nil {
		t.Fatalf("the machine: %v: %s\n%s", err, out, said)
	}
	return strings.ReplaceAll(string(said), "\r\n", "\n")
}
