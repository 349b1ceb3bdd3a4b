package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// binaries returns a directory with the shipped binaries: WEFT_BIN_DIR, or they are built.
func binaries(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("WEFT_BIN_DIR"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "../cmd/weft-controller", "../cmd/weft-agent", "../cmd/weft-cni", "../cmd/weft-lab-probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the binaries: %v\n%s", err, out)
	}
	return dir
}

// testLab builds a lab that is removed when the test ends, and checks then that nothing is left. Virtual
// machines are left out in short tests, and where no kernel for them was fetched.
func testLab(t *testing.T, paths ...string) (*Record, Topology) {
	t.Helper()
	return testLabWith(t, func(*Options) {}, paths...)
}

// testLabWith is testLab with further options.
func testLabWith(t *testing.T, further func(*Options), paths ...string) (*Record, Topology) {
	t.Helper()
	ovstest.Require(t)
	topo, err := Load(paths, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	guestDir := os.Getenv("WEFT_GUEST_DIR")
	o := Options{
		Name: fmt.Sprintf("t%d", os.Getpid()), Topology: topo, BinDir: binaries(t), GuestDir: guestDir, StateDir: shortDir(t),
		SkipVMs: testing.Short() || guestDir == "", KernelDatapath: onKernel(), Progress: testWriter{t}, Now: time.Now,
	}
	further(&o)
	r, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, r)
		}
		if err := r.remove(context.Background()); err != nil {
			t.Error(err)
		}
		checkNothingLeft(t, r)
	})
	for _, w := range topo.Workloads {
		if w.Spec.Type == VM && emulated() {
			attachHollow(t, r, w)
		}
	}
	return r, topo
}

func checkNothingLeft(t *testing.T, r *Record) {
	t.Helper()
	for _, p := range slices.Concat(marked(r.dir), r.Processes) {
		if p.Alive() {
			t.Errorf("process %d (%s) is left", p.PID, p.Name)
		}
	}
	left, _ := filepath.Glob(filepath.Join(netnsDir, r.namespaceName("*")))
	if len(left) > 0 {
		t.Errorf("namespaces are left: %v", left)
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Errorf("%s is left", r.dir)
	}
}

func showLogs(t *testing.T, r *Record) {
	shown := map[string]bool{} // processes that were started again write into the same log
	for _, p := range r.Processes {
		if strings.Contains(p.Name, "weft-") && !shown[p.Log] {
			shown[p.Log] = true
			t.Logf("%s: %s", p.Name, tail(p.Log))
		}
	}
}

