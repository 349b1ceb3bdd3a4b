package agent_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

func delOf(id, netns string) cniwire.Request {
	return cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: id, IfName: "eth0"}, Netns: netns}}
}

// A container that was detached can be attached again at once, by the same name and by another, though the kernel is
// still deleting the link of before; and the first packet passes.
func TestAttachAgainAtOnce(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	name, path := namespace(t)
	for i := range 6 {
		id := fmt.Sprintf("c%d", i/3) // each three times
		in := r.add(id, path, fabric.Labels{"app": "web"})
		command(t, "ip", "netns", "exec", name, "ping", "-c1", "-W2", in.Gateways[0].String())
		r.mustAsk(delOf(id, path))
		if out := command(t, "ip", "-n", name, "-o", "link"); strings.Contains(out, "eth0") {
			t.Errorf("DEL left %s", out)
		}
	}
	r.eventually("a container without links", func() bool {
		return strings.Count(command(t, "ip", "-n", name, "-o", "link"), "\n") == 1
	})
}

// Ports have the numbers that they asked for, also after a restart of the switch.
func TestPortsKeepTheirNumbers(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	numbers := map[string]int{}
	for i := range 3 {
		_, path := namespace(t)
		in := r.add(fmt.Sprintf("c%d", i), path, fabric.Labels{"app": "web"})
		n, err := strconv.Atoi(strings.TrimSpace(r.server.VSCtl(t, "get", "Interface", in.HostName, "ofport_request")))
		if err != nil || n < 1<<15 {
			t.Fatalf("%s asks for number %d: %v", in.HostName, n, err)
		}
		numbers[in.HostName] = n
	}
	r.server.StopSwitch(t)
	r.server.StartSwitch(t)
	for name, n := range numbers {
		r.eventually(fmt.Sprintf("%s with number %d", name, n), func() bool {
			flows, err := exec.Command("ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "unix:"+r.server.Dir+"/br-int.mgmt", "table=0").Output()
			return err == nil && strings.Contains(string(flows), fmt.Sprintf("in_port=%d", n)) &&
				strings.TrimSpace(r.server.VSCtl(t, "get", "Interface", name, "ofport")) == strconv.Itoa(n)
		})
	}
}

// While the switch is too busy to drop a workload's flows, a DEL doesn't wait for it, and nobody gets the address.
func TestAddressWaitsForItsFlows(t *testing.T) {
	r := newRig(t)
	open := make(chan struct{})
	close(open)
	gate := make(chan (<-chan struct{}), 1)
	gate <- open
	r.cfg.Dial = func(ctx context.Context) (agent.Flows, error) {
		conn, err := r.sw.Connect(ctx)
		return gatedFlows{conn, gate}, err
	}
	r.run()
	r.ready()
	in := r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	<-gate
	shut := make(chan struct{})
	gate <- shut
	r.mustAsk(delOf("c1", "/ns/1"))
	if got := r.attached(); got != "" {
		t.Errorf("attached: %s", got)
	}
	again := addOf("c2", "/ns/2", fabric.Labels{"app": "web"})
	again.Addresses = []netip.Addr{in.Addresses[0].Addr()}
	done := make(chan cniwire.Response, 1)
	go func() { done <- r.ask(cniwire.Request{Add: again}) }()
	r.eventually("an ADD that waits for the address", func() bool {
		return strings.Contains(strings.Join(r.agent.Needs(t.Context()), "\n"), "drop the flows of address "+again.Addresses[0].String())
	})
	if links, _ := r.links.List(t.Context()); len(links) > 1 {
		t.Errorf("links: %v", links)
	}
	close(shut)
	select {
	case resp := <-done:
		if resp.Error != nil || resp.Interface.Addresses[0].Addr() != again.Addresses[0] {
			t.Errorf("the second workload: %+v", resp)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the second ADD doesn't end")
	}
}

// gatedFlows asks before each change which gate to pass.
type gatedFlows struct {
	agent.Flows
	gate chan (<-chan struct{})
}

func (f gatedFlows) Apply(ctx context.Context, ops []dataplane.Op) error {
	gate := <-f.gate
	f.gate <- gate
	select {
	case <-gate:
	case <-ctx.Done():
	}
	return f.Flows.Apply(ctx, ops)
}

// An agent that died between a DEL's answer and the deletion of the link leaves a link that the next one deletes.
func TestPutAsideThenKilled(t *testing.T) {
	r := newRealRig(t)
	r.run()
	r.ready()
	name, path := namespace(t)
	in := r.add("c1", path, fabric.Labels{"app": "web"})
	r.stop()
	// What a DEL does before it answers.
	command(t, "ip", "-n", name, "link", "set", "eth0", "down")
	command(t, "ip", "-n", name, "link", "set", "eth0", "name", in.HostName)
	r.server.VSCtl(t, "del-port", in.HostName)
	r.run()
	r.eventually("no links", func() bool {
		return !strings.Contains(r.server.InNamespace(t, "ip", "-d", "link"), "alias weft: ") && !strings.Contains(command(t, "ip", "-n", name, "-o", "link"), in.HostName)
	})
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
