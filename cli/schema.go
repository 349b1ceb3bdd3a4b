package cli

import (
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

func (a *app) schemaCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of the declared kinds",
		Long: `Print the JSON Schema of one kind, or of every kind, for editors and other tools. It describes the shape of the
fields; "weft validate" checks more, such as references and overlaps.`,
		Example: `  weft schema > weft.schema.json
  weft schema network
  weft schema fwp -o yaml`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeKinds(false, word), cobra.ShellCompDirectiveNoFileComp
		},
	}
	format.register(cmd, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		schema := topology.Schemas
		if len(args) == 1 {
			kind, err := parseKind(cmd, args[0])
			if err != nil {
				return err
			}
			schema = func() ([]byte, error) { return topology.Schema(kind) }
		}
		d, err := schema()
		if err != nil {
			return err
		}
		return output.WriteDocument(a.Stdout, of, d)
	}
	return cmd
}
