package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// forgotten returns the addresses whose connections the switch was told to forget since the last call, each once.
func (r *rig) forgotten(since *int) string {
	all := r.sw.Forgotten()
	var out []string
	for _, c := range all[*since:] {
		addr := c.Source
		if !addr.IsValid() {
			addr = c.Destination
		}
		out = append(out, fmt.Sprintf("%d/%s", c.Zone, addr))
	}
	*since = len(all)
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

func TestForgetsWhenAnAddressChangesHands(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	var seen int
	expect := func(what, want string) {
		t.Helper()
		var got []string
		r.eventually(what, func() bool {
			if more := r.forgotten(&seen); more != "" {
				got = append(got, more)
			}
			return strings.Join(got, " ") == want
		})
	}
	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	expect("a new container's addresses", "1/10.1.0.2 1/fd00:1::2")
	r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}})
	expect("a gone container's addresses", "1/10.1.0.2 1/fd00:1::2")

	// A restart forgets nothing of those that live on.
	r.add("c2", "/ns/2", fabric.Labels{"app": "web"})
	expect("the next container's addresses", "1/10.1.0.3 1/fd00:1::3")
	r.stop()
	r.again()
	r.add("c2", "/ns/2", fabric.Labels{"app": "web"})
	expect("nothing", "")

	// A declared Port's address is its own, wherever it goes.
	r.mustAsk(cniwire.Request{Attach: &cniwire.Attach{Port: vmPort, Tap: "tap0"}})
	r.mustAsk(cniwire.Request{Detach: &cniwire.Detach{Port: vmPort}})
	r.add("c3", "/ns/3", fabric.Labels{"app": "web"})
	got := r.forgotten(&seen)
	if got != "1/10.1.0.2 1/fd00:1::2" {
		t.Errorf("forgotten: %s", got)
	}
}

// A workload that gets the address of an earlier one doesn't get that one's connections, on a real switch.
func TestReusedAddressInheritsNoConnection(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	entries := func() string { return r.server.AppCtl(t, "dpctl/dump-conntrack", "netdev@ovs-netdev") }
	one, onePath := namespace(t)
	two, twoPath := namespace(t)
	_, threePath := namespace(t)
	a, b := r.add("c1", onePath, fabric.Labels{"app": "web"}), r.add("c2", twoPath, fabric.Labels{"app": "web"})
	for i := range a.Addresses { // connections of both directions
		command(t, "ip", "netns", "exec", one, "ping", "-c1", "-W2", b.Addresses[i].Addr().String())
		command(t, "ip", "netns", "exec", two, "ping", "-c1", "-W2", a.Addresses[i].Addr().String())
	}
	for _, proto := range []string{"icmp,", "icmpv6,"} {
		if got := strings.Count(entries(), proto+"orig="); got != 2 {
			t.Fatalf("%d connections of %s are tracked:\n%s", got, proto, entries())
		}
	}
	r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}})
	r.eventually("no connection of the container that is gone", func() bool { return !strings.Contains(entries(), a.Addresses[0].Addr().String()) })

	// The agent dies before it can forget: the ADD that gives the address away does.
	r.stop()
	r.server.OFCtl(t, "packet-out", "br-int",
		"in_port=LOCAL,packet=02000000000102000000000208004500002800014000400626c90a0100020a010003303900500000000000000000500220004b530000,actions=ct(commit,zone=1)")
	if !strings.Contains(entries(), "src=10.1.0.2") {
		t.Fatalf("no leftover connection:\n%s", entries())
	}
	r.run()
	r.ready()
	again := addOf("c3", threePath, fabric.Labels{"app": "web"})
	again.Addresses = append(again.Addresses, a.Addresses[0].Addr())
	r.mustAsk(cniwire.Request{Add: again})
	if strings.Contains(entries(), "src=10.1.0.2") {
		t.Errorf("the new workload inherits:\n%s", entries())
	}
}
