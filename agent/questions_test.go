package agent_test

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
)

// TestDHCP: a container that has forgotten its addresses gets them back by a DHCP client, through a real switch, and
// so does a guest's stand-in on a veth that was plugged by hand.
func TestDHCP(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	one, path := namespace(t)
	first := r.add("c1", path, fabric.Labels{"app": "web"})
	command(t, "ip", "-n", one, "addr", "flush", "dev", "eth0")
	got := udhcpc(t, one)
	for key, want := range map[string]string{
		"ip": first.Addresses[0].Addr().String(), "mask": "24", "router": "10.1.0.1", "serverid": "10.1.0.1", "mtu": "1400",
		"lease": "86400", "dns": "10.1.0.53 9.9.9.9", "staticroutes": "0.0.0.0/0 10.1.0.1",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}

	vm, _ := namespace(t)
	r.server.InNamespace(t, "ip", "link", "add", "plugged", "type", "veth", "peer", "name", "eth0", "netns", vm)
	r.server.InNamespace(t, "ip", "link", "set", "plugged", "up")
	command(t, "ip", "-n", vm, "link", "set", "eth0", "address", "02:00:00:00:00:aa", "up")
	r.server.VSCtl(t, "add-port", "br-int", "plugged", "--", "set", "Interface", "plugged", "external_ids:iface-id=acme.vm")
	if got := udhcpc(t, vm); got["ip"] != "10.1.0.200" {
		t.Errorf("the Port's DHCP client got %v", got)
	}
	if flows := r.server.OFCtl(t, "dump-flows", "br-int", "table=10"); !strings.Contains(flows, "nw_dst=255.255.255.255") {
		t.Errorf("no flow leads requests to the agent:\n%s", flows)
	}
}

// TestForeignInterface: an interface that somebody else plugs is shielded from the node while it is bound, and forwards
// only with the MAC address that is the Port's.
func TestForeignInterface(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	for _, args := range [][]string{{"add", "plugged", "type", "veth", "peer", "name", "guest"}, {"set", "plugged", "up"}} {
		r.server.InNamespace(t, append([]string{"ip", "link"}, args...)...)
	}
	shield := func() bool {
		return strings.Contains(r.server.InNamespace(t, "tc", "filter", "show", "dev", "plugged", "ingress"), "weft-shield")
	}
	forwards := func() bool {
		return strings.Contains(r.server.OFCtl(t, "dump-flows", "br-int", "table=0"), "dl_src=02:00:00:00:00:aa")
	}
	// What libvirt does (src/util/virnetdevopenvswitch.c), in one transaction: it deletes what is left of an earlier
	// guest, adds the port, and says whose it is.
	plug := func() {
		r.server.VSCtl(t, "--timeout=5", "--", "--may-exist", "add-port", "br-int", "plugged",
			"--", "set", "Interface", "plugged", `external-ids:attached-mac="02:00:00:00:00:aa"`,
			"--", "set", "Interface", "plugged", `external-ids:iface-id="11111111-2222-5333-8444-555555555555"`,
			"--", "set", "Interface", "plugged", `external-ids:vm-id="5a9d2a0a-6d6a-4d3c-8f0f-0123456789ab"`,
			"--", "set", "Interface", "plugged", "external-ids:iface-status=active")
	}
	for range 2 {
		plug()
		r.eventually("a bound, shielded interface", func() bool { return slices.Equal(r.controller.bound(), []string{"acme/vm"}) && shield() && forwards() })
		r.server.VSCtl(t, "set", "Interface", "plugged", "external-ids:iface-status=inactive")
		r.eventually("an unbound interface", func() bool { return len(r.controller.bound()) == 0 && !shield() && !forwards() })
		r.server.VSCtl(t, "set", "Interface", "plugged", "external-ids:iface-status=active")
		r.eventually("a bound interface", func() bool { return len(r.controller.bound()) == 1 && shield() && forwards() })
		r.server.VSCtl(t, "set", "Interface", "plugged", `external-ids:attached-mac="02:00:00:00:00:99"`)
		r.eventually("a refused interface", func() bool {
			report, _, _ := r.controller.reported()
			problems := strings.Join(report.Problems, "\n")
			return strings.Contains(problems, "interface plugged is not bound: ") && strings.Contains(problems, "port acme/vm has the MAC address") && !forwards()
		})
		r.server.VSCtl(t, "--timeout=5", "--", "--if-exists", "del-port", "plugged")
		r.eventually("an interface as it was", func() bool {
			return len(r.controller.bound()) == 0 && !strings.Contains(r.server.InNamespace(t, "tc", "qdisc", "show", "dev", "plugged"), "clsact")
		})
	}
}

// udhcpc runs a DHCP client on eth0 of a namespace until it has a lease, and returns what it was told.
func udhcpc(t *testing.T, namespace string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	script, told := filepath.Join(dir, "script"), filepath.Join(dir, "told")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = bound ] && env >"+told+"\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "netns", "exec", namespace, "busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", script, "-O", "mtu", "-O", "staticroutes")
	content, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		out[key] = value
	}
	return out
}

// TestDHCPRefusals: a request for another MAC address, one from a port that nobody knows, and what is too much are
// counted and have no answer.
func TestDHCPRefusals(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	in := r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	var port uint32
	for _, f := range r.sw.Flows() {
		if c, ok := pipeline.ParseCookie(f.Cookie); ok && c.Kind == pipeline.KindAttachment {
			port = c.Object
		}
	}
	other := fabric.MAC{2, 0, 0, 0, 0, 0x66}
	ask := func(port uint32, mac fabric.MAC) {
		r.sw.Ask(ovs.Question{Port: port, Purpose: pipeline.PurposeDHCPv4, Packet: discover(t, mac)})
	}
	refused := func(want uint64) {
		t.Helper()
		r.eventually("refused requests", func() bool { return r.ready().Drops["dhcp-refused"] == want })
	}
	ask(port, in.MAC)
	r.eventually("an offer", func() bool { return len(r.sw.Sent(port)) == 1 })
	ask(port, other)
	refused(1)
	ask(port+1, other)
	refused(2)
	r.sw.Ask(ovs.Question{Port: port + 2, Purpose: "something else"})
	refused(3)
	for range 90 {
		ask(port, in.MAC)
	}
	r.eventually("more refused requests", func() bool {
		return int(r.ready().Drops["dhcp-refused"]-3)+len(r.sw.Sent(port))-1 == 90
	})
	if n := len(r.sw.Sent(port)); n < 10 || n > 60 {
		t.Errorf("%d of 91 requests that came at once were answered", n)
	}
}

// discover is the frame of a client's first message.
func discover(t *testing.T, mac fabric.MAC) []byte {
	t.Helper()
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr(mac[:]))
	if err != nil {
		t.Fatal(err)
	}
	payload := m.ToBytes()
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 68, 0, 67)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}
