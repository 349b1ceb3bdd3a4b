package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/evidence"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/version"
)

func (a *app) auditVerifyBundleCommand() *cobra.Command {
	var (
		key    string
		files  filesFlag
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "verify-bundle FILE --public-key KEY [-f INPUT]",
		Short: "Check evidence, and ask its question again",
		Long: `Check that evidence is what was signed, byte by byte, with the key that KEY is the public part of. Then ask its question
again, of the inputs in the bundle or of those that -f names, and compare the answers.

Files that -f names are recognised by what they hold, whatever they are called. The exit code is 1 when the bundle can't be
trusted, when an input is not the one that was audited, or when the answers differ.`,
		Example: `  weft audit verify-bundle audit.bundle --public-key audit.key.pub
  weft audit verify-bundle audit.bundle --public-key audit.key.pub -f topology/ -f assertions.yaml`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&key, "public-key", "", "public key of who signed")
	completeFiles(cmd, "public-key")
	files.register(cmd, "what was audited")
	format.register(cmd, output.Text, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if key == "" {
			return usage(cmd, "name the public key of who signed: --public-key FILE")
		}
		bundle, err := openBundle(args[0], key)
		if err != nil {
			return refused("%s: %w", args[0], err)
		}
		var given []topology.Source
		if len(files.paths) > 0 {
			if given, err = files.read(cmd, a); err != nil {
				return err
			}
		}
		check := recheck(bundle, given)
		if err := a.print(of, check, func() error { return a.printBundleCheck(args[0], check) }); err != nil {
			return err
		}
		if !check.Confirmed {
			return reported(ExitRefused)
		}
		return nil
	}
	return cmd
}

// openBundle reads a bundle and checks it as a whole.
func openBundle(path, keyPath string) (evidence.Bundle, error) {
	pem, err := os.ReadFile(keyPath)
	if err != nil {
		return evidence.Bundle{}, fmt.Errorf("can't read the key: %w", err)
	}
	key, err := evidence.ParsePublic(pem)
	if err != nil {
		return evidence.Bundle{}, fmt.Errorf("%s: %w", keyPath, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return evidence.Bundle{}, err
	}
	return evidence.Open(data, key)
}

// bundleCheck is what became of evidence that was asked again.
type bundleCheck struct {
	audit.Header
	Evidence evidence.Manifest `json:"evidence"`
	Version  string            `json:"version"` // of who checks
	// Confirmed says that the answers are the same, and Difference why they aren't.
	Confirmed  bool   `json:"confirmed"`
	Difference string `json:"difference,omitempty"`
}

// recheck asks a bundle's question again; given are the inputs, when the bundle's own aren't to be used.
func recheck(b evidence.Bundle, given []topology.Source) bundleCheck {
	c := bundleCheck{Header: audit.HeaderOf("EvidenceCheck"), Evidence: b.Manifest, Version: version.Version}
	fail := func(format string, args ...any) bundleCheck {
		c.Difference = fmt.Sprintf(format, args...)
		return c
	}
	brief, err := briefOf(b, given)
	if err != nil {
		return fail("%v", err)
	}
	r, problems, err := audit.ReportOf(brief)
	if err = errors.Join(err, problems.Err()); err != nil {
		return fail("the question can't be asked again: %v", err)
	}
	answers, err := r.Marshal()
	switch {
	case err != nil:
		return fail("%v", err)
	case !bytes.Equal(answers, b.Get(evidence.ReportName)) && b.Manifest.Version != version.Version:
		return fail("weft %s answers otherwise than weft %s, which sealed it: ask with that version", version.Version, b.Manifest.Version)
	case !bytes.Equal(answers, b.Get(evidence.ReportName)):
		return fail("the same question has other answers now")
	}
	c.Confirmed = true
	return c
}

// briefOf returns what was audited, with the names that it had.
func briefOf(b evidence.Bundle, given []topology.Source) (audit.Brief, error) {
	var brief audit.Brief
	used := make([]bool, len(given))
	for i, f := range b.Manifest.Input.Files {
		var data []byte
		switch {
		case len(given) > 0:
			j := slices.IndexFunc(given, func(s topology.Source) bool { return audit.NewInputFile(f.Name, f.Role, s.Content) == f })
			if j < 0 {
				return brief, fmt.Errorf("none of the files that -f names is %s as it was audited (SHA-256 %s)", f.Name, f.SHA256)
			}
			data = given[j].Content
			for k, s := range given { // several may hold the same
				used[k] = used[k] || bytes.Equal(s.Content, data)
			}
		case i < len(b.Manifest.Inputs):
			data = b.Get(b.Manifest.Inputs[i])
			if audit.NewInputFile(f.Name, f.Role, data) != f {
				return brief, fmt.Errorf("the bundle's %s is not %s as it was audited", b.Manifest.Inputs[i], f.Name)
			}
		default:
			return brief, fmt.Errorf("the bundle was made without its inputs: name them with -f")
		}
		switch f.Role {
		case audit.RoleState:
			brief.State = data
		case audit.RoleAssertions:
			brief.Assertions = append(brief.Assertions, topology.Source{Name: f.Name, Content: data})
		default:
			brief.Sources = append(brief.Sources, topology.Source{Name: f.Name, Content: data})
		}
	}
	for j, s := range given {
		if !used[j] {
			return brief, fmt.Errorf("%s was not audited", s.Name)
		}
	}
	return brief, nil
}

func (a *app) printBundleCheck(path string, c bundleCheck) error {
	style, m := a.stdoutStyle(), c.Evidence
	fmt.Fprintf(a.Stdout, "%s: %s: nothing was changed since %s, when the key %s signed it\n", path, style.Paint(output.Good, "intact"), m.Made, m.Key)
	fmt.Fprintf(a.Stdout, "question: %s, by weft %s\n", m.Question, m.Version)
	for _, f := range m.Input.Files {
		fmt.Fprintf(a.Stdout, "input: %s, SHA-256 %s\n", f.Name, f.SHA256)
	}
	for _, n := range m.Nodes {
		if n.Error != "" {
			fmt.Fprintf(a.Stdout, "node: %s: not read: %s\n", n.Name, n.Error)
			continue
		}
		proof := ""
		switch n.Verified {
		case evidence.FlowsProved:
			proof = ", proved to carry out the plan"
		case evidence.FlowsFindings:
			proof = ", which do not carry out the plan: see " + evidence.VerifiedName
		}
		fmt.Fprintf(a.Stdout, "node: %s: %d flows at %s, SHA-256 %s%s\n", n.Name, n.Flows, n.Read, n.FlowsSHA256, proof)
	}
	v := m.Verdicts
	fmt.Fprintf(a.Stdout, "answers: %d of %d pairs connect; %s, %s; assertions: %d proved, %d violated, %d vacuous, %d not decided, %d not modelled\n",
		v.Connected, v.Pairs, count(v.Warnings, "warning"), count(v.Notes, "note"), v.Proved, v.Violated, v.Vacuous, v.NotDecided, v.NotModelled)
	for _, n := range m.NotCovered {
		fmt.Fprintf(a.Stdout, "not covered: %s\n", n)
	}
	if !c.Confirmed {
		_, err := fmt.Fprintf(a.Stdout, "%s: %s\n", style.Paint(output.Bad, "not confirmed"), c.Difference)
		return err
	}
	_, err := fmt.Fprintf(a.Stdout, "%s: asked again, the answers are the same\n", style.Paint(output.Good, "confirmed"))
	return err
}
