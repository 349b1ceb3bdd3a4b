package labcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/lab"
)

func upCommand(common *commonFlags) *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "up -f PATH",
		Short: "Build a lab and keep it running",
		Long: `up builds a lab, waits until every node enforces the topology and every workload is attached, and leaves it running.
What is built is removed by "weft lab down", and also when the start fails or is interrupted.`,
		Example: `  weft lab up -f examples/two-tenants
  weft lab up -f examples/three-tier --nodes 5 --name big`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd, common)
			if err != nil {
				return err
			}
			r, err := lab.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "lab %s runs in %s. Try:\n", r.Name, r.Dir())
			fmt.Fprintf(out, "  export WEFT_SERVER=unix://%s\n", r.ControllerSocket())
			fmt.Fprintf(out, "  weft status; weft lab probe%s; weft lab down%s\n", nameFlag(r.Name), nameFlag(r.Name))
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

// nameFlag is what a user must add to name a lab.
func nameFlag(name string) string {
	if name == "lab" {
		return ""
	}
	return " --name " + name
}

func demoCommand(common *commonFlags) *cobra.Command {
	f := &buildFlags{}
	patience := lab.DefaultPatience()
	cmd := &cobra.Command{
		Use:   "demo -f PATH",
		Short: "Build a lab, probe it, and remove it again",
		Long: `demo builds a lab, sends ping, TCP and UDP probes between every pair of workloads, prints what the YAML predicts
beside what was seen, and removes the lab, on Ctrl-C too. The exit code is 1 when the two differ.`,
		Example: `  weft lab demo -f examples/two-tenants
  weft lab demo -f examples/dual-stack --no-vms`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd, common)
			if err != nil {
				return err
			}
			equal, err := lab.Demo(cmd.Context(), o, patience, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if !equal {
				return ErrDifferent
			}
			return nil
		},
	}
	patienceFlags(cmd, &patience)
	f.register(cmd)
	return cmd
}

func downCommand(common *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove a lab: its processes, namespaces and state",
		Long: `down ends a lab's processes, removes its namespaces and deletes its state directory, whether the lab is whole or the rest
of an interrupted start. It touches no other lab.`,
		Example: `  weft lab down
  weft lab down --name big`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Down(cmd.Context(), common.stateDir, common.name)
		},
	}
}
