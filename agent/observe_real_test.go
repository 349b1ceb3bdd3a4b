package agent_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/agent/hits"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/cniwire"
)

// observed is a real rig that counts, logs and cuts, with two containers.
type observed struct {
	*rig
	client, server         string // namespaces
	clientAddr, serverAddr netip.Addr
}

func newObserved(t *testing.T) *observed {
	r := newRealRig(t)
	dir := t.TempDir()
	r.cfg.HitsFile, r.cfg.FlowLog = filepath.Join(dir, "hits"), filepath.Join(dir, "flows.log")
	r.cfg.Tracker = ovs.Dialer{RunDir: r.server.Dir, Bridge: ovs.DefaultBridge}
	o := &observed{rig: r}
	o.run()
	o.ready()
	var clientPath, serverPath string
	o.client, clientPath = namespace(t)
	o.server, serverPath = namespace(t)
	o.clientAddr = o.add("c1", clientPath, fabric.Labels{"app": "web"}).Addresses[0].Addr()
	o.serverAddr = o.add("c2", serverPath, fabric.Labels{"app": "db"}).Addresses[0].Addr()
	return o
}

// rules gives the network rules of the tenant, above the posture that allows.
func (o *observed) rules(rules ...firewall.Rule) {
	o.t.Helper()
	var revision uint64
	err := o.controller.change("policy", func() error {
		c := o.controller
		table := &c.tables[0]
		kept := table.Rules[:0:0]
		for _, r := range table.Rules {
			if r.Tier == firewall.Posture {
				kept = append(kept, r)
			}
		}
		for i := range rules {
			rules[i].Tier, rules[i].Order = firewall.Tenant, firewall.Order{Index: i}
			rules[i].Subject, rules[i].Peers = firewall.Workloads{Any: true}, firewall.Peers{Any: true}
			rules[i].Origin = firewall.Origin{Policy: "FirewallPolicy acme/web", Rule: fmt.Sprintf("ingress[%d]", i), File: "shop.yaml", Line: 10 + i}
		}
		c.plan.Tables = []firewall.Table{{Network: 1, Rules: append(kept, rules...)}}
		table.Rules = c.plan.Tables[0].Rules
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	_, _, revision = o.controller.reported()
	o.eventually("the rules", func() bool { _, enforced, _ := o.controller.reported(); return enforced >= revision })
}

func tcpRule(id firewall.RuleID, a firewall.Action, port uint16) firewall.Rule {
	return firewall.Rule{ID: id, Direction: firewall.Ingress, Action: a, Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: port, Last: port}}}}
}

// saved returns the counts in the agent's file.
func (o *observed) saved() map[firewall.RuleID]hits.Count {
	o.t.Helper()
	b, err := os.ReadFile(o.cfg.HitsFile)
	if err != nil {
		return nil
	}
	book, err := hits.Unmarshal(b)
	if err != nil {
		o.t.Fatal(err)
	}
	return book.Counts()
}

// records returns what the log holds.
func (o *observed) records() []flowlog.Record {
	o.t.Helper()
	var out []flowlog.Record
	if _, err := flowlog.NewFile(o.cfg.FlowLog, 0).Read(func(r flowlog.Record) error { out = append(out, r); return nil }); err != nil {
		o.t.Fatal(err)
	}
	return out
}

