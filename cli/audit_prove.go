package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

func (a *app) auditProveCommand() *cobra.Command {
	var (
		source     sourceFlags
		assertions []string
		format     formatFlag
	)
	cmd := &cobra.Command{
		Use:   "prove [--assert FILE]",
		Short: "Prove assertions, or show what violates them",
		Long: `Decide assertions about who can reach whom: never, only, always and maxExposure. They are documents of the kind
Assertion, in files named with --assert or beside the topology.

never and only hold for workloads that don't exist yet too, unless they say otherwise: each label set that the policies
can tell apart is looked at. A violated assertion comes with the smallest packet that violates it, and the rules that it
meets. The exit code is 1 when an assertion is violated, could not be decided, or is about what the model doesn't hold.`,
		Example: `  weft audit prove --assert assertions.yaml
  weft audit prove -f topology/ -o json
  weft audit prove --kubernetes manifests/ --assert assertions.yaml`,
		Args: cobra.NoArgs,
	}
	source.register(cmd)
	source.kubernetes.register(cmd)
	cmd.Flags().StringArrayVar(&assertions, "assert", nil, "assertions to decide: a file or a directory; may be repeated")
	format.register(cmd, output.Table, output.JSON, output.JUnit)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		proofs, err := a.proofs(cmd, source, assertions)
		if err != nil {
			return err
		}
		if err := a.print(of, proofs, func() error {
			if of == output.JUnit {
				return a.write(proofs.JUnit())
			}
			return a.printProofs(proofs)
		}); err != nil {
			return err
		}
		if proofs.Failed() {
			return reported(ExitRefused)
		}
		return nil
	}
	return cmd
}

// proofs decides the assertions in what the flags name.
func (a *app) proofs(cmd *cobra.Command, source sourceFlags, assertions []string) (audit.Proofs, error) {
	if source.kubernetes.given() {
		return a.kubernetesProofs(cmd, source, assertions)
	}
	in, err := a.audited(cmd, source)
	if err != nil {
		return audit.Proofs{}, err
	}
	list, err := a.assertions(in, assertions)
	if err != nil {
		return audit.Proofs{}, err
	}
	proofs, err := audit.Prove(in.intent, in.workloads, list)
	if err != nil {
		return audit.Proofs{}, refused("%w", err)
	}
	return proofs, nil
}

// assertions reads the assertions beside the topology and in the files named.
func (a *app) assertions(in audited, paths []string) ([]audit.Assertion, error) {
	foreign := in.foreign
	var problems topology.Problems
	if len(paths) > 0 {
		sources, err := topology.ReadSources(paths, a.Stdin)
		if err != nil {
			return nil, refused("can't read the assertions: %w", err)
		}
		objects, more, faults := topology.Decode(sources)
		for _, o := range objects {
			faults = append(faults, audit.Misplaced(o))
		}
		foreign, problems = append(foreign, more...), faults
	}
	list, faults := audit.AssertionsOf(in.intent, foreign)
	problems = append(problems, faults...)
	a.report(problems)
	if n := len(problems.Errors()); n > 0 {
		fmt.Fprintf(a.Stderr, "%s; nothing proved\n", count(n, "error"))
		return nil, reported(ExitRefused)
	}
	if len(list) == 0 {
		return nil, refused("no assertions: name a file of them with --assert")
	}
	return list, nil
}

// write prints bytes that something made, or returns why it could not.
func (a *app) write(b []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(b)
	return err
}

func (a *app) printProofs(p audit.Proofs) error {
	style := a.stdoutStyle()
	g := output.Grid{Header: []string{"ASSERTION", "TYPE", "VERDICT", "REASON"}}
	colours := map[audit.Outcome]output.Colour{audit.Proved: output.Good, audit.Violated: output.Bad, audit.Vacuous: output.Notice, audit.NotDecided: output.Bad, audit.NotModelled: output.Bad}
	for _, x := range p.Assertions {
		g.Add(output.C(x.Name), output.C(string(x.Type)), output.Cell{Text: string(x.Verdict), Colour: colours[x.Verdict]}, output.C(x.Reason))
	}
	if err := g.Write(a.Stdout, style); err != nil {
		return err
	}
	for _, x := range p.Assertions {
		if x.Counterexample == nil {
			continue
		}
		fmt.Fprintf(a.Stdout, "\n%s:%d: %s is violated\n", x.File, x.Line, x.Name)
		service := ""
		if x.Counterexample.Witness != nil {
			service = x.Counterexample.Witness.Service
		}
		if err := a.printExplanation(*x.Counterexample, service); err != nil {
			return err
		}
	}
	return nil
}
