package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/planwire"
)

// verifyFiles are the flags of "weft audit verify".
type verifyFiles struct {
	plan, flows, ports string
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var (
		in     verifyFiles
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "verify --plan FILE --ports FILE --flows FILE",
		Short: "Prove that a node's flows do what its plan says",
		Long: `Run the flows of a node's switch on sets of packets, and compare what becomes of them with what the node's plan
promises: each port has its own identity and can't claim another's addresses, each destination leaves by its own port or
tunnel, each pair of label sets gets the verdict of policy, and nothing leaves in any other way. The answer covers all
packets. Each difference comes with a packet that shows it, for ovs-appctl ofproto/trace. The exit code is 1 when there
are findings. docs/verify.md says what is covered.

The files are of one node, taken at one time: its agent's plan snapshot, and what these commands print:

  ovs-ofctl -O OpenFlow15 dump-flows br-int
  ovs-vsctl -f json --columns=name,ofport,external_ids list Interface`,
		Example: `  weft audit verify --plan plan --ports interfaces.json --flows flows.txt
  weft audit verify --plan plan --ports interfaces.json --flows flows.txt -o json`,
		Args: cobra.NoArgs,
	}
	for _, f := range []struct {
		to          *string
		name, usage string
	}{
		{&in.plan, "plan", "the agent's plan snapshot"},
		{&in.ports, "ports", "the switch's interfaces, as JSON of ovs-vsctl"},
		{&in.flows, "flows", "the switch's flows, as text of ovs-ofctl dump-flows"},
	} {
		cmd.Flags().StringVar(f.to, f.name, "", f.usage)
		complete(cmd, f.name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		})
	}
	format.register(cmd, output.Text, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if in.plan == "" || in.ports == "" || in.flows == "" {
			return usage(cmd, "name the three files: --plan, --ports and --flows")
		}
		question, err := in.read()
		if err != nil {
			return refused("%w", err)
		}
		r := verify.Verify(question)
		if err := a.print(of, r, func() error { return a.printVerification(r) }); err != nil {
			return err
		}
		if len(r.Findings) > 0 {
			return reported(ExitRefused)
		}
		return nil
	}
	return cmd
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
	if b, err = os.ReadFile(f.flows); err != nil {
		return in, err
	}
	if in.Flows, err = verify.ParseFlows(b); err != nil {
		return in, fmt.Errorf("%s: %w", f.flows, err)
	}
	return in, nil
}

func (a *app) printVerification(r verify.Report) error {
	style := a.stdoutStyle()
	for _, f := range r.Findings {
		fmt.Fprintf(a.Stdout, "%s %s: %s, but should be: %s\n", style.Paint(output.Bad, string(f.Kind)), f.Region, f.Got, f.Want)
		if f.Packet != "" {
			fmt.Fprintf(a.Stdout, "  packet: %s\n", f.Packet)
		}
		for _, c := range f.CT {
			fmt.Fprintf(a.Stdout, "  --ct-next %s\n", c)
		}
		for _, fl := range f.Flows {
			fmt.Fprintf(a.Stdout, "  met: %s\n", fl)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(a.Stdout, "%s more\n", count(r.More, "finding"))
	}
	verdict := style.Paint(output.Good, "proved")
	if n := len(r.Findings) + r.More; n > 0 {
		verdict = style.Paint(output.Bad, count(n, "finding"))
	}
	_, err := fmt.Fprintf(a.Stdout, "node %s: %s: %s, %s, %s of label sets in %s\n", r.Node, verdict,
		count(r.Flows, "flow"), count(r.Questions, "question"), count(r.Pairs, "pair"), count(r.Classes, "group"))
	return err
}
