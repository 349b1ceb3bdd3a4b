package cli

import (
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

// kubernetesFlags ask about Kubernetes manifests instead of a topology.
type kubernetesFlags struct {
	paths     []string
	podRanges []string
}

func (f *kubernetesFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.paths, "kubernetes", nil, "audit Kubernetes manifests: a file, a directory with all below it, or - for standard input; may be repeated")
	complete(cmd, "kubernetes", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	})
	f.registerOptions(cmd)
}

func (f *kubernetesFlags) registerOptions(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.podRanges, "pod-cidr", nil, "with --kubernetes: where the addresses lie of pods whose manifests don't tell; may be repeated")
	complete(cmd, "pod-cidr", cobra.NoFileCompletions)
}

func (f *kubernetesFlags) given() bool { return len(f.paths) > 0 }

// options returns what the flags say beside the manifests.
func (f *kubernetesFlags) options(cmd *cobra.Command) (kubernetes.Options, error) {
	var o kubernetes.Options
	for _, text := range f.podRanges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return o, usage(cmd, "--pod-cidr: %q is not an address range: write one such as 10.244.0.0/16", text)
		}
		o.PodRanges = append(o.PodRanges, p.Masked())
	}
	return o, nil
}

// cluster reads and checks manifests.
func (a *app) cluster(paths []string) (*kubernetes.Cluster, error) {
	sources, err := readManifests(paths, a.Stdin)
	if err != nil {
		return nil, refused("can't read the manifests: %w", err)
	}
	c, problems := kubernetes.Load(sources)
	a.report(problems)
	if n := len(problems.Errors()); n > 0 {
		fmt.Fprintf(a.Stderr, "%s; nothing to audit\n", count(n, "error"))
		return nil, reported(ExitRefused)
	}
	return c, nil
}

// world reads, checks and lowers manifests.
func (a *app) world(cmd *cobra.Command, f sourceFlags) (*kubernetes.World, error) {
	if len(f.files.paths) > 0 || cmd.Flags().Changed("revision") {
		return nil, usage(cmd, "--kubernetes excludes -f and --revision: it asks about a cluster, they about a fabric")
	}
	o, err := f.kubernetes.options(cmd)
	if err != nil {
		return nil, err
	}
	c, err := a.cluster(f.kubernetes.paths)
	if err != nil {
		return nil, err
	}
	w, err := kubernetes.NewWorld(c, o)
	if err != nil {
		return nil, refused("%w", err)
	}
	return w, nil
}

