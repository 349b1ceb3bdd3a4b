package agent_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/cniwire"
	"github.com/weftfabric/weft/wire/openflow"
)

var (
	vmPort = fabric.PortRef{Tenant: "acme", Name: "vm"}
	dbPort = fabric.PortRef{Tenant: "acme", Name: "db"}
)

func TestRefusedRequests(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("taken", "/ns/1", fabric.Labels{"app": "web"})
	addr := netip.MustParseAddr
	edit := func(f func(*cniwire.Add)) cniwire.Request {
		a := addOf("c1", "/ns/2", fabric.Labels{"app": "web"})
		f(a)
		return cniwire.Request{Add: a}
	}
	tests := []struct {
		name string
		req  cniwire.Request
		code cniwire.Code
		says string
	}{
		{"nothing", cniwire.Request{}, cniwire.CodeInvalid, "exactly one thing"},
		{"two things", cniwire.Request{Status: &cniwire.Status{}, Del: &cniwire.Del{}}, cniwire.CodeInvalid, "asks for 2"},
		{"no container", edit(func(a *cniwire.Add) { a.ContainerID = "" }), cniwire.CodeInvalid, "container id"},
		{"control characters", edit(func(a *cniwire.Add) { a.ContainerID = "a\nb" }), cniwire.CodeInvalid, "container id"},
		{"long interface", edit(func(a *cniwire.Add) { a.IfName = strings.Repeat("x", 16) }), cniwire.CodeInvalid, "interface name"},
		{"slash in interface", edit(func(a *cniwire.Add) { a.IfName = "a/b" }), cniwire.CodeInvalid, "interface name"},
		{"relative namespace", edit(func(a *cniwire.Add) { a.Netns = "ns" }), cniwire.CodeInvalid, "absolute path"},
		{"no network", edit(func(a *cniwire.Add) { a.Network = fabric.NetworkRef{} }), cniwire.CodeInvalid, "either a port or a network"},
		{"port and network", edit(func(a *cniwire.Add) { a.Port = vmPort }), cniwire.CodeInvalid, "either a port or a network"},
		{"port and labels", edit(func(a *cniwire.Add) { a.Port, a.Network = vmPort, fabric.NetworkRef{} }), cniwire.CodeInvalid, "leave them out"},
		{"bad network", edit(func(a *cniwire.Add) { a.Network.Name = "Prod" }), cniwire.CodeInvalid, "network"},
		{"bad label", edit(func(a *cniwire.Add) { a.Labels = fabric.Labels{"a": "b,c=d"} }), cniwire.CodeInvalid, "label"},
		{"unknown network", edit(func(a *cniwire.Add) { a.Network.Name = "nowhere" }), cniwire.CodeNotFound, "network acme/nowhere does not exist"},
		{"unknown subnet", edit(func(a *cniwire.Add) { a.Subnet = "nowhere" }), cniwire.CodeNotFound, `no subnet "nowhere"`},
		{"unknown namespace", edit(func(a *cniwire.Add) { a.Netns = "/ns/nowhere" }), cniwire.CodeNotFound, "/ns/nowhere"},
		{"address of no subnet", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("192.0.2.7")} }), cniwire.CodeInvalid, "in no subnet"},
		{"address in use", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("10.1.0.2")} }), cniwire.CodeConflict, "in use or reserved"},
		{"gateway's address", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("10.1.0.1")} }), cniwire.CodeConflict, "in use or reserved"},
		{"subnet's own address", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("10.1.0.0")} }), cniwire.CodeConflict, "in use or reserved"},
		{"address of others' block", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("10.1.0.99")} }), cniwire.CodeConflict, "in no block"},
		{"two of one family", edit(func(a *cniwire.Add) { a.Addresses = []netip.Addr{addr("10.1.0.3"), addr("10.1.0.4")} }), cniwire.CodeInvalid, "at most one"},
		{"MAC in use", edit(func(a *cniwire.Add) { a.MAC, _ = fabric.ParseMAC("02:ed:78:7d:19:0c"); a.ContainerID = "c9" }), "", ""},
		{"MAC in use again", edit(func(a *cniwire.Add) { a.MAC, _ = fabric.ParseMAC("02:ed:78:7d:19:0c"); a.Netns = "/ns/3" }), cniwire.CodeConflict, "MAC address"},
		{"attached otherwise", cniwire.Request{Add: addOf("taken", "/ns/2", fabric.Labels{"app": "web"})}, cniwire.CodeConflict, "detach it first"},
		{"attached with other labels", cniwire.Request{Add: addOf("taken", "/ns/1", fabric.Labels{"app": "db"})}, cniwire.CodeConflict, "detach it first"},
		{"port that isn't declared", cniwire.Request{Attach: &cniwire.Attach{Port: fabric.PortRef{Tenant: "acme", Name: "no"}, Tap: "t"}}, cniwire.CodeNotFound, "not declared"},
		{"tap without a name", cniwire.Request{Attach: &cniwire.Attach{Port: vmPort}}, cniwire.CodeInvalid, "interface name"},
		{"the tunnel port", cniwire.Request{Attach: &cniwire.Attach{Port: vmPort, Tap: "weft-vxlan"}}, cniwire.CodeInvalid, "tunnel port"},
		{"detach without a port", cniwire.Request{Detach: &cniwire.Detach{}}, cniwire.CodeInvalid, "port"},
		{"check of nothing", cniwire.Request{Check: &cniwire.Check{Attachment: cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}}}, cniwire.CodeNotFound, "c1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := r.ask(tt.req)
			switch {
			case tt.code == "" && resp.Error == nil:
			case resp.Error == nil:
				t.Fatalf("it was granted: %+v", resp.Interface)
			case resp.Error.Code != tt.code || !strings.Contains(resp.Error.Message, tt.says):
				t.Errorf("%s: %s; want %s: %s", resp.Error.Code, resp.Error.Message, tt.code, tt.says)
			}
		})
	}
}

func TestFailedAddLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.db.Missing = func(name string) bool { return strings.HasPrefix(name, "weft") && name != "weft-vxlan" } // the switch can't open a veth
	r.run()
	r.ready()
	for range 3 {
		resp := r.ask(cniwire.Request{Add: addOf("c1", "/ns/1", nil)})
		if resp.Error == nil || !strings.Contains(resp.Error.Message, "No such device") {
			t.Fatalf("answer: %+v", resp)
		}
	}
	r.linksLeft(0)
	if s := r.db.State(); len(s.Interfaces) != 1 {
		t.Errorf("interfaces: %v", s.Interfaces)
	}
	if n := r.controller.count("LeaseBlock"); n != 2 {
		t.Errorf("%d blocks were leased for one container, want one of each family", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	const n = 100 // thirteen blocks of eight
	answers := make([]cniwire.Response, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a := addOf(fmt.Sprint("c", i), fmt.Sprintf("/ns/%d", 1+i%9), fabric.Labels{"app": "web", "lab.weft.dev/name": fmt.Sprint(i)})
			a.IfName = fmt.Sprint("net", i)
			answers[i] = r.ask(cniwire.Request{Add: a})
		})
	}
	wg.Wait()
	seen := map[netip.Prefix]bool{}
	for i, resp := range answers {
		if resp.Error != nil {
			t.Fatalf("container %d: %s: %s", i, resp.Error.Code, resp.Error.Message)
		}
		if len(resp.Interface.Addresses) != 2 {
			t.Errorf("container %d has %v", i, resp.Interface.Addresses)
		}
		for _, p := range resp.Interface.Addresses {
			if seen[p] {
				t.Errorf("%s was given twice", p)
			}
			seen[p] = true
		}
	}
	if got := r.controller.count("ResolveIdentity"); got != 1 {
		t.Errorf("one label set was resolved %d times", got)
	}
	if got := r.controller.count("LeaseBlock"); got > 40 {
		t.Errorf("%d blocks were leased", got)
	}
	for i := range n {
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: fmt.Sprint("c", i), IfName: fmt.Sprint("net", i)}}})
	}
	if s := r.db.State(); len(s.Interfaces) != 1 {
		t.Errorf("%d interfaces are left", len(s.Interfaces)-1)
	}
}

// With strict identity the controller is asked for the first workload of an identity on this node, though the identity
// is known: others accept it from here only then.
func TestStrictIdentityAsksOnce(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	web := fabric.Labels{"app": "web"}
	r.add("c1", "/ns/1", web)
	before := r.controller.count("ResolveIdentity")
	if err := r.controller.change("test", func() error {
		r.controller.plan.Settings.StrictIdentity = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.eventually("the strict plan", func() bool {
		r.add("c2", "/ns/2", web)
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c2", IfName: "eth0"}}})
		return r.controller.count("ResolveIdentity") > before
	})
	asked := r.controller.count("ResolveIdentity")
	r.add("c3", "/ns/3", web)
	if got := r.controller.count("ResolveIdentity"); got != asked {
		t.Errorf("asked again for what is placed here: %d times, then %d", asked, got)
	}
}

// A subnet that is used up is told clearly, for as long as it is.
func TestExhausted(t *testing.T) {
	r := newRig(t)
	tiny := r.controller.networks["acme/prod"]
	tiny.ID, tiny.Ref.Name, tiny.Blocks = 2, "tiny", []fabric.VNIBlock{{Base: 0x000200, Bits: 16}}
	tiny.Subnets = []plan.Subnet{{Name: "web", IPv4: netip.MustParsePrefix("10.2.0.0/29"), Gateway4: netip.MustParseAddr("10.2.0.1")}}
	tiny.Reserved = []netip.Addr{netip.MustParseAddr("10.2.0.1")}
	r.controller.networks["acme/tiny"] = tiny
	r.run()
	r.ready()
	request := func(i int) cniwire.Request {
		a := addOf(fmt.Sprint("c", i), fmt.Sprint("/ns/", i), nil)
		a.Network.Name = "tiny"
		return cniwire.Request{Add: a}
	}
	for i := 1; i <= 5; i++ { // of eight: not the first, the gateway's and the last
		r.mustAsk(request(i))
	}
	for range 2 {
		resp := r.ask(request(6))
		if resp.Error == nil || resp.Error.Code != cniwire.CodeExhausted || !strings.Contains(resp.Error.Message, "subnet web of network acme/tiny has no free block") {
			t.Fatalf("the sixth of five addresses: %+v", resp)
		}
	}
	r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: request(3).Add.Attachment}})
	if in := r.mustAsk(request(6)).Interface; in.Addresses[0].String() != "10.2.0.4/29" {
		t.Errorf("after a DEL: %v", in.Addresses)
	}
	if in := r.add("other", "/ns/9", nil); len(in.Addresses) != 2 {
		t.Errorf("another network: %v", in)
	}
}

