package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Let machines join the fabric",
		Long: `Create, list and revoke join tokens. A machine joins with a token that expires soon and that pins the controller's
CA, and gets a certificate of its own for it.`,
		Example: `  weft token create --node n4
  weft token list
  weft token revoke 5f2c9a`,
	}
	makeGroup(cmd)
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var (
		node   string
		ttl    time.Duration
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a join token, shown once",
		Long: `Create a join token and print it on standard output. It is a secret until it expires, and it is not shown again.
With --node only the machine of that name can use it.`,
		Example: `  weft token create --node n4 --ttl 10m
  weft token create --node n4 > n4.token`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&node, "node", "", "only this node may use the token; without it any may")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	complete(cmd, "node", cobra.NoFileCompletions)
	complete(cmd, "ttl", cobra.NoFileCompletions)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if node != "" {
			if err := fabric.CheckName(node); err != nil {
				return usage(cmd, "--node: %w", err)
			}
		}
		if ttl < time.Second {
			return usage(cmd, "--ttl %s is too short: give at least 1s, such as 10m", ttl)
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.CreateToken, &weftv1.CreateTokenRequest{Node: node, TtlSeconds: int64(ttl.Seconds())})
		if err != nil {
			return err
		}
		if of.ForScripts() {
			return a.printMessage(of, res)
		}
		fmt.Fprintln(a.Stdout, res.GetToken())
		fmt.Fprintf(a.Stderr, "token %s for %s, valid until %s; revoke it with 'weft token revoke %s'\n", res.GetId(),
			forNode(node), clock(res.GetExpires().AsTime()), res.GetId())
		return nil
	}
	return cmd
}

func forNode(node string) string {
	if node == "" {
		return "any node"
	}
	return "node " + node
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (a *app) tokenListCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the join tokens that are valid",
		Long:    "List the join tokens that are valid, the one that expires first at the top. The tokens themselves are not shown.",
		Example: "  weft token list\n  weft token list -o json",
		Args:    cobra.NoArgs,
	}
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		tokens, err := a.tokens(cmd)
		if err != nil {
			return err
		}
		if of.ForScripts() {
			documents, err := documentsOf(tokens)
			if err != nil {
				return err
			}
			return output.WriteDocuments(a.Stdout, of, documents)
		}
		if len(tokens) == 0 {
			fmt.Fprintln(a.Stderr, "no join token is valid")
			return nil
		}
		g := output.Grid{Header: []string{"ID", "FOR", "EXPIRES"}}
		for _, t := range tokens {
			g.Add(output.C(t.GetId()), output.C(forNode(t.GetNode())), output.C(clock(t.GetExpires().AsTime())))
		}
		return g.Write(a.Stdout, a.stdoutStyle())
	}
	return cmd
}

// tokens returns the valid tokens, the first to expire first.
func (a *app) tokens(cmd *cobra.Command) ([]*weftv1.TokenInfo, error) {
	client, err := a.client(cmd)
	if err != nil {
		return nil, err
	}
	res, err := call(cmd.Context(), a, client.ListTokens, &weftv1.ListTokensRequest{})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(slices.Values(res.GetTokens()), func(x, y *weftv1.TokenInfo) int {
		return cmp.Or(x.GetExpires().AsTime().Compare(y.GetExpires().AsTime()), strings.Compare(x.GetId(), y.GetId()))
	}), nil
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "revoke ID...",
		Short:             "Make join tokens invalid",
		Long:              "Make join tokens invalid. Machines that joined with one keep their certificates: remove those with 'weft delete node'.",
		Example:           "  weft token revoke 5f2c9a",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTokens,
	}
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := call(cmd.Context(), a, client.RevokeToken, &weftv1.RevokeTokenRequest{Id: id}); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "token %s is revoked\n", id)
		}
		return nil
	}
	return cmd
}