// testWriter sends progress to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// wantPredicted probes every pair and compares with the prediction.
func wantPredicted(t *testing.T, r *Record, intent *topology.Intent) Matrix {
	t.Helper()
	m, err := r.Probe(t.Context(), intent, testPatience())
	if err == nil && emulated() && !m.OK() && len(m.Leaks) == 0 { // such a machine stands still at times
		t.Logf("%d probes differ from the prediction, and are sent again", len(m.Differences()))
		m, err = r.Probe(t.Context(), intent, testPatience())
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := m.Print(&out); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	if !m.OK() {
		t.Errorf("%d probes differ from the prediction, %d packets leaked", len(m.Differences()), len(m.Leaks))
	}
	return m
}

func TestTwoTenants(t *testing.T) {
	r, topo := testLab(t, "../examples/two-tenants")
	m := wantPredicted(t, r, topo.Intent)
	t.Run("a wrong prediction shows", func(t *testing.T) { testWrongPrediction(t, r, topo.Intent, m) })
	t.Run("exec", func(t *testing.T) { testExec(t, r) })
	t.Run("stored intent predicts the same", func(t *testing.T) {
		intent, err := r.Intent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		questions := Questions(r.Workloads)
		a, errA := Predict(topo.Intent, r.Workloads, questions)
		b, errB := Predict(intent, r.Workloads, questions)
		if errA != nil || errB != nil || strings.Join(a, ",") != strings.Join(b, ",") {
			t.Errorf("predictions differ: %v, %v", errA, errB)
		}
	})
	t.Run("CHECK after ADD", func(t *testing.T) { testCheck(t, r) })
	t.Run("forged frames", func(t *testing.T) { testForged(t, r, topo.Intent) })
	t.Run("forged tunnel packets", func(t *testing.T) { testTunnel(t, r) })
	t.Run("agent restart", func(t *testing.T) { testRestart(t, r, topo.Intent) })
	t.Run("known labels change no other node", func(t *testing.T) { testKnownLabels(t, r) })
	t.Run("detached workload is gone", func(t *testing.T) { testDetach(t, r) })
}

func TestThreeTier(t *testing.T) {
	r, topo := testLab(t, "../examples/three-tier")
	wantPredicted(t, r, topo.Intent)
	t.Run("policies change", func(t *testing.T) { testPolicyChange(t, r, topo) })
}

func TestDualStack(t *testing.T) {
	r, topo := testLab(t, "../examples/dual-stack")
	wantPredicted(t, r, topo.Intent)
	t.Run("forged frames", func(t *testing.T) { testForged(t, r, topo.Intent) })
}

// testForged sends every forgery from one container, and waits for its node to count each.
func testForged(t *testing.T, r *Record, intent *topology.Intent) {
	a := containerOf(t, r)
	n := r.NodeNamed(a.Node)
	for _, f := range Forgeries(a, intent.Settings().VirtualMAC) {
		t.Run(f.Name, func(t *testing.T) {
			before, err := AgentStatus(t.Context(), *n)
			if err != nil {
				t.Fatal(err)
			}
			if err := SendFrame(t.Context(), a, f.Frame); err != nil {
				t.Fatal(err)
			}
			if err := WaitDrops(t.Context(), *n, before.Drops, f.Reason); err != nil {
				t.Error(err)
			}
		})
	}
	wantPredicted(t, r, intent)
}

func containerOf(t *testing.T, r *Record) Attached {
	t.Helper()
	for _, a := range r.Workloads {
		if a.Namespace != "" && len(a.Addresses) > 0 {
			return a
		}
	}
	t.Fatal("the lab has no container")
	return Attached{}
}

// testRestart ends an agent: the switch goes on; and starts it: it adopts what it finds.
func testRestart(t *testing.T, r *Record, intent *topology.Intent) {
	n := r.Nodes[0]
	flows := func() string {
		out, err := commandWith(t.Context(), "", n.ovsEnv(), "ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", "br-int")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := flows()
	if err := stop(r.processesNamed(string(n.Name) + "/weft-agent")); err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, intent)
	if err := r.RestartAgent(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, intent)
	if after := flows(); after != before {
		t.Errorf("the restarted agent changed flows; before:\n%s\nafter:\n%s", before, after)
	}
}

// testCheck asks the plugin whether a container is as it left it, and again after somebody broke it.
func testCheck(t *testing.T, r *Record) {
	a := containerOf(t, r)
	n := r.NodeNamed(a.Node)
	prev := fmt.Sprintf(`{"cniVersion":%q,"interfaces":[{"name":%q},{"name":"eth0","mac":%q,"sandbox":"/run/netns/%s"}],"ips":[{"interface":1,"address":%q}]}`,
		CNIVersion, a.Interface, a.MAC, a.Namespace, a.Addresses[0])
	if _, err := r.cniCall(t.Context(), "CHECK", *n, a, prev); err != nil {
		t.Errorf("CHECK of a sound container: %v", err)
	}
	broken := strings.Replace(prev, a.Addresses[0].Addr().String(), "10.99.99.99", 1)
	if _, err := r.cniCall(t.Context(), "CHECK", *n, a, broken); err == nil {
		t.Error("CHECK accepts an address that the container doesn't have")
	}
}

// testKnownLabels attaches a container like one that is there: no other node hears of it.
func testKnownLabels(t *testing.T, r *Record) {
	var like Attached
	for _, a := range r.Workloads {
		if a.Namespace != "" && a.Workload.Spec.Port == "" {
			like = a
		}
	}
	if like.Namespace == "" {
		t.Fatal("the lab has no container without a Port")
	}
	before := plannedRevisions(t, r)
	w := like.Workload
	w.Metadata.Name += "-twin"
	a, err := r.attach(t.Context(), w, guestFiles())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.waitWorkload(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	for node, revision := range plannedRevisions(t, r) {
		if revision != before[node] {
			t.Errorf("the plan of %s changed for a workload on %s with labels that are known", node, a.Node)
		}
	}
	intent, err := r.Intent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, intent) // the twin too
}

// testDetach removes a container by the plugin, twice as runtimes do.
func testDetach(t *testing.T, r *Record) {
	a := r.Workloads[len(r.Workloads)-1]
	n := r.NodeNamed(a.Node)
	before, err := AgentStatus(t.Context(), *n)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.cniCall(t.Context(), "DEL", *n, a, ""); err != nil {
			t.Fatal(err)
		}
	}
	after, err := AgentStatus(t.Context(), *n)
	if err != nil {
		t.Fatal(err)
	}
	if after.Attachments != before.Attachments-1 {
		t.Errorf("%d attachments before, %d after", before.Attachments, after.Attachments)
	}
	if out, err := n.vsctl(t.Context(), "list-ports", "br-int"); err != nil || strings.Contains(out, a.Interface+"\n") {
		t.Errorf("ports of br-int: %v\n%s", err, out)
	}
	if _, err := command(t.Context(), within(n.Namespace, "ip", "link", "show", a.Interface)...); err == nil {
		t.Errorf("the node's end %s is left", a.Interface)
	}
}

// identityOf asks the controller for the identity of a workload's attachment.
func identityOf(t *testing.T, r *Record, a Attached) fabric.Identity {
	t.Helper()
	for _, n := range listNodes(t, r) {
		for _, at := range n.GetReport().GetAttachments() {
			if n.GetName() == a.Node && at.GetInterface() == a.Interface {
				return fabric.Identity(at.GetIdentity())
			}
		}
	}
	t.Fatalf("no node reports %s", a.Ref())
	return 0
}
