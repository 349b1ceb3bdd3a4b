package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) nodeCommand() *cobra.Command {
	list := a.nodesCommand()
	list.Use = "list"
	list.Example = strings.ReplaceAll(list.Example, "weft nodes", "weft node list")
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Drain nodes, take them out of the fabric, change their keys",
		Long: `Keep workloads away from a machine that is to go, and end its membership. "weft nodes" is short for "weft node list".

A machine that just disappears keeps what it holds for the time that the Fabric's spec.reclaimHours says, and then frees
it; it stays a member and can come back.`,
		Example: `  weft node list
  weft node drain n4
  weft node delete n4`,
	}
	makeGroup(cmd)
	cmd.AddCommand(list, a.nodeDrainCommand(false), a.nodeDrainCommand(true), a.nodeDeleteCommand(), a.nodeRotateCommand())
	return cmd
}

func (a *app) nodeDrainCommand(undo bool) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Keep further workloads away from a node",
		Long: `Let a node lease no further addresses and bind no further ports. What is attached there stays and keeps working; it is
listed, so that it can be moved. The node is empty when the list is.`,
		Example: `  weft node drain n4
  weft node drain n4 -o json | jq -r '.attachments[].workload'`,
		Args: cobra.ExactArgs(1),
	}
	if undo {
		cmd.Use, cmd.Short = "undrain NODE", "Let a node take workloads again"
		cmd.Long, cmd.Example = "Take back what drain did: the node leases addresses and binds ports again.", "  weft node undrain n4"
	}
	cmd.ValidArgsFunction = a.completeNodes
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if err := fabric.CheckName(args[0]); err != nil {
			return usage(cmd, "%w", err)
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.DrainNode, &weftv1.DrainNodeRequest{Name: args[0], Undo: undo})
		if err != nil {
			return err
		}
		d, err := output.FromMessage(res)
		if err != nil {
			return err
		}
		if of.ForScripts() {
			return output.WriteDocument(a.Stdout, of, d)
		}
		return a.writeDrained(args[0], undo, res)
	}
	return cmd
}

func (a *app) writeDrained(name string, undo bool, res *weftv1.DrainNodeResponse) error {
	if undo {
		fmt.Fprintf(a.Stdout, "node %s takes workloads again\n", name)
		return nil
	}
	there := res.GetAttachments()
	if len(there) == 0 && len(res.GetPorts()) == 0 {
		fmt.Fprintf(a.Stdout, "node %s is drained; nothing is attached there\n", name)
		return nil
	}
	fmt.Fprintf(a.Stdout, "node %s is drained; still there: %s\n", name, count(len(there), "workload"))
	g := output.Grid{Header: []string{"INTERFACE", "NETWORK", "WORKLOAD", "ADDRESSES"}}
	for _, w := range there {
		what := w.GetWorkload()
		if w.GetPort() != "" {
			what = "port " + w.GetPort()
		}
		g.Add(output.C(w.GetInterface()), output.C(w.GetNetwork()), output.C(what), output.C(strings.Join(w.GetAddresses(), ", ")))
	}
	for _, p := range res.GetPorts() {
		if !slices.ContainsFunc(there, func(w *weftv1.Attachment) bool { return w.GetPort() == p }) {
			g.Add(output.C(""), output.C(""), output.C("port "+p+", bound"), output.C(""))
		}
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}

func (a *app) nodeDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NODE...",
		Short: "End the membership of nodes, and free what they hold",
		Long: `End the membership of nodes: their certificates are worth nothing from then on, and their address blocks, bound ports and
tunnels are freed. To come back a machine needs a new join token. A node that the Fabric names, as a hub or in a link,
stays until it is taken out there.

The same as "weft delete node NODE...".`,
		Example: `  weft node drain n4
  weft node delete n4`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.ValidArgsFunction = a.completeNodes
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		return a.deleteNodes(cmd, client, args)
	}
	return cmd
}
