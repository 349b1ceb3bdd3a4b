package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// filesFlag is the flag -f: files, directories, or - for standard input.
type filesFlag struct {
	paths []string
}

func (f *filesFlag) register(cmd *cobra.Command, purpose string) {
	cmd.Flags().StringArrayVarP(&f.paths, "filename", "f", nil, purpose+": a file, a directory of *.yaml files, or - for standard input; may be repeated")
	complete(cmd, "filename", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	})
}

// read returns the files; at least one must be named.
func (f *filesFlag) read(cmd *cobra.Command, a *app) ([]topology.Source, error) {
	if len(f.paths) == 0 {
		return nil, usage(cmd, "no input: name a file or directory with -f, or -f - for standard input")
	}
	sources, err := topology.ReadSources(f.paths, a.Stdin)
	if err != nil {
		return nil, refused("can't read the input: %w", err)
	}
	return sources, nil
}

// wireFiles returns the sources as the API takes them.
func wireFiles(sources []topology.Source) []*weftv1.File {
	files := make([]*weftv1.File, len(sources))
	for i, s := range sources {
		files[i] = &weftv1.File{Name: s.Name, Content: s.Content}
	}
	return files
}

// problemsOf returns the findings of the controller as those of package topology, which come from the same
// code.
func problemsOf(list []*weftv1.Problem) topology.Problems {
	problems := make(topology.Problems, len(list))
	for i, p := range list {
		severity := topology.SeverityError
		if p.GetSeverity() == weftv1.Problem_SEVERITY_WARNING {
			severity = topology.SeverityWarning
		}
		problems[i] = topology.Problem{Severity: severity, File: p.GetFile(), Line: int(p.GetLine()), Message: p.GetMessage()}
	}
	return problems
}

// report prints problems on standard error, one a line.
func (a *app) report(problems topology.Problems) {
	style := a.style(a.StderrTerminal)
	for _, p := range problems {
		colour := output.Bad
		if p.Severity == topology.SeverityWarning {
			colour = output.Notice
		}
		fmt.Fprintln(a.Stderr, style.Paint(colour, p.String()))
	}
}

// count returns "1 error", "2 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
