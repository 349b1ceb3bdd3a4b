package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/version"
)

// reportFlags say what a report is about, and what becomes of it.
type reportFlags struct {
	source     sourceFlags
	assertions []string
	format     formatFlag
	seal       sealFlags
}

func (a *app) auditReportCommand() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Report everything that an audit says, as a page or as signed evidence",
		Long: `Report who can reach whom, what is questionable about the policies, which assertions hold, and what was not looked at.
-o html prints one page that needs nothing else.

--bundle writes the report to a file as evidence: with what was audited, its hashes, the revision, the version of weft and
the time, signed with the key that --key names. "weft audit verify-bundle" checks it and asks again. Of a controller's state
the bundle also says what each node's switch held at that time, by hash; --verify adds the proof that it carries out the
node's plan ("weft audit verify"). --without-inputs leaves out what was audited;
verify-bundle then needs it.

The exit code is 1 when an assertion is violated, could not be decided, or is about what the model doesn't hold.`,
		Example: `  weft audit report -o html > audit.html
  weft audit report -f topology/ --assert assertions.yaml -o json
  weft audit report --assert assertions.yaml --bundle audit.bundle --key audit.key`,
		Args: cobra.NoArgs,
	}
	f.source.register(cmd)
	cmd.Flags().StringArrayVar(&f.assertions, "assert", nil, "assertions to decide: a file or a directory; may be repeated")
	f.format.register(cmd, output.Text, output.HTML, output.JSON, output.SARIF, output.JUnit)
	f.seal.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := f.format.parse(cmd)
		if err != nil {
			return err
		}
		if err := f.seal.check(cmd); err != nil {
			return err
		}
		brief, err := a.brief(cmd, f)
		if err != nil {
			return err
		}
		r, problems, err := audit.ReportOf(brief)
		if err != nil {
			return refused("%w", err)
		}
		a.report(problems)
		if n := len(problems.Errors()); n > 0 {
			fmt.Fprintf(a.Stderr, "%s; nothing to report\n", count(n, "error"))
			return reported(ExitRefused)
		}
		if err := a.printReport(of, r); err != nil {
			return err
		}
		if f.seal.bundle != "" {
			if err := a.seal(cmd, f, brief, r); err != nil {
				return err
			}
		}
		if r.Proofs.Failed() {
			return reported(ExitRefused)
		}
		return nil
	}
	return cmd
}

// brief reads what the report is about, once.
func (a *app) brief(cmd *cobra.Command, f reportFlags) (audit.Brief, error) {
	var b audit.Brief
	var err error
	if len(f.assertions) > 0 {
		if b.Assertions, err = topology.ReadSources(f.assertions, a.Stdin); err != nil {
			return b, refused("can't read the assertions: %w", err)
		}
	}
	if f.source.kubernetes.given() {
		return b, usage(cmd, "reports are about the fabric: Kubernetes manifests can be asked with reach, why, prove and findings")
	}
	if len(f.source.files.paths) == 0 {
		in, err := a.declared(cmd, f.source.revision)
		if err != nil {
			return b, err
		}
		b.State, err = in.state.Marshal()
		return b, err
	}
	if cmd.Flags().Changed("revision") {
		return b, usage(cmd, "-f and --revision exclude each other: one names files, the other the controller's state")
	}
	b.Sources, err = f.source.files.read(cmd, a)
	return b, err
}

func (a *app) printReport(of output.Format, r audit.Report) error {
	switch of {
	case output.HTML:
		return r.WriteHTML(a.Stdout, version.Version)
	case output.SARIF:
		return a.print(output.JSON, r.Findings.SARIF(version.Version), nil)
	case output.JUnit:
		return a.write(r.Proofs.JUnit())
	}
	return a.print(of, r, func() error { return a.printReportText(r) })
}

func (a *app) printReportText(r audit.Report) error {
	s := r.Summary
	g := output.Grid{Header: []string{"WHAT", "COUNT"}}
	for _, row := range []struct {
		what   string
		count  int
		colour output.Colour
	}{
		{"workloads", s.Workloads, output.Plain}, {"networks", s.Networks, output.Plain}, {"tenants", s.Tenants, output.Plain},
		{"policies", s.Policies, output.Plain}, {"classes", s.Classes, output.Plain},
		{"pairs of classes that connect", s.Connected, output.Plain}, {"pairs of classes", s.Pairs, output.Plain},
		{"warnings", s.Warnings, output.Notice}, {"notes", s.Notes, output.Plain},
		{"assertions proved", s.Proved, output.Good}, {"violated", s.Violated, output.Bad}, {"vacuous", s.Vacuous, output.Notice},
		{"not decided", s.NotDecided, output.Bad}, {"not modelled", s.NotModelled, output.Bad},
	} {
		if row.count == 0 {
			row.colour = output.Plain
		}
		g.Add(output.C(row.what), output.Cell{Text: fmt.Sprint(row.count), Colour: row.colour})
	}
	if err := g.Write(a.Stdout, a.stdoutStyle()); err != nil {
		return err
	}
	if len(r.Proofs.Assertions) > 0 {
		fmt.Fprintln(a.Stdout)
		if err := a.printProofs(r.Proofs); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.Stdout)
	if err := a.printFindings(r.Findings); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "\nnot covered:\n  %s\n", strings.Join(r.NotCovered, "\n  "))
	return nil
}

// question says what a report was asked, as a command line.
func (f reportFlags) question(r audit.Report) string {
	words := []string{"weft", "audit", "report"}
	for _, p := range f.source.files.paths {
		words = append(words, "-f", p)
	}
	if r.Input.Kind == audit.FromController {
		words = append(words, "--revision", fmt.Sprint(r.Input.Revision))
	}
	for _, p := range f.assertions {
		words = append(words, "--assert", cmp.Or(p, "-"))
	}
	return strings.Join(words, " ")
}
