package labcmd

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/lab"
)

// patienceFlags lets a user wait longer for answers, as on a slow machine.
func patienceFlags(cmd *cobra.Command, p *lab.Patience) {
	cmd.Flags().IntVar(&p.Tries, "tries", p.Tries, "how often a probe without answer is sent")
	cmd.Flags().DurationVar(&p.Timeout, "timeout", p.Timeout, "how long each try waits for an answer")
	cmd.Flags().IntVar(&p.Parallel, "parallel", p.Parallel, "how many probes are on their way at once")
}

func probeCommand(common *commonFlags) *cobra.Command {
	patience := lab.DefaultPatience()
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Send probes between all workloads and compare them with the prediction",
		Long: `probe sends ping, TCP and UDP probes between every ordered pair of workloads, and prints what the topology that the
lab's controller holds predicts beside what was seen. The exit code is 1 when the two differ.`,
		Example: `  weft lab probe
  weft lab probe --name big --tries 5 --timeout 2s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := common.open()
			if err != nil {
				return err
			}
			intent, err := r.Intent(cmd.Context())
			if err != nil {
				return err
			}
			m, err := r.Probe(cmd.Context(), intent, patience)
			if err != nil {
				return err
			}
			if err := m.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if !m.OK() {
				return ErrDifferent
			}
			return nil
		},
	}
	patienceFlags(cmd, &patience)
	return cmd
}

func execCommand(common *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "exec WORKLOAD -- COMMAND [ARG...]",
		Short: "Run a command in a workload or on a node",
		Long: `exec runs a command in the network namespace of a container (TENANT/NAME) or of a node (its name), with this terminal's
input and output, and ends with the command's exit code. "weft lab list" shows the names.`,
		Example: `  weft lab exec acme/web-1 -- ping -c 3 10.0.2.10
  weft lab exec node2 -- ip -brief addr`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := common.open()
			if err != nil {
				return err
			}
			code, err := lab.Exec(cmd.Context(), r, args[0], args[1:], lab.Streams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()})
			if err != nil {
				return err
			}
			if code != 0 {
				return &ExitError{code}
			}
			return nil
		},
	}
}

func listCommand(common *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the labs and their workloads",
		Long: `list prints the labs below --state-dir, all of them whatever --name says, with the node, network and addresses of each
workload.`,
		Example: `  weft lab list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			labs, err := lab.List(common.stateDir)
			if err != nil {
				return err
			}
			if len(labs) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no labs")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "LAB\tNODE\tWORKLOAD\tTYPE\tNETWORK\tADDRESSES\tSTATE")
			for _, r := range labs {
				printLab(w, r)
			}
			return w.Flush()
		},
	}
}

func printLab(w *tabwriter.Writer, r *lab.Record) {
	state := "incomplete"
	if r.Ready {
		state = "up"
	}
	if len(r.Workloads) == 0 {
		fmt.Fprintf(w, "%s\t-\t-\t-\t-\t-\t%s\n", r.Name, state)
	}
	for _, a := range r.Workloads {
		var addresses []string
		for _, p := range a.Addresses {
			addresses = append(addresses, p.String())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, a.Node, a.Ref(), a.Workload.Spec.Type, a.Workload.Spec.Network, strings.Join(addresses, " "), state)
	}
}