func TestOneBadFlowBlocksNobody(t *testing.T) {
	r := newRig(t)
	r.sw.Refuse = func(op dataplane.Op) error {
		for _, m := range op.Flow.Match { // whatever names the address of the second container
			if m == openflow.Addr(openflow.IPv4Dst, netip.MustParseAddr("10.1.0.3")) {
				return errors.New("OFPBMC_BAD_FIELD")
			}
		}
		return nil
	}
	r.run()
	r.ready()
	r.add("c1", "/ns/1", nil)
	resp := r.ask(cniwire.Request{Add: addOf("c2", "/ns/2", nil)})
	if resp.Error == nil || !strings.Contains(resp.Error.Message, "refuses a flow") {
		t.Errorf("the container with the bad flow: %+v", resp)
	}
	r.add("c3", "/ns/3", nil)
}

func TestControllerAway(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	r.controller.setAway(true)
	r.eventually("an agent that notices", func() bool {
		return r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Controller != "connected"
	})
	r.add("c2", "/ns/2", fabric.Labels{"app": "web"}) // known labels and leased addresses need nobody
	resp := r.ask(cniwire.Request{Add: addOf("c3", "/ns/3", fabric.Labels{"app": "new"})})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeUnavailable || !strings.Contains(resp.Error.Message, "the controller is away") {
		t.Errorf("new labels: %+v", resp.Error)
	}
	r.controller.setAway(false)
	r.eventually("new labels", func() bool {
		return r.ask(cniwire.Request{Add: addOf("c3", "/ns/3", fabric.Labels{"app": "new"})}).Error == nil
	})
	r.eventually("an acknowledged revision", func() bool { _, enforced, revision := r.controller.reported(); return enforced == revision })
}

func TestDatabaseAway(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", nil)
	before := len(r.sw.Flows())
	r.db.Disconnect(errors.New("the database died"))
	r.eventually("an agent that notices", func() bool { return !r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Ready })
	if resp := r.ask(cniwire.Request{Add: addOf("c2", "/ns/2", nil)}); resp.Error == nil || resp.Error.Code != cniwire.CodeUnavailable {
		t.Errorf("ADD without a database: %+v", resp)
	}
	r.eventually("the flows of before", func() bool { return len(r.sw.Flows()) == before })
	r.db.Reconnect()
	r.add("c2", "/ns/2", nil)
}

func TestSwitchRestart(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", nil)
	want := len(r.sw.Flows())
	// The switch comes back with the container's number given to another port: its flows must not stand there.
	r.sw.Restart(map[uint32]string{2: "stranger"})
	r.eventually("flows", func() bool { return len(r.sw.Flows()) > 50 })
	for _, f := range r.sw.Flows() {
		for _, m := range f.Match {
			if m == openflow.Exact(openflow.InPort, 2) {
				t.Errorf("a stranger's port has the flow %s", f.Flow)
			}
		}
	}
	r.sw.Restart(nil)
	r.eventually("all flows", func() bool { return len(r.sw.Flows()) == want })
}

func TestOrphansAndPorts(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	add := &cniwire.Add{Attachment: cniwire.Attachment{ContainerID: "p", IfName: "eth0"}, Netns: "/ns/1", Port: dbPort}
	in := r.mustAsk(cniwire.Request{Add: add}).Interface
	if in.MAC.String() != "02:00:00:00:00:bb" || len(in.Addresses) != 2 {
		t.Errorf("a Port without fixed addresses: %+v", in)
	}
	resp := r.ask(cniwire.Request{Attach: &cniwire.Attach{Port: dbPort, Tap: "tap0"}})
	if resp.Error == nil || resp.Error.Code != cniwire.CodeConflict {
		t.Errorf("a Port that a container has: %+v", resp.Error)
	}
	if resp := r.ask(cniwire.Request{Detach: &cniwire.Detach{Port: dbPort}}); resp.Error == nil || resp.Error.Code != cniwire.CodeConflict {
		t.Errorf("detach of a container's Port: %+v", resp.Error)
	}
	r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: add.Attachment}})
	r.eventually("a released Port", func() bool { return len(r.controller.bound()) == 0 })
}
