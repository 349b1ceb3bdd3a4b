package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// completionTimeout bounds what a press of the tabulator key waits for the controller.
const completionTimeout = 2 * time.Second

// completeObjects completes KIND and then names of stored objects. withAll adds "all" to the kinds.
func (a *app) completeObjects(withAll bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return completeKinds(withAll, word), cobra.ShellCompDirectiveNoFileComp
		}
		kind, err := parseKind(cmd, args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeNames(kind)(cmd, args[1:], word)
	}
}

func completeKinds(withAll bool, word string) []cobra.Completion {
	var list []cobra.Completion
	for _, n := range kindTable() {
		list = append(list, cobra.CompletionWithDesc(n.plural, "short "+n.short))
	}
	if withAll {
		list = append(list, allKinds)
	}
	return startingWith(list, strings.ToLower(word))
}

// completeNames completes names of stored objects of a kind, those already given left out: alone where --tenant
// is given, else as tenant/name.
func (a *app) completeNames(kind topology.Kind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		tenant := ""
		if f := cmd.Flags().Lookup("tenant"); f != nil && namesOf(kind).tenanted != platformOnly {
			tenant = (&tenantFlags{tenant: f.Value.String()}).chosen(a)
		}
		var list []cobra.Completion
		a.ask(cmd, func(ctx context.Context, client weftv1connect.IntentServiceClient) error {
			objects, err := a.list(ctx, client, kind, tenant)
			for _, o := range objects {
				name := shortName(o.key())
				if tenant != "" {
					name = o.key().Name
				}
				if !slices.Contains(given, name) {
					list = append(list, name)
				}
			}
			return err
		})
		return startingWith(list, word), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completeTenants(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(topology.KindTenant)(cmd, nil, word)
}

func (a *app) completeTokens(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var list []cobra.Completion
	tokens, err := a.tokens(cmd)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
	for _, t := range tokens {
		if !slices.Contains(given, t.GetId()) {
			list = append(list, cobra.CompletionWithDesc(t.GetId(), forNode(t.GetNode())))
		}
	}
	return startingWith(list, word), cobra.ShellCompDirectiveNoFileComp
}

// ask calls the controller for a completion. Its errors would garble the command line, so they only show up in
// the shell's completion log.
func (a *app) ask(cmd *cobra.Command, f func(context.Context, weftv1connect.IntentServiceClient) error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	client, err := a.client(cmd)
	if err == nil {
		err = f(ctx, client)
	}
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
}

func startingWith(list []cobra.Completion, word string) []cobra.Completion {
	return slices.DeleteFunc(list, func(c cobra.Completion) bool { return !strings.HasPrefix(c, word) })
}
