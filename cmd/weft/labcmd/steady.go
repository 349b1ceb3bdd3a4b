package labcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/lab"
)

// ErrLost says that steady traffic lost packets. It has been shown already.
var ErrLost = errors.New("packets were lost")

func steadyCommand(common *commonFlags) *cobra.Command {
	rates := lab.DefaultRates()
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "steady [FROM:TO...]",
		Short: "Send traffic without a pause and count each lost packet",
		Long: `steady keeps three kinds of traffic going from one workload to another: numbers on one established TCP connection,
pings, and new TCP connections. It counts what isn't answered, and the longest time without an answer. Ctrl-C ends it.

Without arguments it takes one pair of each kind that policy allows: on one node and across nodes, in one subnet and
across subnets, from containers to containers and virtual machines. The exit code is 1 when anything was lost.`,
		Example: `  weft lab steady --for 30s
  weft lab steady acme/web-1:acme/web-2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := common.open()
			if err != nil {
				return err
			}
			intent, err := r.Intent(cmd.Context())
			if err != nil {
				return err
			}
			paths, err := r.Paths(intent)
			if err != nil {
				return err
			}
			if paths, err = choosePaths(paths, args); err != nil {
				return err
			}
			return runSteady(cmd, steadyRun{r, paths, rates, duration})
		},
	}
	cmd.Flags().DurationVar(&duration, "for", 0, "how long (default: until Ctrl-C)")
	cmd.Flags().DurationVar(&rates.Stream, "stream", rates.Stream, "interval on the established connection; 0 leaves it out")
	cmd.Flags().DurationVar(&rates.Pings, "pings", rates.Pings, "interval between pings; 0 leaves them out")
	cmd.Flags().DurationVar(&rates.Connections, "connections", rates.Connections, "interval between new connections; 0 leaves them out")
	cmd.Flags().DurationVar(&rates.Patience, "patience", rates.Patience, "how long an answer may take before it counts as lost")
	return cmd
}

// choosePaths returns those that the arguments name, or one of each kind.
func choosePaths(paths []lab.Path, args []string) ([]lab.Path, error) {
	if len(args) == 0 {
		if paths = lab.OneOfEach(paths); len(paths) == 0 {
			return nil, errors.New("policy allows no TCP connection between any two workloads of this lab")
		}
		return paths, nil
	}
	var out []lab.Path
	for _, arg := range args {
		from, to, ok := strings.Cut(arg, ":")
		if !ok {
			return nil, fmt.Errorf("%q names no pair: write FROM:TO", arg)
		}
		at := slices.IndexFunc(paths, func(p lab.Path) bool {
			return named(p.From, from) && named(p.To, to)
		})
		if at < 0 {
			return nil, fmt.Errorf("policy allows no TCP connection from %s to %s, or there is no such workload: `weft lab probe` shows what is allowed", from, to)
		}
		out = append(out, paths[at])
	}
	return out, nil
}

func named(a lab.Attached, name string) bool {
	return a.Ref() == name || a.Workload.Metadata.Name == name
}

// steadyRun is what the command runs.
type steadyRun struct {
	lab      *lab.Record
	paths    []lab.Path
	rates    lab.Rates
	duration time.Duration
}

// runSteady shows a summary each second, and a table at the end.
func runSteady(cmd *cobra.Command, o steadyRun) error {
	ctx := cmd.Context()
	s, err := o.lab.StartSteady(ctx, o.paths, o.rates)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "traffic on %d paths; Ctrl-C ends it\n", len(o.paths))
	var over <-chan time.Time
	if o.duration > 0 {
		over = time.After(o.duration)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := 0
	for going := true; going; {
		select {
		case <-ctx.Done():
			going = false
		case <-over:
			going = false
		case <-tick.C:
			if results, err := s.Look(ctx); err == nil {
				before = sayLosses(cmd, results, before)
			}
		}
	}
	results, err := s.Stop(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	if err := lab.PrintSteady(cmd.OutOrStdout(), results); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r lab.SteadyResult) bool { return !r.Lossless() }) {
		return ErrLost
	}
	return nil
}

// sayLosses prints a line when more was lost than before, and returns how much that is.
func sayLosses(cmd *cobra.Command, results []lab.SteadyResult, before int) int {
	lost := 0
	gap := time.Duration(0)
	for _, r := range results {
		lost += r.Stream.Lost + r.Stream.Breaks + r.Pings.Lost + r.Connections.Lost
		gap = max(gap, r.Gap())
	}
	if lost > before {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s  %d lost so far, longest gap %s\n", time.Now().Format(time.TimeOnly), lost, gap.Round(time.Millisecond))
	}
	return lost
}
