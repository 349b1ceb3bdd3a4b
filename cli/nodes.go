package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) nodesCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the machines of the fabric",
		Long: `List the machines that joined the fabric: whether their agent is connected, the datapath that their switch uses,
the revision that their switch confirmed and the one that the controller planned for them, and what they dropped.

-o wide adds underlay addresses, encrypted tunnels, the address blocks that they lease, versions and labels.`,
		Example: `  weft nodes
  weft nodes -o wide
  weft nodes -o json | jq -r '.[] | select(.connected | not) | .name'`,
		Args: cobra.NoArgs,
	}
	format.register(cmd, output.Table, output.Wide, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		nodes := sortedNodes(res.GetNodes())
		if of.ForScripts() {
			documents, err := documentsOf(nodes)
			if err != nil {
				return err
			}
			return output.WriteDocuments(a.Stdout, of, documents)
		}
		if len(nodes) == 0 {
			fmt.Fprintln(a.Stderr, "no node has joined; see 'weft token create --help'")
			return nil
		}
		g := nodeGrid(nodes, a.Now(), of == output.Wide)
		return g.Write(a.Stdout, a.stdoutStyle())
	}
	return cmd
}

// nodeGrid returns the table of nodes.
func nodeGrid(nodes []*weftv1.NodeInfo, now time.Time, wide bool) output.Grid {
	g := output.Grid{Header: []string{"NAME", "STATE", "VTEP", "DATAPATH", "ENFORCED", "PLANNED", "WORKLOADS", "FLOWS", "DROPS"}}
	if wide {
		g.Header = append(g.Header, "UNDERLAY", "TUNNELS", "VERSION", "OVS", "LEASES", "LABELS")
	}
	for _, n := range nodes {
		r := n.GetReport()
		row := []output.Cell{
			output.C(n.GetName()), nodeState(n, now), output.C(n.GetVtep()), output.C(r.GetDatapath()), enforcedRevision(n),
			output.C(strconv.FormatUint(n.GetPlannedRevision(), 10)), output.C(strconv.Itoa(len(r.GetAttachments()))),
			output.C(strconv.Itoa(int(r.GetFlows()))), output.C(strconv.FormatUint(total(r.GetDrops()), 10)),
		}
		if wide {
			row = append(row, output.C(n.GetUnderlay()), tunnelCount(n), output.C(r.GetVersion()), output.C(r.GetOvsVersion()), output.C(strings.Join(n.GetLeases(), ", ")),
				output.C(fabric.Labels(n.GetLabels()).String()))
		}
		g.Add(row...)
	}
	return g
}

// tunnelCount says how many encrypted tunnels a node has, and how many of them failed.
func tunnelCount(n *weftv1.NodeInfo) output.Cell {
	c := output.C(orEmpty(n.GetTunnels()))
	if n.GetFailedTunnels() > 0 {
		c = output.Cell{Text: fmt.Sprintf("%s, %d failed", c.Text, n.GetFailedTunnels()), Colour: output.Bad}
	}
	return c
}

func nodeState(n *weftv1.NodeInfo, now time.Time) output.Cell {
	switch {
	case n.GetConnected() && len(n.GetReport().GetProblems()) > 0:
		return output.Cell{Text: "problems", Colour: output.Notice}
	case n.GetConnected() && n.GetDrained():
		return output.Cell{Text: "drained", Colour: output.Notice}
	case n.GetConnected():
		return output.Cell{Text: "connected", Colour: output.Good}
	case n.GetLastSeen() == nil:
		return output.Cell{Text: "never seen", Colour: output.Bad}
	}
	return output.Cell{Text: "gone for " + age(now.Sub(n.GetLastSeen().AsTime())), Colour: output.Bad}
}

func enforcedRevision(n *weftv1.NodeInfo) output.Cell {
	c := output.Cell{Text: strconv.FormatUint(n.GetEnforcedRevision(), 10), Colour: output.Good}
	if n.GetEnforcedRevision() < n.GetPlannedRevision() {
		c.Colour = output.Notice
	}
	return c
}

func total(drops map[string]uint64) (sum uint64) {
	for _, n := range drops {
		sum += n
	}
	return sum
}

// age returns a duration with one unit: 12s, 5m, 3h, 2d.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func sortedNodes(nodes []*weftv1.NodeInfo) []*weftv1.NodeInfo {
	return slices.SortedFunc(slices.Values(nodes), func(x, y *weftv1.NodeInfo) int { return strings.Compare(x.GetName(), y.GetName()) })
}
