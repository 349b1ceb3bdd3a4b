package agent_test

import (
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

func TestContainersReachEachOther(t *testing.T) {
	r := newRealRig(t)
	r.run()
	status := r.ready()
	if status.Datapath != "netdev" || status.Controller != "connected" {
		t.Errorf("status: %+v", status)
	}
	one, onePath := namespace(t)
	_, twoPath := namespace(t)
	a := r.add("c1", onePath, fabric.Labels{"app": "web"})
	b := r.add("c2", twoPath, fabric.Labels{"app": "web"})
	for _, addr := range b.Addresses {
		command(t, "ip", "netns", "exec", one, "ping", "-c1", "-W2", addr.Addr().String())
	}
	for _, gw := range a.Gateways {
		command(t, "ip", "netns", "exec", one, "ping", "-c1", "-W2", gw.String())
	}
	r.mustAsk(cniwire.Request{Check: &cniwire.Check{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}, Netns: onePath, MAC: a.MAC, Addresses: a.Addresses}})
	for range 2 {
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}})
	}
	if out := command(t, "ip", "-n", one, "-o", "link"); strings.Contains(out, "eth0") {
		t.Errorf("DEL left %s", out)
	}
	resp := r.ask(cniwire.Request{Check: &cniwire.Check{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}, Netns: onePath}})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeNotFound {
		t.Errorf("CHECK after DEL: %+v", resp.Error)
	}
}
