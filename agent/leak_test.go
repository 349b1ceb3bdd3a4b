package agent_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// leakPorts are the ports that are attached and detached; the lab's soak does it with many more, and with processes.
const leakPorts = 60

// things counts what an attachment could leave behind.
type things struct {
	ports, links, flows, attachments, entries, leases, goroutines, files int
	memory                                                               uint64 // bytes in use, after a collection
}

// count counts them on a rig with a running agent.
func (r *rig) count() things {
	r.t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		r.t.Fatal(err)
	}
	status := r.status()
	return things{
		ports: strings.Count(r.server.VSCtl(r.t, "list-ports", "br-int"), "\n"),
		links: strings.Count(r.server.InNamespace(r.t, "ip", "-d", "link"), "alias weft: "),
		flows: strings.Count(r.server.OFCtl(r.t, "dump-flows", "br-int"), "cookie=0x77"), attachments: status.Attachments,
		entries: r.conntrackEntries(), leases: r.controller.leases(), goroutines: runtime.NumGoroutine(), files: len(files), memory: m.HeapInuse,
	}
}

// conntrackEntries counts what the switch's tracker holds in any zone of a network.
func (r *rig) conntrackEntries() int {
	r.t.Helper()
	out := r.server.InNamespace(r.t, "ovs-appctl", "-t", r.server.Dir+"/ovs-vswitchd.ctl", "dpctl/dump-conntrack")
	return strings.Count(out, "zone=")
}

// leases counts the blocks that the node leases.
func (c *fakeController) leases() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, rt := range c.plan.Routes {
		if rt.Lease {
			n++
		}
	}
	return n
}

// TestNothingLeaks attaches and detaches containers at random, while agent and switch are killed in between.
func TestNothingLeaks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newRealRig(t)
	r.run()
	r.ready()
	const slots = 6
	var names, paths []string
	for range slots {
		name, path := namespace(t)
		names, paths = append(names, name), append(paths, path)
	}
	used := map[int]*cniwire.Interface{}
	attached := 0
	cycle := func() {
		slot := rng.IntN(slots)
		id := fmt.Sprintf("c%d", slot)
		if used[slot] != nil {
			r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: id, IfName: "eth0"}, Netns: paths[slot]}})
			delete(used, slot)
			return
		}
		used[slot] = r.add(id, paths[slot], fabric.Labels{"app": "web"})
		attached++
		for other, i := range used {
			if other != slot {
				command(t, "ip", "netns", "exec", names[slot], "ping", "-c1", "-W2", i.Addresses[0].Addr().String())
				break
			}
		}
	}
	empty := func() {
		for slot := range slots {
			if used[slot] != nil {
				r.mustAsk(cniwire.Request{Del: &cniwire.Del{Attachment: cniwire.Attachment{ContainerID: fmt.Sprintf("c%d", slot), IfName: "eth0"}, Netns: paths[slot]}})
				delete(used, slot)
			}
		}
	}
	for attached < 3 { // what the first ones make for good: the block, the identity
		cycle()
	}
	empty()
	r.eventually("an idle agent", func() bool { return r.conntrackEntries() == 0 && r.count().links == 0 })
	before := r.count()
	for attached = 0; attached < leakPorts; cycle() {
		switch rng.IntN(25) {
		case 0:
			r.stop()
			r.run()
			r.ready()
		case 1:
			r.server.StopSwitch(t)
			r.server.StartSwitch(t)
			r.eventually("an agent with its switch", func() bool {
				return r.status().Ready && strings.Contains(r.server.OFCtl(t, "dump-flows", "br-int"), "cookie=0x77")
			})
		}
	}
	empty()
	r.eventually("a tracker that has forgotten", func() bool { return r.conntrackEntries() == 0 })
	var after things
	r.eventually("the state of before", func() bool {
		after = r.count()
		return after.flows == before.flows && after.links == before.links && after.goroutines <= before.goroutines+2 && after.files <= before.files
	})
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tPORTS\tLINKS\tFLOWS\tATTACHMENTS\tCONNTRACK\tLEASES\tGOROUTINES\tFILES\tHEAP KB")
	for i, x := range []things{before, after} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", [...]string{"before", "after"}[i], x.ports, x.links, x.flows, x.attachments, x.entries, x.leases, x.goroutines, x.files, x.memory>>10)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	if after.ports != before.ports || after.links != before.links || after.attachments != before.attachments || after.entries != before.entries || after.leases != before.leases {
		t.Error("something is left")
	}
	if after.memory > before.memory+16<<20 {
		t.Errorf("the heap grew by %d KB", (after.memory-before.memory)>>10)
	}
}
