package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// soakPorts are the ports that TestSoak attaches and detaches.
const soakPorts = 500

// soakGrowth bounds by how much the agent's resident memory may grow: what Go's runtime keeps back for later.
const soakGrowth = 24 << 20

// TestSoak attaches and detaches 500 containers at random, by the shipped plugin, while processes are killed in between.
// It takes minutes, and runs where WEFT_SOAK is set.
func TestSoak(t *testing.T) {
	if os.Getenv("WEFT_SOAK") == "" {
		t.Skip("set WEFT_SOAK=1 to run it")
	}
	r, _ := testLab(t, "testdata/steady")
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WEFT_KILL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("WEFT_KILL_SEED=%d", seed)
	k := &soak{t: t, lab: r, rng: rand.New(rand.NewPCG(seed, 0)), node: r.Nodes[0]}
	k.run(20) // what the first ones leave for good: a block, a process's buffers
	k.restart()
	before := k.count()
	k.run(soakPorts)
	k.restart()
	var after soakCount
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if after = k.count(); after.clean(before) || time.Now().After(deadline) {
			break
		}
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tNAMESPACES\tLINKS\tPORTS\tFLOWS\tCONNTRACK\tLEASES\tAGENT'S THREADS\tFILES\tRESIDENT KB")
	for i, c := range []soakCount{before, after} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", [...]string{"before", "after"}[i],
			c.namespaces, c.links, c.ports, c.flows, c.conntrack, c.leases, c.threads, c.files, c.resident>>10)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	if !after.clean(before) {
		t.Error("something is left")
	}
	wantClean(t, r)
}

// soak attaches and detaches on one node.
type soak struct {
	t    *testing.T
	lab  *Record
	rng  *rand.Rand
	node Node
	next int
	live []Attached
}

// run attaches n containers, detaches all of them, and kills what a draw says.
func (k *soak) run(n int) {
	k.t.Helper()
	for attached := 0; attached < n; {
		switch draw := k.rng.IntN(100); {
		case draw < 2:
			k.cycle(Agent)
		case draw < 3:
			k.cycle(Switch)
		case draw < 4:
			k.cycle(Database)
		case draw < 5:
			k.cycle(Controller)
		case draw < 50 && len(k.live) > 0 || len(k.live) >= 20:
			k.detach(k.rng.IntN(len(k.live)))
		default:
			k.attach()
			attached++
		}
	}
	for len(k.live) > 0 {
		k.detach(0)
	}
}

// cycle kills a part and revives it.
func (k *soak) cycle(p Part) {
	k.t.Helper()
	if err := k.lab.Kill(k.t.Context(), p, k.node); err != nil {
		k.t.Fatal(err)
	}
	if err := k.lab.Revive(k.t.Context(), p, k.node); err != nil {
		k.t.Fatal(err)
	}
}

// attach makes a namespace and calls ADD, as a runtime does: again with the same names while the node recovers.
func (k *soak) attach() {
	k.t.Helper()
	like := k.lab.Workloads[0].Workload
	like.Metadata.Name, like.Spec.Port, like.Spec.Node = fmt.Sprintf("soak%d", k.next), "", 1
	k.next++
	a := Attached{Workload: like, Node: string(k.node.Name), Namespace: k.lab.namespaceName(fmt.Sprintf("soak%d", k.next))}
	if err := k.lab.makeNamespace(k.t.Context(), a.Namespace); err != nil {
		k.t.Fatal(err)
	}
	k.again("ADD", a)
	k.live = append(k.live, a)
}

func (k *soak) detach(i int) {
	k.t.Helper()
	a := k.live[i]
	k.live = slices.Delete(k.live, i, i+1)
	k.again("DEL", a)
	if err := deleteNamespace(k.t.Context(), a.Namespace); err != nil {
		k.t.Fatal(err)
	}
	k.lab.Namespaces = slices.DeleteFunc(k.lab.Namespaces, func(n string) bool { return n == a.Namespace })
}

// again calls the plugin until it succeeds.
func (k *soak) again(verb string, a Attached) {
	k.t.Helper()
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err = k.lab.cniCall(k.t.Context(), verb, k.node, a, ""); err == nil {
			return
		}
	}
	k.t.Fatalf("%s of %s: %v", verb, a.Ref(), err)
}

// restart makes the agent equally young before each count, and waits until the node is whole.
func (k *soak) restart() {
	k.t.Helper()
	k.cycle(Agent)
	wantClean(k.t, k.lab)
}

// soakCount counts what could be left.
type soakCount struct {
	namespaces, links, ports, flows, conntrack, leases, threads, files int
	resident                                                           uint64 // of the agent, in bytes
}

// clean reports whether nothing is left that wasn't there before.
func (c soakCount) clean(before soakCount) bool {
	return c.namespaces == before.namespaces && c.links == before.links && c.ports == before.ports && c.flows == before.flows &&
		c.conntrack <= before.conntrack && c.leases == before.leases && c.files <= before.files+1 && c.resident < before.resident+soakGrowth
}

func (k *soak) count() soakCount {
	k.t.Helper()
	run := func(args ...string) string {
		out, err := commandWith(k.t.Context(), "", k.node.ovsEnv(), args...)
		if err != nil {
			k.t.Fatal(err)
		}
		return out
	}
	p, err := planOf(k.node)
	if err != nil {
		k.t.Fatal(err)
	}
	c := soakCount{
		links:     len(ourLinks(run(within(k.node.Namespace, "ip", "-d", "link", "show")...))),
		ports:     strings.Count(run("ovs-vsctl", "--db="+k.node.OVSDB(), "list-ports", "br-int"), "\n"),
		flows:     strings.Count(run("ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int"), "cookie=0x77"),
		conntrack: strings.Count(run("ovs-appctl", "-t", filepath.Join(k.node.OVSDir(), "ovs-vswitchd.ctl"), "dpctl/dump-conntrack"), "zone="),
	}
	namespaces, _ := filepath.Glob(filepath.Join(netnsDir, k.lab.namespaceName("*")))
	c.namespaces = len(namespaces)
	for _, rt := range p.Routes {
		if rt.Lease && rt.Node == k.node.Name {
			c.leases++
		}
	}
	agents := k.lab.processesNamed(processName(Agent, k.node))
	proc := filepath.Join("/proc", strconv.Itoa(agents[len(agents)-1].PID))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		k.t.Fatal(err)
	}
	c.files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Threads:"):
			c.threads, _ = strconv.Atoi(fields[1])
		case strings.HasPrefix(line, "VmRSS:"):
			kb, _ := strconv.ParseUint(fields[1], 10, 64)
			c.resident = kb << 10
		}
	}
	return c
}
