package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
)

// Env is everything that the commands take from their process.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// StdoutTerminal and StderrTerminal say that a person looks at it: colours, progress.
	StdoutTerminal, StderrTerminal bool
	Getenv                         func(string) string
	Now                            func() time.Time
}

// app is what the commands share: the process and the flags of the root command.
type app struct {
	Env
	conn connectionFlags
}

// Run executes the command line args, with further subcommands of other packages, and returns the exit code.
// It returns early once ctx is cancelled.
func Run(ctx context.Context, env Env, args []string, more ...*cobra.Command) ExitCode {
	a := &app{Env: env}
	root := a.root()
	for _, c := range more {
		c.GroupID = groupOperate
		if c.HasSubCommands() {
			makeGroup(c)
		}
		root.AddCommand(c)
	}
	started := false
	noteStart(root, &started)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var known *Error
	if err != nil && !started && !errors.As(err, &known) {
		err = usage(cmd, "%w", err) // arguments and flags are checked before the command starts
	}
	a.complain(ctx, err)
	return codeOf(ctx, err)
}

// noteStart makes every command below c set started before it does its work.
func noteStart(c *cobra.Command, started *bool) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return run(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		noteStart(sub, started)
	}
}

// complain prints an error, unless whoever returned it has said everything.
func (a *app) complain(ctx context.Context, err error) {
	var inner exitCoder
	switch {
	case err == nil || errors.Is(err, errReported) || errors.As(err, &inner):
		return
	case ctx.Err() != nil:
		fmt.Fprintln(a.Stderr, "weft: interrupted")
		return
	}
	fmt.Fprintf(a.Stderr, "%s %v\n", a.style(a.StderrTerminal).Paint(output.Bad, "weft:"), err)
	var e *Error
	if errors.As(err, &e) && e.Help != "" {
		fmt.Fprintf(a.Stderr, "Run '%s --help' for usage.\n", e.Help)
	}
}

// The groups under which the root's help lists the commands.
const (
	groupDeclare = "declare"
	groupObserve = "observe"
	groupOperate = "operate"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "weft",
		Short: "Declare, inspect and operate a weft fabric",
		Long: `weft declares tenants, networks, ports and firewall policies, and shows what became of them.

A topology is YAML. "weft validate" checks it offline, "weft plan" shows what it would change, "weft apply"
stores it as one transaction, and "weft status" shows which nodes enforce it. "weft lab" runs a whole fabric on
this machine.`,
		Example: `  weft validate -f topology/
  weft plan -f topology/
  weft apply -f topology/ --wait
  weft get networks -t acme
  weft describe policy acme/web-in`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	makeGroup(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
			return cmd.Args(cmd, words) // a mistyped command, whose flags the group can't know
		}
		return usage(cmd, "%w", err)
	})
	a.conn.register(root)
	root.AddGroup(
		&cobra.Group{ID: groupDeclare, Title: "Declare:"},
		&cobra.Group{ID: groupObserve, Title: "Observe:"},
		&cobra.Group{ID: groupOperate, Title: "Operate:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		groupDeclare: {a.validateCommand(), a.planCommand(), a.applyCommand(), a.deleteCommand(), a.schemaCommand()},
		groupObserve: {a.getCommand(), a.describeCommand(), a.statusCommand(), a.nodesCommand(), a.topologyCommand(), a.graphCommand(), a.auditCommand(), a.policyCommand(), a.logsCommand()},
		groupOperate: {a.nodeCommand(), a.portCommand(), a.clientCommand(), a.tokenCommand(), a.backupCommand(), a.ipamCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c) // sorted by cobra
		}
	}
	root.AddCommand(a.versionCommand(), &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitCodesHelp,
	})
	return root
}

// makeGroup makes cmd a command that only holds others: alone it prints its help, and a subcommand that does
// not exist is a usage error that names the nearest ones.
func makeGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage(cmd, "unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// style says whether to use colours on a stream: https://no-color.org.
func (a *app) style(terminal bool) output.Style {
	return output.Style{Colours: terminal && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"}
}

func (a *app) stdoutStyle() output.Style { return a.style(a.StdoutTerminal) }

// formatFlag is the flag -o of a command.
type formatFlag struct {
	name    string
	offered []output.Format
}

// register adds -o to cmd; the first of the offered formats is the default.
func (f *formatFlag) register(cmd *cobra.Command, offered ...output.Format) {
	f.offered = offered
	names := make([]string, len(offered))
	for i, o := range offered {
		names[i] = string(o)
	}
	cmd.Flags().StringVarP(&f.name, "output", "o", names[0], "output format: "+strings.Join(names, ", "))
	complete(cmd, "output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

func (f *formatFlag) parse(cmd *cobra.Command) (output.Format, error) {
	format, err := output.ParseFormat(f.name, f.offered...)
	if err != nil {
		return "", usage(cmd, "%w", err)
	}
	return format, nil
}

// complete registers a flag's completion. It panics for a flag that the command lacks, which any run shows.
func complete(cmd *cobra.Command, flag string, fn cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, fn); err != nil {
		panic(err)
	}
}

// print prints a value for scripts, or lets the caller print it for people.
func (a *app) print(format output.Format, v any, people func() error) error {
	if !format.ForScripts() {
		return people()
	}
	d, err := output.Marshal(v)
	if err != nil {
		return err
	}
	return output.WriteDocument(a.Stdout, format, d)
}
