package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

func (a *app) validateCommand() *cobra.Command {
	var (
		files  filesFlag
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check declared objects offline",
		Long: `Check files by themselves, without a controller. Every problem is printed as file:line: what is wrong, and what
to do. The exit code is 1 when there are errors; warnings don't change it.

References must resolve within the files given: to check against what is stored already, use "weft plan".`,
		Example: `  weft validate -f topology/
  weft validate -f network.yaml -f policies/
  weft validate -f topology/ -o json`,
		Args: cobra.NoArgs,
	}
	files.register(cmd, "what to check")
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		sources, err := files.read(cmd, a)
		if err != nil {
			return err
		}
		intent, _, problems := topology.Load(sources)
		errs, warnings := problems.Errors(), problems.Warnings()
		err = a.print(of, validationOf(sources, intent, problems), func() error {
			a.report(problems)
			if len(errs) > 0 {
				fmt.Fprintf(a.Stderr, "%s, %s\n", count(len(errs), "error"), count(len(warnings), "warning"))
				return nil
			}
			fmt.Fprintf(a.Stdout, "valid: %s in %s, %s\n", count(intent.Len(), "object"), count(len(sources), "file"), count(len(warnings), "warning"))
			return nil
		})
		if err == nil && len(errs) > 0 {
			return reported(ExitRefused)
		}
		return err
	}
	return cmd
}

// validation is what validate prints for scripts.
type validation struct {
	Files    int       `json:"files"`
	Objects  int       `json:"objects"`
	Problems []finding `json:"problems"`
}

// finding is a problem with its severity as a word.
type finding struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Message  string `json:"message"`
}

func validationOf(sources []topology.Source, intent *topology.Intent, problems topology.Problems) validation {
	v := validation{Files: len(sources), Objects: intent.Len(), Problems: make([]finding, len(problems))}
	for i, p := range problems {
		v.Problems[i] = finding{p.Severity.String(), p.File, p.Line, p.Message}
	}
	return v
}
