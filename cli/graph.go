package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/diagram"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) graphCommand() *cobra.Command {
	var (
		files  filesFlag
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw networks, peerings, nodes and tunnels",
		Long: `Draw the fabric: networks with their subnets, the peerings between them, the nodes that host them, and the tunnels
between those nodes. With -f the drawing shows what files declare, offline and without nodes; else it shows what is
stored and running.

-o dot prints a graph in the language of Graphviz.`,
		Example: `  weft graph
  weft graph -f topology/
  weft graph -o dot | dot -Tsvg > fabric.svg`,
		Args: cobra.NoArgs,
	}
	files.register(cmd, "what to draw, offline")
	format.register(cmd, output.Text, output.Dot, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		picture, err := a.picture(cmd, files)
		if err != nil {
			return err
		}
		return a.print(of, picture, func() error {
			if of == output.Dot {
				return picture.WriteDot(a.Stdout)
			}
			return picture.WriteText(a.Stdout)
		})
	}
	return cmd
}

// picture returns the picture of the files, or of the controller when no file is named.
func (a *app) picture(cmd *cobra.Command, files filesFlag) (diagram.Picture, error) {
	if len(files.paths) > 0 {
		sources, err := files.read(cmd, a)
		if err != nil {
			return diagram.Picture{}, err
		}
		intent, _, problems := topology.Load(sources)
		if errs := problems.Errors(); len(errs) > 0 {
			a.report(problems)
			fmt.Fprintf(a.Stderr, "%s; nothing to draw\n", count(len(errs), "error"))
			return diagram.Picture{}, reported(ExitRefused)
		}
		return diagram.Of(intent, nil), nil
	}
	client, err := a.client(cmd)
	if err != nil {
		return diagram.Picture{}, err
	}
	objects, err := a.list(cmd.Context(), client, "", "")
	if err != nil {
		return diagram.Picture{}, err
	}
	nodes, err := call(cmd.Context(), a, client.ListNodes, &weftv1.ListNodesRequest{})
	if err != nil {
		return diagram.Picture{}, err
	}
	return diagram.Of(intentOf(objects), nodes.GetNodes()), nil
}