// readManifests reads files, and directories with everything below them: *.yaml, *.yml and *.json, in order.
func readManifests(paths []string, stdin io.Reader) ([]topology.Source, error) {
	var files []string
	for _, path := range paths {
		if path == "-" {
			files = append(files, path)
			continue
		}
		before := len(files)
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case name != path && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return filepath.SkipDir
				}
			case d.IsDir():
			case name == path || slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)):
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: there is no *.yaml, *.yml or *.json file below it", path)
		}
	}
	var sources []topology.Source
	total := 0
	for i, name := range files {
		if slices.Contains(files[:i], name) {
			continue
		}
		s, err := readManifest(name, stdin)
		if err != nil {
			return nil, err
		}
		if total += len(s.Content); total > maxManifests {
			return nil, fmt.Errorf("%s: the files have more than %d MiB together: audit them in parts", s.Name, maxManifests>>20)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// maxManifests bounds the manifests of one question. A dump of a large cluster is one file.
const maxManifests = 512 << 20

func readManifest(name string, stdin io.Reader) (topology.Source, error) {
	r := stdin
	if name == "-" {
		name = topology.StdinName
	} else {
		f, err := os.Open(name)
		if err != nil {
			return topology.Source{}, err
		}
		defer f.Close()
		r = f
	}
	content, err := io.ReadAll(io.LimitReader(r, maxManifests+1))
	if err != nil {
		return topology.Source{}, fmt.Errorf("%s: %w", name, err)
	}
	return topology.Source{Name: name, Content: content}, nil
}

func (a *app) kubernetesReach(cmd *cobra.Command, f sourceFlags, of output.Format, q audit.Question) error {
	w, err := a.world(cmd, f)
	if err != nil {
		return err
	}
	r, err := kubernetes.ReachOf(w, q)
	if err != nil {
		return refused("%w", err)
	}
	return a.print(of, r, func() error {
		if of == output.CSV {
			return r.WriteCSV(a.Stdout)
		}
		g := output.Grid{Header: []string{"FROM", "TO", "CONNECTIONS"}}
		for _, row := range r.Lines() {
			g.Add(output.C(row.From), output.C(row.To), output.C(kubernetes.Text(row.Connections)))
		}
		if err := g.Write(a.Stdout, a.stdoutStyle()); err != nil {
			return err
		}
		a.printSummary(r.Summary)
		return nil
	})
}

// printSummary says what an answer about a cluster rests on.
func (a *app) printSummary(s kubernetes.Summary) {
	skipped := ""
	if len(s.Skipped) > 0 {
		var parts []string
		for _, c := range s.Skipped {
			parts = append(parts, fmt.Sprintf("%d %s", c.Count, c.Kind))
		}
		skipped = "; skipped: " + strings.Join(parts, ", ")
	}
	policies := "1 policy"
	if s.Policies != 1 {
		policies = fmt.Sprintf("%d policies", s.Policies)
	}
	fmt.Fprintf(a.Stdout, "%s in %s, %s%s\n", count(s.Workloads, "workload"), count(s.Namespaces, "namespace"), policies, skipped)
	for _, n := range s.Notes {
		fmt.Fprintf(a.Stdout, "%s %s\n", a.stdoutStyle().Paint(output.Notice, "note:"), n)
	}
}

func (a *app) kubernetesWhy(cmd *cobra.Command, f sourceFlags, of output.Format, args []string) error {
	w, err := a.world(cmd, f)
	if err != nil {
		return err
	}
	why, err := kubernetes.WhyOf(w, audit.Question{From: args[0], To: args[1]}, args[2])
	if err != nil {
		return refused("%w", err)
	}
	return a.print(of, why, func() error { return a.printWhy(why) })
}

func (a *app) kubernetesFindings(cmd *cobra.Command, f sourceFlags) (audit.Findings, error) {
	w, err := a.world(cmd, f)
	if err != nil {
		return audit.Findings{}, err
	}
	return kubernetes.FindingsOf(w), nil
}

// kubernetesProofs decides the assertions among the manifests and in further files.
func (a *app) kubernetesProofs(cmd *cobra.Command, f sourceFlags, assertions []string) (audit.Proofs, error) {
	f.kubernetes.paths = append(f.kubernetes.paths, assertions...)
	w, err := a.world(cmd, f)
	if err != nil {
		return audit.Proofs{}, err
	}
	if len(w.Cluster.Assertions) == 0 {
		return audit.Proofs{}, refused("no assertions: name a file with documents of the kind KubernetesAssertion with --assert")
	}
	o, err := f.kubernetes.options(cmd)
	if err != nil {
		return audit.Proofs{}, err
	}
	proofs, err := kubernetes.Prove(w.Cluster, o, w.Cluster.Assertions)
	if err != nil {
		return audit.Proofs{}, refused("%w", err)
	}
	return proofs, nil
}

func (a *app) kubernetesDiff(cmd *cobra.Command, f kubernetesFlags, of output.Format, args []string) error {
	if len(args) != 2 || cmd.Flags().Changed("filename") {
		return usage(cmd, "with --kubernetes, name BEFORE and AFTER: files or directories of manifests")
	}
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	var sides [2]*kubernetes.Cluster
	for i, path := range args {
		if sides[i], err = a.cluster([]string{path}); err != nil {
			return err
		}
	}
	d, err := kubernetes.DiffOf(sides[0], sides[1], o)
	if err != nil {
		return refused("%w", err)
	}
	return a.print(of, d, func() error {
		if d.IsEmpty() {
			_, err := fmt.Fprintln(a.Stdout, "no connection is gained or lost")
			return err
		}
		g := output.Grid{Header: []string{"CAUSE", "CHANGE", "FROM", "TO", "CONNECTIONS"}}
		for _, part := range []struct {
			cause string
			rows  []kubernetes.DiffRow
		}{{"policy", d.Policy}, {"membership", d.Membership}} {
			for _, row := range kubernetes.DiffLines(part.rows) {
				add := func(change string, colour output.Colour, list []kubernetes.Connections) {
					if len(list) > 0 {
						g.Add(output.C(part.cause), output.Cell{Text: change, Colour: colour}, output.C(row.From), output.C(row.To), output.C(kubernetes.Text(list)))
					}
				}
				add("gained", output.Good, row.Gained)
				add("lost", output.Bad, row.Lost)
			}
		}
		return g.Write(a.Stdout, a.stdoutStyle())
	})
}
