package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// description is all that describe knows about an object.
type description struct {
	Object      output.Document `json:"object"`
	Declared    string          `json:"declared"` // file:line
	ApplySet    string          `json:"applySet"`
	Revision    uint64          `json:"revision"`
	Enforcement output.Document `json:"enforcement"`
	Related     []relation      `json:"related"`
	Workloads   []workload      `json:"workloads"`
}

func (a *app) describeCommand() *cobra.Command {
	var (
		tenant tenantFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "describe KIND NAME",
		Short: "Show an object, where it was declared, who enforces it, and what it has to do with",
		Long: `Show one stored object: its declaration and where it stands, the nodes that enforce its present revision and
those that don't yet, the objects that need it or select it, and the attached workloads that it is about.
NAME may be written tenant/name.`,
		Example: `  weft describe network acme/prod
  weft describe policy web-in -t acme
  weft describe port acme/db-1 -o json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeObjects(false),
	}
	tenant.register(cmd, a)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		kind, err := parseKind(cmd, args[0])
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		o, err := a.find(cmd, client, kind, args[1], tenant.chosen(a))
		if err != nil {
			return err
		}
		all, err := a.list(cmd.Context(), client, "", "")
		if err != nil {
			return err
		}
		nodes, err := call(cmd.Context(), a, client.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		enforcement, err := output.FromMessage(o.GetEnforcement())
		if err != nil {
			return err
		}
		intent := intentOf(all)
		d := description{
			Object: o.document(), Declared: declaredAt(o.Object), ApplySet: o.GetApplySet(), Revision: o.GetRevision(), Enforcement: enforcement,
			Related: related(intent, o.declared), Workloads: workloadsOf(intent, o.declared, nodes.GetNodes()),
		}
		return a.print(of, d, func() error { return d.write(a.Stdout, a.stdoutStyle(), o) })
	}
	return cmd
}

// write prints the description for people.
func (d description) write(w io.Writer, style output.Style, o stored) error {
	title := func(text string) string { return style.Paint(output.Strong, text) }
	fmt.Fprintf(w, "%s\n", title(o.key().String()))
	if p := o.declared.Port; p != nil {
		fmt.Fprintf(w, "  UID          %s\n", topology.PortUID(p.Ref()))
	}
	fmt.Fprintf(w, "  declared at  %s\n", orNone(d.Declared))
	fmt.Fprintf(w, "  apply set    %s\n", orNone(d.ApplySet))
	fmt.Fprintf(w, "  revision     %d\n", d.Revision)
	e := o.GetEnforcement()
	where := orNone(strings.Join(e.GetEnforced(), ", "))
	if len(e.GetEnforced())+len(e.GetPending())+len(e.GetStale()) == 0 {
		where = "no node needs it"
	}
	fmt.Fprintf(w, "  enforced on  %s\n", where)
	if len(e.GetPending()) > 0 {
		fmt.Fprintf(w, "  %s   %s\n", style.Paint(output.Notice, "pending on"), strings.Join(e.GetPending(), ", "))
	}
	if len(e.GetStale()) > 0 {
		fmt.Fprintf(w, "  %s     %s (not connected; they enforce an older revision)\n", style.Paint(output.Bad, "stale on"), strings.Join(e.GetStale(), ", "))
	}
	var text strings.Builder
	if err := output.WriteDocument(&text, output.YAML, d.Object); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", title("Declaration"))
	for line := range strings.Lines(text.String()) {
		fmt.Fprint(w, "  "+line)
	}
	if len(d.Related) > 0 {
		fmt.Fprintf(w, "\n%s\n", title("Related"))
		for _, r := range d.Related {
			fmt.Fprintf(w, "  %s: %s\n", r.key(), r.How)
		}
	}
	if len(d.Workloads) > 0 {
		fmt.Fprintf(w, "\n%s\n", title("Attached workloads"))
		g := attachmentGrid(d.Workloads)
		return g.Write(w, style)
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// attachmentGrid returns the table of attached interfaces.
func attachmentGrid(list []workload) output.Grid {
	g := output.Grid{Header: []string{"NODE", "INTERFACE", "WORKLOAD", "NETWORK", "ADDRESSES", "MAC", "IDENTITY", "LABELS"}}
	for _, w := range list {
		name := w.Port
		if name == "" {
			name = w.Workload
		}
		g.Add(output.C(w.Node), output.C(w.Interface), output.C(name), output.C(w.Network), output.C(strings.Join(w.Addresses, ",")),
			output.C(w.MAC), output.C("0x"+strconv.FormatUint(uint64(w.Identity), 16)), output.C(w.Labels.String()))
	}
	return g
}