// within runs f on a thread in a network namespace. Sockets that f makes stay there.
func within(t *testing.T, name string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open(filepath.Join("/run/netns", name))
		if err == nil {
			err = errors.Join(unix.Setns(int(file.Fd()), unix.CLONE_NEWNET), file.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// listen serves ports of the server: what comes goes back. It is a process of its own, which lives on while agents start
// and stop.
func (o *observed) listen(ports ...uint16) {
	o.t.Helper()
	var addrs []string
	for _, port := range ports {
		addrs = append(addrs, netip.AddrPortFrom(o.serverAddr, port).String())
	}
	cmd := exec.Command("ip", "netns", "exec", o.server, os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), echoAddresses+"="+strings.Join(addrs, ",")), os.Stderr
	ready, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		o.t.Fatalf("the server doesn't listen: %v", err)
	}
}

// echoAddresses makes the test's program a server.
const echoAddresses = "WEFT_TEST_ECHO"

func TestMain(m *testing.M) {
	if addrs := os.Getenv(echoAddresses); addrs != "" {
		if err := serveEcho(strings.Split(addrs, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveEcho sends back what comes, until the process is killed.
func serveEcho(addrs []string) error {
	failed := make(chan error)
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go func() { _, _ = io.Copy(c, c) }()
			}
		}()
	}
	fmt.Println("listening")
	return <-failed
}

// dial opens a connection from the client to the server within a time. The error is that of the dialling.
func (o *observed) dial(port uint16, timeout time.Duration) (c net.Conn, err error) {
	o.t.Helper()
	within(o.t, o.client, func() error {
		c, err = net.DialTimeout("tcp", netip.AddrPortFrom(o.serverAddr, port).String(), timeout)
		return nil
	})
	if err == nil {
		o.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// mustDial opens a connection that must be allowed.
func (o *observed) mustDial(port uint16) net.Conn {
	o.t.Helper()
	c, err := o.dial(port, 5*time.Second)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// echo reports whether a connection carries something there and back within a time.
func echo(c net.Conn, within time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// TestHitsSurvive counts one connection, and restarts the agent and the switch around it.
func TestHitsSurvive(t *testing.T) {
	o := newObserved(t)
	o.listen(80, 81)
	o.rules(tcpRule(70, firewall.Allow, 80), tcpRule(71, firewall.Deny, 81))
	if err := echo(o.mustDial(80), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if c, err := o.dial(81, 300*time.Millisecond); err == nil {
		t.Fatalf("denied, and connected to %s", c.RemoteAddr())
	}
	counted := func(rule firewall.RuleID, least, most uint64) func() bool {
		return func() bool {
			if err := o.agent.FreshHits(t.Context()); err != nil {
				t.Fatal(err)
			}
			n := o.agent.HitsOf(t.Context())[rule].Hits
			if n > most {
				t.Fatalf("rule %d has %d hits", rule, n)
			}
			return n >= least
		}
	}
	o.eventually("one hit", counted(70, 1, 1))
	o.eventually("a denied one", counted(71, 1, 3)) // its SYN is repeated

	// A connection while no agent runs is counted when the next one reads.
	o.stop()
	if n := o.saved()[70].Hits; n != 1 {
		t.Errorf("%d hits are saved", n)
	}
	o.mustDial(80)
	o.run()
	o.ready()
	o.eventually("the hit meanwhile", counted(70, 2, 2))

	// What was read before the switch dies stays.
	o.rig.server.StopSwitch(t)
	o.rig.server.StartSwitch(t)
	o.eventually("an agent that has noticed", func() bool {
		return o.agent.HitsSeen(t.Context()) > 0 && o.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Ready
	})
	o.eventually("the counts after a restart of vswitchd", counted(70, 2, 2))
	o.eventually("a connection", func() bool { _, err := o.dial(80, time.Second); return err == nil })
	o.eventually("the hit after a restart of vswitchd", counted(70, 3, 8)) // dials before the flows were there got no answer

	o.stop()
	if err := os.WriteFile(o.cfg.HitsFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.run()
	if s := o.ready(); !strings.Contains(strings.Join(s.Problems, " "), "the counts of rules begin anew") {
		t.Errorf("problems: %q", s.Problems)
	}
	if _, err := os.Stat(o.cfg.HitsFile + ".damaged"); err != nil {
		t.Error(err)
	}
}

// TestConnectionsAreLogged: rules that log, and denials without a rule, get a record each; nothing else does.
func TestConnectionsAreLogged(t *testing.T) {
	o := newObserved(t)
	o.listen(80, 81, 82)
	logged := func(r firewall.Rule) firewall.Rule { r.Log = true; return r }
	// The switch may find 70 or 72 for port 80; 70 decides, and it logs.
	all := tcpRule(72, firewall.Allow, 80)
	all.Services = []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 80, Last: 82}}}
	o.rules(logged(tcpRule(70, firewall.Allow, 80)), all, logged(tcpRule(71, firewall.Deny, 90)))
	o.mustDial(80)
	o.mustDial(82)
	for range 2 {
		if _, err := o.dial(90, 300*time.Millisecond); err == nil {
			t.Fatal("connected to 90")
		}
	}
	find := func(port uint16) []flowlog.Record {
		return slices.DeleteFunc(o.records(), func(r flowlog.Record) bool { return r.Dst == nil || r.Dst.Port != port })
	}
	o.eventually("records", func() bool { return len(find(80)) > 0 && len(find(90)) > 1 })
	allowed, denied := find(80)[0], find(90)
	if allowed.Verdict != "allow" || allowed.Rule == nil || allowed.Rule.ID != 70 || allowed.Rule.File != "shop.yaml" || allowed.Rule.Line != 10 ||
		allowed.Src.Workload != "pod-c1" || allowed.Dst.Labels["app"] != "db" || allowed.Src.Network != "acme/prod" || allowed.Protocol != "tcp" || allowed.Direction != "ingress" {
		t.Errorf("allowed: %+v, rule %+v, from %+v to %+v", allowed, allowed.Rule, allowed.Src, allowed.Dst)
	}
	if d := denied[0]; len(denied) != 2 || d.Verdict != "deny" || d.Reason != "policy-deny" || d.Rule.Action != "deny" || d.Rule.Line != 12 {
		t.Errorf("%d denied: %+v", len(denied), denied)
	}
	if len(find(80)) != 1 || len(find(82)) != 0 {
		t.Errorf("records of 80: %+v, of 82: %+v", find(80), find(82))
	}
}

// TestPolicyCutsLiveConnections: what a change forbids stops within a second, what stays allowed goes on.
func TestPolicyCutsLiveConnections(t *testing.T) {
	o := newObserved(t)
	o.listen(80, 81)
	kept, cut := o.mustDial(80), o.mustDial(81)
	stays := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				stays <- nil
				return
			default:
			}
			if err := echo(kept, 2*time.Second); err != nil {
				stays <- err
				return
			}
		}
	}()
	if err := echo(cut, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	o.rules(tcpRule(71, firewall.Deny, 81))
	for echo(cut, 100*time.Millisecond) == nil {
		if time.Since(begin) > 5*time.Second {
			t.Log(o.rig.server.AppCtl(t, "dpctl/dump-conntrack"))
			t.Log(o.mustAsk(cniwire.Request{Status: &cniwire.Status{}}).Status.Problems)
			t.Fatal("a connection that is forbidden goes on")
		}
	}
	t.Logf("stopped within %v", time.Since(begin))
	o.eventually("connections that follow the policy", func() bool { return o.agent.Cuts(t.Context()) >= 1 })
	if n := o.agent.Cuts(t.Context()); n != 1 {
		t.Errorf("%d connections were cut", n)
	}
	o.rules(tcpRule(71, firewall.Deny, 81), tcpRule(72, firewall.Deny, 82))
	o.rules(tcpRule(70, firewall.Allow, 80), tcpRule(71, firewall.Deny, 81))
	close(stop)
	if err := <-stays; err != nil {
		t.Errorf("a connection that stays allowed: %v", err)
	}
}

// TestCutsAreWhatDecideDenies opens connections to many ports, and changes policy at random: what the tracker holds
// afterwards is what it held before and Decide allows.
func TestCutsAreWhatDecideDenies(t *testing.T) {
	o := newObserved(t)
	var ports []uint16
	for p := uint16(1000); p < 1020; p++ {
		ports = append(ports, p)
	}
	o.listen(ports...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	live := map[uint16]net.Conn{}
	for round := range 4 {
		o.rules() // the posture allows
		for _, p := range ports {
			if live[p] == nil {
				live[p] = o.mustDial(p)
			}
		}
		var rules []firewall.Rule
		for i := range 1 + r.IntN(6) {
			rule := tcpRule(firewall.RuleID(100+10*round+i), []firewall.Action{firewall.Allow, firewall.Deny}[r.IntN(2)], ports[0]+uint16(r.IntN(15)))
			rule.Services[0].Ports.Last += uint16(r.IntN(8))
			rules = append(rules, rule)
		}
		o.rules(rules...)
		table := map[fabric.NetworkID]firewall.Table{1: o.controller.tables[0]}
		allowed := func(port uint16) bool {
			end := func(a netip.Addr) firewall.Endpoint {
				return firewall.Endpoint{Network: 1, Identity: 0x101, Addr: a} // rules and posture are for all
			}
			return firewall.Decide(table, firewall.Packet{Src: end(o.clientAddr), Dst: end(o.serverAddr), Protocol: firewall.TCP, DstPort: port}).Allowed
		}
		want := []uint16{}
		for _, p := range ports {
			if allowed(p) {
				want = append(want, p)
			}
		}
		held := func() []uint16 {
			out := []uint16{}
			all, err := o.cfg.Tracker.Connections(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				// What a server sends again after its connection was cut may be tracked as one of its own, to the client's port.
				if c.Protocol == uint8(firewall.TCP) && slices.Contains(ports, c.DstPort) {
					out = append(out, c.DstPort)
				}
			}
			slices.Sort(out)
			return slices.Compact(out)
		}
		o.eventually("connections that follow the policy", func() bool { return o.agent.CutsFinished(t.Context()) && len(held()) <= len(want) })
		if got := held(); !slices.Equal(got, want) {
			t.Fatalf("round %d: of %v are left %v, want %v; rules %+v", round, ports, got, want, rules)
		}
		for _, p := range ports {
			if !allowed(p) {
				_ = live[p].Close()
				live[p] = nil
			} else if err := echo(live[p], 10*time.Second); err != nil {
				t.Fatalf("round %d: the connection to %d is allowed: %v", round, p, err)
			}
		}
	}
}

// TestFloodIsLimited: a flood of denied packets costs what the limits let through, and the log says how many it left out.
func TestFloodIsLimited(t *testing.T) {
	o := newObserved(t)
	deny := tcpRule(70, firewall.Deny, 1)
	deny.Services, deny.Log = []firewall.Service{{Protocol: firewall.UDP}}, true
	o.rules(deny)
	const packets = 3000
	within(t, o.client, func() error {
		c, err := net.ListenPacket("udp4", ":0")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		for i := range packets {
			to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.serverAddr, uint16(1+i)))
			if _, err := c.WriteTo([]byte("x"), to); err != nil {
				return err
			}
		}
		return nil
	})
	var counted, written, limited uint64 // some packets may be lost before the switch has them
	o.eventually("each packet written or told as limited", func() bool {
		if err := o.agent.FreshHits(t.Context()); err != nil {
			t.Fatal(err)
		}
		counted, written, limited = o.agent.HitsOf(t.Context())[70].Hits, 0, 0
		for _, r := range o.records() {
			if r.Verdict != "" {
				written++
			}
			for _, n := range r.Limited {
				limited += n
			}
		}
		return counted > packets/3 && written+limited == counted
	})
	if written < 100 || written > 600 {
		t.Errorf("%d records of %d packets", written, counted)
	}
	t.Logf("%d counted, %d written, %d limited", counted, written, limited)
}
