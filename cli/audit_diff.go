package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

func (a *app) auditDiffCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Show which connections a change gains and loses",
		Long: `Compare two topologies, each a file or a directory: which connections policy allows after the change and not before,
and the other way round. What the new policies say about the old workloads is told apart from what new, gone and changed
workloads make of it. The exit code doesn't depend on what differs.`,
		Example: `  weft audit diff topology/ proposed/
  weft audit diff topology/ proposed/ -o json`,
		Args: cobra.ExactArgs(2),
	}
	format.register(cmd, output.Table, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		var sides [2]audit.Side
		for i, path := range args {
			sources, err := topology.ReadSources([]string{path}, a.Stdin)
			if err != nil {
				return refused("can't read the input: %w", err)
			}
			in, err := a.load(sources)
			if err != nil {
				return err
			}
			sides[i] = audit.Side{Intent: in.intent, Workloads: in.workloads}
		}
		d, err := audit.DiffOf(sides[0], sides[1])
		if err != nil {
			return refused("%w", err)
		}
		return a.print(of, d, func() error { return a.printDiff(d) })
	}
	return cmd
}

func (a *app) printDiff(d audit.Diff) error {
	if d.IsEmpty() {
		_, err := fmt.Fprintln(a.Stdout, "no connection is gained or lost")
		return err
	}
	g := output.Grid{Header: []string{"CAUSE", "CHANGE", "FROM", "TO", "CONNECTIONS", "EGRESS BY", "INGRESS BY"}}
	for _, part := range []struct {
		cause string
		rows  []audit.DiffRow
	}{{"policy", d.Policy}, {"membership", d.Membership}} {
		for _, row := range part.rows {
			for _, change := range []struct {
				name   string
				colour output.Colour
				list   []audit.Connections
			}{{"gained", output.Good, row.Gained}, {"lost", output.Bad, row.Lost}} {
				for _, c := range change.list {
					g.Add(output.C(part.cause), output.Cell{Text: change.name, Colour: change.colour}, output.C(row.From), output.C(row.To),
						output.C(c.Text()), output.C(c.Egress.String()), output.C(c.Ingress.String()))
				}
			}
		}
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}
