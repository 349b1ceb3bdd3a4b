package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/version"
)

func (a *app) auditFindingsCommand() *cobra.Command {
	var (
		source sourceFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "List rules that are shadowed, redundant, contradicting or too wide",
		Long: `List what is questionable about the policies, with file and line: rules that never act, that change nothing, that
contradict each other at one priority, that can match nobody, that allow everyone everything, or that let addresses
outside the fabric in; and workloads that no FirewallPolicy governs while the posture allows. Of the controller's present
state the nodes are asked for their counters, too: for rules that no connection has met. Each label set that policies can tell apart is looked at, not only those
of declared workloads. The exit code doesn't depend on what is found.`,
		Example: `  weft audit findings
  weft audit findings -f topology/ -o sarif > weft.sarif
  weft audit findings --kubernetes manifests/`,
		Args: cobra.NoArgs,
	}
	source.register(cmd)
	source.kubernetes.register(cmd)
	format.register(cmd, output.Text, output.JSON, output.SARIF)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		found, err := a.findings(cmd, source)
		if err != nil {
			return err
		}
		if of == output.SARIF {
			return a.print(output.JSON, found.SARIF(version.Version), nil)
		}
		return a.print(of, found, func() error { return a.printFindings(found) })
	}
	return cmd
}

// findings looks for findings in what the flags name.
func (a *app) findings(cmd *cobra.Command, source sourceFlags) (audit.Findings, error) {
	if source.kubernetes.given() {
		return a.kubernetesFindings(cmd, source)
	}
	in, err := a.audited(cmd, source)
	if err != nil {
		return audit.Findings{}, err
	}
	found, err := audit.FindingsOf(in.intent, in.workloads)
	if err != nil {
		return audit.Findings{}, refused("%w", err)
	}
	switch c, ok, err := a.liveCounters(cmd, in, source); {
	case err != nil:
		fmt.Fprintf(a.Stderr, "the nodes were not asked for their counters: %v\n", err)
	case ok:
		if found, err = audit.NeverHit(in.intent, in.workloads, c, found); err != nil {
			return audit.Findings{}, refused("%w", err)
		}
	}
	return found, nil
}

func (a *app) printFindings(found audit.Findings) error {
	style := a.stdoutStyle()
	warnings := 0
	for _, f := range found.Findings {
		colour := output.Faint
		if f.Level == audit.LevelWarning {
			colour = output.Notice
			warnings++
		}
		at := ""
		if f.File != "" {
			at = fmt.Sprintf("%s:%d: ", f.File, f.Line)
		}
		fmt.Fprintf(a.Stdout, "%s%s %s\n", at, style.Paint(colour, fmt.Sprintf("%s: %s:", f.Level, f.Kind)), f.Message)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s, %s\n", count(warnings, "warning"), count(len(found.Findings)-warnings, "note"))
	return err
}
