package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// attached returns the containers whose records are in the database, as the runtime names them.
func (r *rig) attached() string {
	r.t.Helper()
	var out []string
	for _, i := range r.db.State().Interfaces {
		if id := i.ExternalIDs["weft-container"]; id != "" {
			out = append(out, id+"/"+i.ExternalIDs["weft-ifname"])
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// again starts an agent that was stopped; like a real database, the fake one tells it everything anew.
func (r *rig) again() {
	r.t.Helper()
	r.db.Reconnect()
	r.run()
	r.ready()
}

func TestGarbage(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	add := func(id, ifName, netns, config string) {
		t.Helper()
		a := addOf(id, netns, fabric.Labels{"app": "web"})
		a.IfName, a.Config = ifName, config
		r.mustAsk(cniwire.Request{Add: a})
	}
	add("c1", "eth0", "/ns/1", "prod")
	add("c1", "net1", "/ns/1", "prod")
	add("c2", "eth0", "/ns/2", "prod")
	add("c3", "eth0", "/ns/3", "other")
	add("c4", "eth0", "/ns/4", "")
	r.mustAsk(cniwire.Request{Attach: &cniwire.Attach{Port: vmPort, Tap: "tap0"}})
	r.links.RemoveNamespace("/ns/2") // its container is gone, as the runtime knows

	gc := func(config string, keep ...cniwire.Attachment) cniwire.Response {
		t.Helper()
		return r.ask(cniwire.Request{GC: &cniwire.GC{Config: config, Keep: keep}})
	}
	if resp := gc("prod", cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}, cniwire.Attachment{ContainerID: "unheard-of", IfName: "eth0"}); resp.Error != nil {
		t.Fatal(resp.Error)
	}
	if got := r.attached(); got != "c1/eth0 c3/eth0 c4/eth0" {
		t.Errorf("left: %s", got)
	}
	if resp := gc("prod"); resp.Error != nil {
		t.Fatal(resp.Error)
	}
	if got := r.attached(); got != "c3/eth0 c4/eth0" {
		t.Errorf("left after a GC that keeps nothing: %s", got)
	}
	r.linksLeft(3)
	if resp := gc(""); resp.Error == nil || resp.Error.Code != cniwire.CodeInvalid {
		t.Errorf("a GC of no configuration: %+v", resp)
	}
	r.db.Disconnect(errors.New("the database died"))
	r.eventually("an agent that notices", func() bool { return !r.mustAsk(cniwire.Request{Status: &cniwire.Status{Brief: true}}).Status.Ready })
	if resp := gc("other"); resp.Error == nil || resp.Error.Code != cniwire.CodeUnavailable {
		t.Errorf("a GC without a database: %+v", resp)
	}
}

// A runtime that comes back after a reboot of the node finds records without links, and begins anew.
func TestAddAfterReboot(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", fabric.Labels{"app": "web"})
	r.add("c2", "/ns/2", fabric.Labels{"app": "web"})
	r.stop()
	r.links.RemoveNamespace("/ns/1")
	r.links.RemoveNamespace("/ns/2")
	r.sw.Restart(nil)
	r.again()
	in := r.add("c1", "/ns/5", fabric.Labels{"app": "db"}) // another namespace, and new labels
	if len(in.Addresses) != 2 {
		t.Errorf("attached: %+v", in)
	}
	for range 2 {
		r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: "c2", IfName: "eth0"}, Netns: "/ns/2"}})
	}
	if got := r.attached(); got != "c1/eth0" {
		t.Errorf("attached: %s", got)
	}
	r.linksLeft(1)
}

// STATUS asks every few seconds: it must not make the switch tell all its flows each time.
func TestBriefStatusAsksNobody(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	before := r.sw.Dumps()
	for range 10 {
		if s := r.mustAsk(cniwire.Request{Status: &cniwire.Status{Brief: true}}).Status; !s.Ready {
			t.Fatalf("status: %+v", s)
		}
	}
	if n := r.sw.Dumps() - before; n > 0 {
		t.Errorf("ten brief answers took %d dumps of the switch", n)
	}
	r.mustAsk(cniwire.Request{Status: &cniwire.Status{}})
	if r.sw.Dumps() == before {
		t.Error("a whole answer was given without the switch")
	}
}

// A container whose namespace goes without a DEL is noticed, though the switch keeps the port open, and then removed.
func TestContainerGoneWithoutDel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		r.agent = agent.New(r.cfg)
		done := make(chan error, 1)
		go func() { done <- r.agent.Run(ctx) }()
		r.ready()
		r.add("c1", "/ns/1", nil)
		r.add("c2", "/ns/2", nil)
		r.links.RemoveNamespace("/ns/1")
		time.Sleep(50 * time.Second)
		if report, _, _ := r.controller.reported(); !strings.Contains(strings.Join(report.Problems, " "), "its link is gone") {
			t.Errorf("problems: %v", report.Problems)
		}
		if got := r.attached(); got != "c1/eth0 c2/eth0" {
			t.Errorf("attached after less than a minute: %s", got)
		}
		time.Sleep(90 * time.Second)
		if got := r.attached(); got != "c2/eth0" {
			t.Errorf("attached: %s", got)
		}
		if report, _, _ := r.controller.reported(); len(report.Problems) > 0 {
			t.Errorf("problems: %v", report.Problems)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
