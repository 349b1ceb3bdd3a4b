package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
	"github.com/weftfabric/weft/wire/planwire"
)

// wantClean waits until each node holds exactly what it must: ports and links of its workloads and no others, the flows
// that the plan on its disk renders to and no others, and leases in which workloads are.
func wantClean(t *testing.T, r *Record) {
	t.Helper()
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Error(err)
	}
	for _, n := range r.Nodes {
		var wrong []string
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if wrong = staleOn(t, r, n); len(wrong) == 0 || time.Now().After(deadline) {
				break
			}
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", n.Name, w)
		}
	}
}

// staleOn says what is on a node and shouldn't be, or the reverse.
func staleOn(t *testing.T, r *Record, n Node) []string {
	t.Helper()
	out := func(args ...string) string {
		text, err := commandWith(t.Context(), "", n.ovsEnv(), args...)
		if err != nil {
			return "failed: " + err.Error()
		}
		return text
	}
	var wrong []string
	var ports, links []string
	for _, w := range r.Workloads {
		if w.Node == string(n.Name) {
			ports, links = append(ports, w.Interface), append(links, w.Interface)
		}
	}
	ports = append(ports, "weft-vxlan")
	slices.Sort(ports)
	slices.Sort(links)
	if got := strings.Fields(out("ovs-vsctl", "--db="+n.OVSDB(), "list-ports", "br-int")); !slices.Equal(got, ports) {
		wrong = append(wrong, fmt.Sprintf("ports %v, want %v", got, ports))
	}
	if got := ourLinks(out(within(n.Namespace, "ip", "-d", "link", "show")...)); !slices.Equal(got, links) {
		wrong = append(wrong, fmt.Sprintf("links %v, want %v", got, links))
	}
	p, err := planOf(n)
	if err != nil {
		return append(wrong, err.Error())
	}
	for _, rt := range p.Routes {
		used := slices.ContainsFunc(r.Workloads, func(w Attached) bool {
			return w.Node == string(n.Name) && slices.ContainsFunc(w.Addresses, func(a netip.Prefix) bool { return rt.Prefix.Contains(a.Addr()) })
		})
		if rt.Node == n.Name && !used {
			wrong = append(wrong, fmt.Sprintf("the node leases %s and has no workload in it", rt.Prefix))
		}
	}
	in, err := inputOf(r, n, p, out("ovs-vsctl", "--db="+n.OVSDB(), "-f", "csv", "--no-headings", "--columns=name,ofport", "list", "Interface"))
	if err != nil {
		return append(wrong, err.Error())
	}
	return append(wrong, flowDifferences(t, n, pipeline.Render(in))...)
}

// flowDifferences compares the switch with the flows that it must have.
func flowDifferences(t *testing.T, n Node, want []openflow.Flow) []string {
	t.Helper()
	conn, err := openflow.Dial(t.Context(), filepath.Join(n.OVSDir(), "br-int.mgmt"))
	if err != nil {
		return []string{err.Error()}
	}
	defer conn.Close()
	stats, err := conn.DumpFlows(t.Context(), openflow.FlowFilter{Table: openflow.AllTables})
	if err != nil {
		return []string{err.Error()}
	}
	have := make([]openflow.Flow, len(stats))
	for i, s := range stats {
		have[i] = s.Canonical()
	}
	for i := range want {
		want[i] = want[i].Canonical()
	}
	var wrong []string
	for _, op := range dataplane.Diff(have, want) {
		wrong = append(wrong, fmt.Sprintf("operation %d is missing on %s", op.Kind, op.Flow))
	}
	return wrong
}

// planOf reads the plan that the agent has saved.
func planOf(n Node) (plan.Node, error) {
	b, err := os.ReadFile(filepath.Join(n.Dir, "agent", "plan"))
	if err != nil {
		return plan.Node{}, err
	}
	_, p, err := planwire.UnmarshalSnapshot(b)
	return p, err
}

// inputOf builds what the node's flows depend on from what the lab knows of its workloads, not from what the agent
// recorded.
func inputOf(r *Record, n Node, p plan.Node, interfaces string) (pipeline.Input, error) {
	numbers := map[string]uint32{}
	for line := range strings.Lines(interfaces) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), ",")
		if v, err := strconv.ParseUint(number, 10, 32); err == nil {
			numbers[strings.Trim(name, `"`)] = uint32(v)
		}
	}
	in := pipeline.Input{Plan: p, TunnelPort: numbers["weft-vxlan"], AgentND: n.Kernel}
	for _, w := range r.Workloads {
		if w.Node != string(n.Name) {
			continue
		}
		at := pipeline.Attachment{Interface: w.Interface, OFPort: numbers[w.Interface], MAC: w.MAC}
		for _, a := range w.Addresses {
			at.Addresses = append(at.Addresses, a.Addr())
		}
		for _, network := range p.Networks {
			if network.Ref == w.Workload.networkRef() {
				at.Network = network.ID
			}
		}
		for _, id := range p.Identities {
			if id.Network == at.Network && id.Labels.String() == w.Workload.Metadata.Labels.String() {
				at.Identity = id.ID
			}
		}
		if at.OFPort == 0 || at.Identity == 0 {
			return in, fmt.Errorf("%s has port %d and identity %s", w.Ref(), at.OFPort, at.Identity)
		}
		in.Attachments = append(in.Attachments, at)
	}
	return in, nil
}

// ourLinks returns the links that carry the agent's mark, in order.
func ourLinks(show string) []string {
	var out []string
	name := ""
	for line := range strings.Lines(show) {
		if fields := strings.Fields(line); line[0] != ' ' && len(fields) > 1 {
			name, _, _ = strings.Cut(strings.TrimSuffix(fields[1], ":"), "@")
		} else if strings.HasPrefix(strings.TrimSpace(line), "alias weft: ") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
