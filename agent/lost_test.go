package agent_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/weftfabric/weft/wire/cniwire"
)

// records returns what the database holds of each attachment.
func (r *rig) records() map[string]string {
	out := map[string]string{}
	for _, i := range r.db.State().Interfaces {
		ids := i.ExternalIDs
		if ids["weft-kind"] != "" {
			out[i.Name] = strings.Join([]string{ids["weft-kind"], ids["iface-id"], ids["attached-mac"], ids["weft-addresses"], ids["weft-labels"], ids["weft-netns"]}, " ")
		}
	}
	return out
}

// loseDatabase empties the database while its server is down.
func (r *rig) loseDatabase() {
	r.t.Helper()
	r.db.Disconnect(errors.New("the database died"))
	r.eventually("an agent that notices", func() bool { return !r.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Ready })
	r.db.Lose()
	r.db.Reconnect()
}

// An agent that runs plugs again what the database has lost, but not what has gone meanwhile.
func TestLostDatabase(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", nil)
	r.add("c2", "/ns/2", nil)
	r.mustAsk(cniwire.Request{Attach: &cniwire.Attach{Port: vmPort, Tap: "tap0"}})
	before, flows := r.records(), len(r.sw.Flows())
	r.loseDatabase()
	r.add("c3", "/ns/3", nil) // whatever is plugged by then, it gets an address of its own
	r.eventually("what was attached", func() bool { return len(r.records()) == 4 })
	after := r.records()
	for name, record := range before {
		if after[name] != record {
			t.Errorf("%s was %q, and is %q", name, record, after[name])
		}
	}
	r.eventually("flows", func() bool { return len(r.sw.Flows()) > flows })
	del := func(id string) {
		t.Helper()
		if resp := r.ask(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: id, IfName: "eth0"}}}); resp.Error != nil {
			t.Errorf("DEL of %s: %v", id, resp.Error)
		}
	}
	del("c3")

	r.db.Disconnect(errors.New("the database died"))
	r.links.RemoveNamespace("/ns/2")
	r.db.Lose()
	r.db.Reconnect()
	r.eventually("what is left", func() bool { return len(r.records()) == 2 })
	del("c1")
	del("c2")
	if resp := r.ask(cniwire.Request{Detach: &cniwire.Detach{Port: vmPort}}); resp.Error != nil {
		t.Error(resp.Error)
	}
	if left := r.records(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// With the agent's memory lost too, nothing of an attachment is known: CHECK says so, its link goes, DEL and GC succeed,
// and an ADD begins anew.
func TestLostDatabaseAndAgent(t *testing.T) {
	r := newRig(t)
	r.run()
	r.ready()
	r.add("c1", "/ns/1", nil)
	r.add("c2", "/ns/2", nil)
	links := r.linkNames()
	r.stop()
	r.db.Lose()
	r.again()
	c1 := cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}
	if resp := r.ask(cniwire.Request{Check: &cniwire.Check{Attachment: c1}}); resp.Error == nil || resp.Error.Code != cniwire.CodeNotFound {
		t.Errorf("CHECK: %+v", resp.Error)
	}
	r.eventually("links without a record to go", func() bool {
		now := r.linkNames()
		maps.DeleteFunc(now, func(n string, _ bool) bool { return !links[n] })
		return len(now) == 0
	})
	if resp := r.ask(cniwire.Request{GC: &cniwire.GC{Config: "prod", Keep: []cniwire.Attachment{c1}}}); resp.Error != nil {
		t.Errorf("GC: %v", resp.Error)
	}
	for range 2 {
		if resp := r.ask(cniwire.Request{Del: &cniwire.Del{Attachment: c1}}); resp.Error != nil {
			t.Errorf("DEL: %v", resp.Error)
		}
	}
	r.add("c1", "/ns/1", nil)
}

// linkNames returns the links that the agent made.
func (r *rig) linkNames() map[string]bool {
	r.t.Helper()
	links, err := r.links.List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, l := range links {
		out[l.Name] = true
	}
	return out
}
