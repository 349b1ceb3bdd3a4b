package lab

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

const (
	moverAddress = "10.0.0.10"
	moverMAC     = "02:00:00:00:00:aa"
	moveTime     = 20 * time.Second // bounds the waiting; what it takes is printed
)

// TestMoves: a Port's interface appears on one node after the other. Its address follows, whether the node before
// unplugs it, still has it plugged, or is dead; and a node that lost it doesn't take it back.
func TestMoves(t *testing.T) {
	r, _ := testLab(t, "testdata/moves.yaml")
	m := newMover(t, r)
	p := startPing(t, r, "acme/two")

	m.wire(1)
	m.plug(1)
	p.answered(t, "plugged into node1")

	m.wire(3)
	m.plug(3) // while node1 has it plugged, too
	p.answered(t, "moved to node3, still plugged into node1")
	m.forwards(1, false)
	m.forwards(3, true)

	if err := r.RestartAgent(t.Context(), r.Nodes[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.answered(t, "restarted agent of node1")
	m.forwards(1, false)
	m.forwards(3, true)

	m.unplug(1)
	p.answered(t, "unplugged from node1")
	m.forwards(3, true)

	m.plugAs(1, "02:00:00:00:00:99")
	m.until("a refusal on node1", func() bool {
		return strings.Contains(strings.Join(listNodes(t, r)[0].GetReport().GetProblems(), "\n"), "port acme/vm has the MAC address "+moverMAC)
	})
	p.answered(t, "refused to another MAC address on node1")
	m.forwards(3, true)
	m.forwards(1, false)
	m.unplug(1)

	if err := stop(r.processesNamed("node3/*")); err != nil {
		t.Fatal(err)
	}
	m.wire(1)
	m.plug(1)
	p.answered(t, "plugged into node1, node3 is dead")
	m.forwards(1, true)

	m.unplug(1)
	m.forwards(1, false)
	m.released()
}

// mover stands for a virtual machine that is on one node after the other: a namespace with a wire to each.
type mover struct {
	t  *testing.T
	r  *Record
	ns string
}

func newMover(t *testing.T, r *Record) mover {
	t.Helper()
	m := mover{t: t, r: r, ns: r.namespaceName("mover")}
	if err := r.makeNamespace(t.Context(), m.ns); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.Nodes {
		m.run("ip", "-n", n.Namespace, "link", "add", "mover", "type", "veth", "peer", "name", "to-"+string(n.Name), "netns", m.ns)
		m.run("ip", "-n", n.Namespace, "link", "set", "mover", "up")
	}
	return m
}

func (m mover) run(args ...string) string {
	m.t.Helper()
	out, err := command(m.t.Context(), args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// wire connects the machine to one node, and to no other.
func (m mover) wire(node int) {
	m.t.Helper()
	for i, n := range m.r.Nodes {
		wire := "to-" + string(n.Name)
		m.run("ip", "-n", m.ns, "addr", "flush", "dev", wire)
		m.run("ip", "-n", m.ns, "link", "set", wire, "down")
		if i == node-1 {
			m.run("ip", "-n", m.ns, "link", "set", wire, "address", moverMAC, "up")
			m.run("ip", "-n", m.ns, "addr", "add", moverAddress+"/24", "dev", wire)
		}
	}
}

// plug does on a node what a hypervisor does with a new tap.
func (m mover) plug(node int) {
	m.t.Helper()
	m.plugAs(node, moverMAC)
}

func (m mover) plugAs(node int, mac string) {
	m.t.Helper()
	if _, err := m.r.Nodes[node-1].vsctl(m.t.Context(), "add-port", "br-int", "mover", "--", "set", "Interface", "mover",
		"external-ids:iface-id="+topology.PortUID(fabric.PortRef{Tenant: "acme", Name: "vm"}), `external-ids:attached-mac="`+mac+`"`, "external-ids:iface-status=active"); err != nil {
		m.t.Fatal(err)
	}
}

func (m mover) unplug(node int) {
	m.t.Helper()
	if _, err := m.r.Nodes[node-1].vsctl(m.t.Context(), "del-port", "mover"); err != nil {
		m.t.Fatal(err)
	}
}

// forwards waits until a node has flows for the machine, or has none.
func (m mover) forwards(node int, want bool) {
	m.t.Helper()
	n := m.r.Nodes[node-1]
	var flows string
	m.until("flows of the machine on "+string(n.Name), func() bool {
		var err error
		if flows, err = commandWith(m.t.Context(), "", n.ovsEnv(), "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int"); err != nil {
			m.t.Fatal(err)
		}
		return strings.Contains(flows, moverMAC) == want
	})
}

// released waits until no node reports the Port.
func (m mover) released() {
	m.t.Helper()
	m.until("a Port that is bound nowhere", func() bool {
		for _, n := range listNodes(m.t, m.r)[:2] { // node3 is dead, and its last report stands
			for _, at := range n.GetReport().GetAttachments() {
				if at.GetPort() == "acme/vm" {
					return false
				}
			}
		}
		return true
	})
}

func (m mover) until(what string, ok func() bool) {
	m.t.Helper()
	m.untilWithin(moveTime, what, ok)
}

func (m mover) untilWithin(limit time.Duration, what string, ok func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited %s for %s", limit, what)
		}
	}
}

// pinger sends an echo request every 20 ms, and knows when the last answer came.
type pinger struct {
	mu   sync.Mutex
	last time.Time
	gap  time.Duration // the longest pause between answers since it was asked last
}

func startPing(t *testing.T, r *Record, from string) *pinger {
	t.Helper()
	a, err := r.Find(from)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", a.Namespace, "ping", "-n", "-i", "0.02", moverAddress)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &pinger{last: time.Now()}
	var reader sync.WaitGroup
	reader.Go(func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			if strings.Contains(in.Text(), "bytes from "+moverAddress) {
				p.mu.Lock()
				p.gap, p.last = max(p.gap, time.Since(p.last)), time.Now()
				p.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reader.Wait()
		_ = cmd.Wait() // ended by cancel
	})
	return p
}

// answered waits for an answer to what is sent from now on, and prints the longest pause until then.
func (p *pinger) answered(t *testing.T, what string) {
	t.Helper()
	begin := time.Now()
	for {
		p.mu.Lock()
		last, gap := p.last, p.gap
		if last.After(begin.Add(100 * time.Millisecond)) { // what was under way counts no more
			p.gap = 0
			p.mu.Unlock()
			t.Logf("%s: %d ms without an answer", what, gap.Milliseconds())
			return
		}
		p.mu.Unlock()
		if time.Since(begin) > moveTime {
			t.Fatalf("%s: no answer for %s", what, time.Since(last))
		}
		time.Sleep(5 * time.Millisecond)
	}
}
