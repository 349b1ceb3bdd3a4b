package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// verifyFiles are the flags of "weft audit verify".
type verifyFiles struct {
	plan, flows, ports string
	datapath           string
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var (
		in     verifyFiles
		nodes  []string
		trace  bool
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "verify [--node NODE]...",
		Short: "Prove that nodes' flows do what their plans say",
		Long: `Read the flows that nodes' switches really have, run them on sets of packets, and compare what becomes of them with
what each node's plan promises: each port has its own identity and can't claim another's addresses, each destination
leaves by its own port or tunnel, each pair of label sets gets the verdict of policy, and nothing leaves in any other way.
The answer covers all packets. Each difference comes with a packet that shows it; --trace asks the node's switch what it
would do with that packet. Settings of the switch that pass by its flows, such as mirrors, are findings, too, each with the
command that undoes it. The plan itself must be the one that the controller computes from what is declared.

All nodes are asked, or those that are named. The exit code is 1 when there are findings, and 3 when a node can't be asked
and the others have none. docs/verify.md says what is covered.

Offline, the files are of one node, taken at one time: its agent's plan snapshot, and what these commands print:

  ovs-ofctl -O OpenFlow15 dump-flows br-int
  ovs-vsctl -f json --columns=name,ofport,external_ids list Interface
  ovs-vsctl get Bridge br-int datapath_type`,
		Example: `  weft audit verify
  weft audit verify --node n1 --trace
  weft audit verify -o sarif > weft.sarif
  weft audit verify --plan plan --ports interfaces.json --flows flows.txt`,
		Args: cobra.NoArgs,
	}
	for _, f := range []struct {
		to          *string
		name, usage string
	}{
		{&in.plan, "plan", "offline: the agent's plan snapshot"},
		{&in.ports, "ports", "offline: the switch's interfaces, as JSON of ovs-vsctl"},
		{&in.flows, "flows", "offline: the switch's flows, as text of ovs-ofctl dump-flows"},
	} {
		cmd.Flags().StringVar(f.to, f.name, "", f.usage)
		complete(cmd, f.name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		})
	}
	cmd.Flags().StringVar(&in.datapath, "datapath", "", "offline: who forwards the bridge's packets: netdev or system (default: netdev)")
	complete(cmd, "datapath", cobra.FixedCompletions([]cobra.Completion{verify.Netdev, verify.System}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "a node to verify; several with commas or repeated (default: all)")
	complete(cmd, "node", a.completeNodes)
	cmd.Flags().BoolVar(&trace, "trace", false, "ask the nodes' switches what they would do with the packets of findings")
	format.register(cmd, output.Text, output.JSON, output.SARIF)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if in != (verifyFiles{}) {
			if len(nodes) > 0 || trace {
				return usage(cmd, "--plan, --ports and --flows are for files: leave --node and --trace out")
			}
			if in.datapath != "" && in.datapath != verify.Netdev && in.datapath != verify.System {
				return usage(cmd, "--datapath is netdev or system")
			}
			return a.verifyFiles(cmd, in, of)
		}
		all, err := a.verifyNodes(cmd, nodes, trace)
		if err != nil {
			return err
		}
		if err := a.printVerified(of, all); err != nil {
			return err
		}
		return all.outcome()
	}
	return cmd
}

// verifyFiles verifies a node from files.
func (a *app) verifyFiles(cmd *cobra.Command, in verifyFiles, of output.Format) error {
	if in.plan == "" || in.ports == "" || in.flows == "" {
		return usage(cmd, "name the three files: --plan, --ports and --flows")
	}
	question, err := in.read()
	if err != nil {
		return refused("%w", err)
	}
	r := verify.Verify(question)
	all := verified{Nodes: []verifiedNode{{Node: string(r.Node), Report: &r}}}
	if of == output.JSON {
		err = a.print(of, r, nil)
	} else {
		err = a.printVerified(of, all)
	}
	if err != nil {
		return err
	}
	return all.outcome()
}

// completeNodes completes the names of nodes.
func (a *app) completeNodes(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	a.ask(cmd, func(ctx context.Context, client weftv1connect.IntentServiceClient) error {
		list, err := call(ctx, a, client.ListNodes, &weftv1.ListNodesRequest{})
		for _, n := range list.GetNodes() {
			names = append(names, n.GetName())
		}
		return err
	})
	return startingWith(names, word), cobra.ShellCompDirectiveNoFileComp
}

// read reads the three files.
func (f *verifyFiles) read() (verify.Input, error) {
	var in verify.Input
	b, err := os.ReadFile(f.plan)
	if err != nil {
		return in, err
	}
	if _, in.Plan, err = planwire.UnmarshalSnapshot(b); err != nil {
		return in, fmt.Errorf("%s: %w", f.plan, err)
	}
	if b, err = os.ReadFile(f.ports); err != nil {
		return in, err
	}
	ports, err := verify.ParsePorts(b, in.Plan)
	if err != nil {
		return in, fmt.Errorf("%s: %w", f.ports, err)
	}
	in.Attachments, in.TunnelPort = ports.Attachments, ports.TunnelPort
	in.AgentND = f.datapath == verify.System
	if b, err = os.ReadFile(f.flows); err != nil {
		return in, err
	}
	if in.Flows, err = verify.ParseFlows(b); err != nil {
		return in, fmt.Errorf("%s: %w", f.flows, err)
	}
	return in, nil
}
