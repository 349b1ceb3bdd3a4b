package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// DefaultApplySet is the apply set of those who name none.
const DefaultApplySet = "default"

// pruneFlags are shared by apply and plan, so that a plan shows what an apply with the same flags does.
type pruneFlags struct {
	prune    bool
	applySet string
}

func (f *pruneFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.prune, "prune", false, "also delete the objects of the apply set that left the files")
	cmd.Flags().StringVar(&f.applySet, "apply-set", DefaultApplySet, "set that the objects belong to; --prune looks at this set only")
	complete(cmd, "apply-set", cobra.NoFileCompletions)
}

func (a *app) applyCommand() *cobra.Command {
	var (
		files    filesFlag
		prune    pruneFlags
		format   formatFlag
		wait     waitFlags
		dryRun   bool
		revision uint64
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Store declared objects, all of them or none",
		Long: `Store the objects of the files in one transaction. When one of them is wrong, nothing changes.

Objects that are not in the files stay, unless --prune is given: then those that an earlier apply of the same
--apply-set stored, and that are in no file any more, are deleted. --expect-revision refuses when somebody else
changed the topology since you looked. --wait returns once every node's switch confirmed the result.`,
		Example: `  weft apply -f topology/
  weft apply -f topology/ --prune --wait
  generate-topology | weft apply -f - --apply-set generated --prune
  weft apply -f topology/ --dry-run`,
		Args: cobra.NoArgs,
	}
	files.register(cmd, "what to store")
	prune.register(cmd)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	wait.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and show, but store nothing")
	cmd.Flags().Uint64Var(&revision, "expect-revision", 0, "refuse when the stored revision is another one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		sources, err := files.read(cmd, a)
		if err != nil {
			return err
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.Intent.Apply, &weftv1.ApplyRequest{
			Files: wireFiles(sources), DryRun: dryRun, Prune: prune.prune, ApplySet: prune.applySet, ExpectedRevision: revision,
		})
		if err != nil {
			return err
		}
		if err := a.showResult(of, result{res, res.GetChanges(), res.GetProblems(), res.GetRevision(), dryRun}); err != nil {
			return err
		}
		if dryRun {
			return nil
		}
		return wait.run(cmd.Context(), a, client, res.GetRevision())
	}
	return cmd
}

// apiMessage is an API message that carries the outcome of a change.
type apiMessage interface {
	output.Message
	GetApplied() bool
}

// result is the outcome of Apply or Delete.
type result struct {
	message  apiMessage
	changes  []*weftv1.Change
	problems []*weftv1.Problem
	revision uint64
	dryRun   bool
}

// showResult prints an outcome. It returns an error when the controller refused.
func (a *app) showResult(format output.Format, r result) error {
	problems := problemsOf(r.problems)
	a.report(problems)
	if format.ForScripts() {
		if err := a.printMessage(format, r.message); err != nil {
			return err
		}
	}
	if errs := len(problems.Errors()); errs > 0 {
		fmt.Fprintf(a.Stderr, "%s; nothing was changed\n", count(errs, "error"))
		return reported(ExitRefused)
	}
	if !r.dryRun && !r.message.GetApplied() && tallyOf(r.changes).any() {
		return refused("the controller did not store the change, and gave no reason; nothing was changed")
	}
	if format.ForScripts() {
		return nil
	}
	a.writeChanges(r.changes)
	t := tallyOf(r.changes)
	switch {
	case r.dryRun:
		fmt.Fprintf(a.Stdout, "dry run: %s; nothing was changed\n", t)
	case t.any():
		fmt.Fprintf(a.Stdout, "%s; revision %d\n", t, r.revision)
	default:
		fmt.Fprintf(a.Stdout, "nothing to change; revision %d\n", r.revision)
	}
	return nil
}

func (a *app) planCommand() *cobra.Command {
	var (
		files    filesFlag
		prune    pruneFlags
		format   formatFlag
		detailed bool
		reach    bool
		live     bool
	)
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what an apply would change, and on which nodes",
		Long: `Show which objects an apply of the same files would add, change or remove, field by field, and which
nodes would get a new plan, which connections would be allowed that are not now, or no longer, and how many live
ones would be cut. Nothing is stored.

-o wide also lists the entries of each node's plan. With --detailed-exitcode the exit code is 4 when something
would change, and 0 when nothing would.`,
		Example: `  weft plan -f topology/
  weft plan -f topology/ --prune -o wide
  weft plan -f topology/ --detailed-exitcode`,
		Args: cobra.NoArgs,
	}
	files.register(cmd, "what would be applied")
	prune.register(cmd)
	format.register(cmd, output.Table, output.Wide, output.JSON, output.YAML)
	cmd.Flags().BoolVar(&reach, "reach", true, "show the connections gained and lost; --reach=false leaves them out")
	cmd.Flags().BoolVar(&live, "live", true, "ask the nodes how many live connections would be cut; --live=false doesn't")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 4 when something would change")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		sources, err := files.read(cmd, a)
		if err != nil {
			return err
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.Intent.Plan, &weftv1.PlanRequest{
			Files: wireFiles(sources), Prune: prune.prune, ApplySet: prune.applySet, Live: live,
		})
		if err != nil {
			return err
		}
		p := planned{plan: res, sources: sources}
		if reach && problemsOf(res.GetProblems()).Err() == nil && tallyOf(res.GetChanges()).any() {
			if p.reach, p.unknown, err = p.compare(cmd.Context(), client.Audit); err != nil {
				return explain(a.server(), err)
			}
		}
		if err := a.showPlan(of, p); err != nil {
			return err
		}
		if detailed && tallyOf(res.GetChanges()).any() {
			return reported(ExitChanges)
		}
		return nil
	}
	return cmd
}

// printMessage prints an API message for scripts.
func (a *app) printMessage(format output.Format, m output.Message) error {
	d, err := output.FromMessage(m)
	if err != nil {
		return err
	}
	return output.WriteDocument(a.Stdout, format, d)
}
