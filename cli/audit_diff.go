package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

func (a *app) auditDiffCommand() *cobra.Command {
	var (
		files      filesFlag
		kubernetes bool
		manifests  kubernetesFlags
		format     formatFlag
	)
	cmd := &cobra.Command{
		Use:   "diff [BEFORE [AFTER]] [-f FILE]",
		Short: "Show which connections a change gains and loses",
		Long: `Compare two topologies: which connections policy allows after the change and not before, and the other way round. What
the new policies say about the old workloads is told apart from what new, gone and changed workloads make of it. The exit
code doesn't depend on what differs.

BEFORE and AFTER are revisions of the controller's state (numbers), files or directories. AFTER is what -f names, or the
controller's present state; BEFORE without being named is the controller's present state. Where files are compared with a
controller's state they stand for the whole topology, and the workloads that nodes report, other than on Ports, stay as
they are.`,
		Example: `  weft audit diff -f proposed/
  weft audit diff 41
  weft audit diff 41 44
  weft audit diff topology/ proposed/ -o json
  weft audit diff --kubernetes manifests/ proposed/`,
		Args: cobra.MaximumNArgs(2),
	}
	files.register(cmd, "what comes after")
	cmd.Flags().BoolVar(&kubernetes, "kubernetes", false, "BEFORE and AFTER are Kubernetes manifests: files or directories")
	manifests.registerOptions(cmd)
	format.register(cmd, output.Table, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if kubernetes {
			return a.kubernetesDiff(cmd, manifests, of, args)
		}
		if len(args)+min(len(files.paths), 1) == 0 || len(args) == 2 && len(files.paths) > 0 {
			return usage(cmd, "name what to compare: BEFORE, BEFORE and AFTER, or -f FILE with what comes after")
		}
		before, after, err := a.compared(cmd, args, files)
		if err != nil {
			return err
		}
		d, err := audit.DiffOf(before, after)
		if err != nil {
			return refused("%w", err)
		}
		return a.print(of, d, func() error { return a.printDiff(d) })
	}
	return cmd
}

// compared returns both sides of a comparison.
func (a *app) compared(cmd *cobra.Command, args []string, files filesFlag) (before, after audit.Side, err error) {
	read := [2]func() (audited, error){
		func() (audited, error) { return a.declared(cmd, 0) },
		func() (audited, error) { return a.declared(cmd, 0) },
	}
	for i, arg := range args {
		read[i] = func() (audited, error) { return a.compareWith(cmd, arg) }
	}
	if len(files.paths) > 0 {
		read[1] = func() (audited, error) {
			sources, err := files.read(cmd, a)
			if err != nil {
				return audited{}, err
			}
			return a.load(sources)
		}
	}
	var sides [2]audited
	for i := range read {
		if sides[i], err = read[i](); err != nil {
			return before, after, err
		}
	}
	for i, in := range sides {
		other := sides[1-i]
		if in.state != nil || other.state == nil {
			continue
		}
		side, err := audit.SideOf(in.intent, other.state.Attachments())
		if err != nil {
			return before, after, refused("%w", err)
		}
		sides[i].workloads = side.Workloads
	}
	return sides[0].side(), sides[1].side(), nil
}

// compareWith reads a revision, when a number is given, or files.
func (a *app) compareWith(cmd *cobra.Command, arg string) (audited, error) {
	if revision, err := strconv.ParseUint(arg, 10, 64); err == nil {
		return a.declared(cmd, revision)
	}
	sources, err := topology.ReadSources([]string{arg}, a.Stdin)
	if err != nil {
		return audited{}, refused("can't read the input: %w", err)
	}
	return a.load(sources)
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
