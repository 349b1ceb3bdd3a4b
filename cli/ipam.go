package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) ipamCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ipam",
		Short:   "Check who has which address",
		Long:    "Check the addresses of the fabric: the blocks that nodes lease, and what workloads have of them.",
		Example: "  weft ipam verify",
	}
	makeGroup(cmd)
	cmd.AddCommand(a.ipamVerifyCommand())
	return cmd
}

func (a *app) ipamVerifyCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that leases, Ports, switches and the store agree",
		Long: `Compare what the store holds (networks, declared Ports, leased blocks) with what each node's agent reports: no lease
overlaps another one, each workload's address is its Port's own or lies in a block that its node leases, no address and no
MAC address of a network is used twice, no Port is attached twice, and no agent reports a record, link or flow that is not
as it should be. Then each node is asked what its switch holds now: every record there must be one that the agent reports,
with the same network, Port, addresses and MAC address, and no flow may hold what the fabric never writes. What can't be
known, as of a node whose agent is not connected, is not proved.

The exit code is 1 unless all of it agrees. Each finding says what to do. Reports follow changes within a moment: while
workloads come and go, run it again before you act.`,
		Example: `  weft ipam verify
  weft ipam verify -o json | jq '.findings[]'`,
		Args: cobra.NoArgs,
	}
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		objects, err := a.list(cmd.Context(), client.Intent, "", "")
		if err != nil {
			return err
		}
		nodes, err := call(cmd.Context(), a, client.Intent.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		switches, err := a.askIPAM(cmd.Context(), client, nodes.GetNodes())
		if err != nil {
			return err
		}
		// What the agents report is asked for again: it is what the switches held at that time, or newer.
		if nodes, err = call(cmd.Context(), a, client.Intent.ListNodes, &weftv1.ListNodesRequest{}); err != nil {
			return err
		}
		report := checkIPAM(objects, nodes.GetNodes(), switches)
		if err := a.print(of, report, func() error { return a.writeIPAM(report) }); err != nil {
			return err
		}
		if n := len(report.Findings); n > 0 {
			return refused("%s", count(n, "finding"))
		}
		return nil
	}
	return cmd
}

// writeIPAM shows a report to people.
func (a *app) writeIPAM(r ipamReport) error {
	for _, f := range r.Findings {
		if _, err := fmt.Fprintf(a.Stdout, "%s: %s: %s\n    %s\n", f.Node, f.Object, f.Problem, f.Do); err != nil {
			return err
		}
	}
	if len(r.Findings) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.Stdout, "%s, %s, %d addresses in use, %d switches asked: all agree\n", count(r.Nodes, "node"), count(r.Leases, "lease"), r.Addresses, r.Switches)
	return err
}
