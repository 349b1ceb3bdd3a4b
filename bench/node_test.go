package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab"
)

// nodeSize is how much one node gets to do.
type nodeSize struct {
	ports  int
	starts int // of the plugin's program
}

func BenchmarkNode(b *testing.B) {
	report(b, func() *table { return measureNode(b, nodeSize{ports: 100, starts: 200}) })
}

func TestNode(t *testing.T) {
	smoke(t, func() *table { return measureNode(t, nodeSize{ports: 2, starts: 2}) })
}

// Targets of one node.
const (
	flowsPerPort = 10
	agentMB      = 60
)

// measureNode counts what local ports cost on their node, and how fast the plugin's program starts.
func measureNode(tb testing.TB, size nodeSize) *table {
	ns := newNamespaces(tb)
	first := ns.add("c")
	var containers []string
	for range size.ports {
		containers = append(containers, ns.add("c"))
	}
	r := labUp(tb, labSpec{nodes: 1, yaml: cniNetwork + allowPolicy})
	n := r.Nodes[0]
	p := weftPlugin(r, n)
	// The first container brings what the network costs once: block, identity, table.
	if _, err := p.call("ADD", first); err != nil {
		tb.Fatal(err)
	}
	agent := processOf(tb, r, string(n.Name)+"/weft-agent")
	flows, memory := flowCount(tb, n), residentKB(tb, agent)
	for _, c := range containers {
		if _, err := p.call("ADD", c); err != nil {
			tb.Fatal(err)
		}
	}
	grown := flowCount(tb, n)
	t := &table{
		title:  "One node",
		inputs: fmt.Sprintf("%d containers of one network with a policy, attached one by one", size.ports),
		head:   []string{"what", "weft", "target or limit", "ratio"},
	}
	each := float64(grown-flows) / float64(size.ports)
	t.add("flows per local port", fmt.Sprintf("%.1f", each), flowsPerPort, ratio(each, flowsPerPort))
	t.add("flows of the node with 1 port", flows, "-", "-")
	mb := float64(residentKB(tb, agent)) / 1024
	t.add("agent's resident memory, 1 port, MB", fmt.Sprintf("%.1f", float64(memory)/1024), "-", "-")
	t.add(fmt.Sprintf("agent's resident memory, %d ports, MB", size.ports+1), fmt.Sprintf("%.1f", mb), agentMB, ratio(mb, agentMB))
	t.metric(each, "flows/port")
	t.metric(mb, "agent-MB")
	weft, none := starts(tb, size.starts, filepath.Join(r.BinDir, "weft-cni"))
	reference, _ := starts(tb, size.starts, filepath.Join(plugins(tb), "bridge"))
	t.add("weft-cni VERSION, from start to end, beside /bin/true", ms(weft), ms(none), ratio(weft, none))
	t.add("weft-cni VERSION, from start to end, beside bridge", ms(weft), ms(reference), ratio(weft, reference))
	return t
}

// allowPolicy gives the network a policy of a tenant to carry.
const allowPolicy = `
---
apiVersion: weft.dev/v1alpha1
kind: FirewallPolicy
metadata: {name: web, tenant: acme}
spec:
  subject: {matchLabels: {app: web}}
  ingress:
    - from: [{workloads: {selector: {matchLabels: {app: web}}}}]
      ports: [{protocol: tcp}, {protocol: udp}]
`

// flowCount asks the switch for br-int's flows.
func flowCount(tb testing.TB, n lab.Node) int {
	tb.Helper()
	out := run(tb, "ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", "unix:"+filepath.Join(n.OVSDir(), "br-int.mgmt"))
	var count int
	for i := range out {
		if c, _ := fmt.Sscanf(out[i:], "flow_count=%d", &count); c == 1 {
			return count
		}
	}
	tb.Fatalf("ovs-ofctl doesn't tell the number of flows: %s", out)
	return 0
}

// starts runs a plugin's VERSION and /bin/true by turns, and returns the medians of both.
func starts(tb testing.TB, rounds int, binary string) (plugin, nothing time.Duration) {
	tb.Helper()
	var a, b []time.Duration
	for range rounds {
		cmd := exec.Command(binary)
		cmd.Env = []string{"CNI_COMMAND=VERSION", "CNI_NETNS=dummy", "CNI_IFNAME=dummy", "CNI_PATH=dummy"}
		a = append(a, timed(func() {
			if err := cmd.Run(); err != nil {
				tb.Fatalf("%s VERSION: %v", binary, err)
			}
		}))
		b = append(b, timed(func() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				tb.Fatal(err)
			}
		}))
	}
	return median(a), median(b)
}
