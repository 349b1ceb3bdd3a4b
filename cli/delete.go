package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

func (a *app) deleteCommand() *cobra.Command {
	var (
		files    filesFlag
		tenant   tenantFlags
		format   formatFlag
		wait     waitFlags
		dryRun   bool
		revision uint64
	)
	cmd := &cobra.Command{
		Use:   "delete (KIND NAME... | -f FILE)",
		Short: "Delete stored objects, all of them or none",
		Long: `Delete objects by kind and name, or those that files declare, in one transaction. While another object refers to
one of them nothing is deleted, and the answer names what refers to it. NAME may be written tenant/name.

"weft delete node NAME" removes a machine from the fabric: its certificate and its address blocks are no longer
valid.`,
		Example: `  weft delete policy acme/web-in
  weft delete port -t acme db-1 db-2 --dry-run
  weft delete -f topology/old.yaml --wait
  weft delete node n3`,
		ValidArgsFunction: a.completeObjects(false),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(files.paths) > 0 && len(args) > 0:
				return usage(cmd, "give either KIND and NAME or -f, not both")
			case len(files.paths) == 0 && len(args) < 2:
				return usage(cmd, "say what to delete: KIND and NAME, or -f FILE")
			}
			return nil
		},
	}
	files.register(cmd, "what to delete")
	tenant.register(cmd, a)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	wait.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and show, but delete nothing")
	cmd.Flags().Uint64Var(&revision, "expect-revision", 0, "refuse when the stored revision is another one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		if len(args) > 0 && isNodeWord(args[0]) {
			if dryRun || revision != 0 {
				return usage(cmd, "--dry-run and --expect-revision don't work with nodes")
			}
			return a.deleteNodes(cmd, client.Intent, args[1:])
		}
		var keys []topology.Key
		if len(args) > 0 {
			keys, err = a.keysByName(cmd, client.Intent, args, tenant.chosen(a))
		} else {
			keys, err = a.keysInFiles(cmd, files)
		}
		if err != nil {
			return err
		}
		request := &weftv1.DeleteRequest{DryRun: dryRun, ExpectedRevision: revision}
		for _, k := range keys {
			request.Keys = append(request.Keys, wireKey(k))
		}
		res, err := call(cmd.Context(), a, client.Intent.Delete, request)
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

func isNodeWord(word string) bool { return word == "node" || word == "nodes" }

// keysByName returns the keys of a kind and names as typed.
func (a *app) keysByName(cmd *cobra.Command, client weftv1connect.IntentServiceClient, args []string, tenant string) ([]topology.Key, error) {
	kind, err := parseKind(cmd, args[0])
	if err != nil {
		return nil, err
	}
	var keys []topology.Key
	for _, name := range args[1:] {
		o, err := a.find(cmd, client, kind, name, tenant)
		if err != nil {
			return nil, err
		}
		keys = append(keys, o.key())
	}
	return keys, nil
}

// keysInFiles returns the keys of the objects that files declare. References need not resolve: what is referred
// to may be deleted already.
func (a *app) keysInFiles(cmd *cobra.Command, files filesFlag) ([]topology.Key, error) {
	sources, err := files.read(cmd, a)
	if err != nil {
		return nil, err
	}
	objects, _, problems := topology.Decode(sources)
	if errs := problems.Errors(); len(errs) > 0 {
		a.report(problems)
		fmt.Fprintf(a.Stderr, "%s; nothing was deleted\n", count(len(errs), "error"))
		return nil, reported(ExitRefused)
	}
	if len(objects) == 0 {
		return nil, refused("the files declare no object; nothing was deleted")
	}
	keys := make([]topology.Key, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys, nil
}

func (a *app) deleteNodes(cmd *cobra.Command, client weftv1connect.IntentServiceClient, names []string) error {
	for _, name := range names {
		if err := fabric.CheckName(name); err != nil {
			return usage(cmd, "%w", err)
		}
	}
	for _, name := range names {
		if _, err := call(cmd.Context(), a, client.DeleteNode, &weftv1.DeleteNodeRequest{Name: name}); err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout, a.stdoutStyle().Paint(output.Bad, "- Node "+name))
	}
	return nil
}
