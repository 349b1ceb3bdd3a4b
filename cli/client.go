package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) clientCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Connect laptops and other remote clients",
		Long: `Make keys and configurations of remote clients: machines that join a network through WireGuard at a gateway. The key is
made here, or on the client itself; the controller only knows the public part, which a Client declares.`,
		Example: `  weft client key laptop.key
  weft client config laptop-ann -t acme --key-file laptop.key > weft.conf
  weft client list`,
	}
	makeGroup(cmd)
	cmd.AddCommand(a.clientListCommand(), a.clientConfigCommand(), a.clientKeyCommand())
	return cmd
}

func (a *app) clientListCommand() *cobra.Command {
	var (
		tenant tenantFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List remote clients and the gateways that serve them",
		Long: `List the remote clients, the gateway that serves each, and when the client last exchanged keys with it. A client that is
there does so every two minutes while it sends.`,
		Example: `  weft client list
  weft client list -t acme -o json`,
		Args: cobra.NoArgs,
	}
	tenant.register(cmd, a)
	tenant.registerAll(cmd)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.ListClients, &weftv1.ListClientsRequest{Tenant: tenant.chosen(a)})
		if err != nil {
			return err
		}
		if of.ForScripts() {
			d, err := output.FromMessage(res)
			if err != nil {
				return err
			}
			return output.WriteDocument(a.Stdout, of, d)
		}
		g := clientGrid(res.GetClients())
		return g.Write(a.Stdout, a.stdoutStyle())
	}
	return cmd
}

func clientGrid(list []*weftv1.ClientInfo) output.Grid {
	g := output.Grid{Header: []string{"TENANT", "NAME", "NETWORK", "ADDRESSES", "GATEWAY", "ENDPOINT", "HANDSHAKE", "FROM", "RECEIVED", "SENT"}}
	for _, c := range list {
		gateway, s := c.GetGateway(), c.GetSession()
		name := gateway.GetNode()
		switch {
		case gateway == nil:
			name = "none"
		case !gateway.GetConnected():
			name += " (not connected)"
		}
		handshake := "never"
		if s.GetHandshake() != nil {
			handshake = s.GetHandshake().AsTime().UTC().Format(time.RFC3339)
		}
		g.Add(output.C(c.GetTenant()), output.C(c.GetName()), output.C(c.GetNetwork()), output.C(strings.Join(c.GetAddresses(), ",")),
			output.C(name), output.C(gateway.GetEndpoint()), output.C(handshake), output.C(s.GetEndpoint()),
			output.C(strconv.FormatUint(s.GetReceivedBytes(), 10)), output.C(strconv.FormatUint(s.GetSentBytes(), 10)))
	}
	return g
}

func (a *app) clientKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make a client's key, and print its public part",
		Long: `Print the public key that belongs to the private key in FILE, for the spec.publicKey of a Client. A file that doesn't
exist is made with a new key, readable by its owner only; it has the form that wg genkey writes.`,
		Example: "  weft client key laptop.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := makeClientKey(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, k.public())
			return nil
		},
	}
}

func (a *app) clientConfigCommand() *cobra.Command {
	var (
		tenant   tenantFlags
		keyFile  string
		generate bool
		qr       bool
	)
	cmd := &cobra.Command{
		Use:   "config CLIENT",
		Short: "Print a client's WireGuard configuration",
		Long: `Print the configuration of a declared Client in the form that wg-quick and the WireGuard applications read. On a terminal
a QR code of it follows, for the applications of telephones; --qr prints the code alone.

The private key is read from --key-file, or made by --generate, which gives the Client the new public key: a configuration
that it had before is worth nothing then. It isn't sent anywhere. Without either its place is left open.

The configuration names the gateway that serves the client now; the others are in comments. When a client has moved to
another gateway because its own was gone, print it anew.`,
		Example: `  weft client config laptop-ann -t acme --key-file laptop.key > weft.conf
  weft client config acme/phone --generate --qr`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeNames(topology.KindClient),
	}
	tenant.register(cmd, a)
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file with the client's private key")
	cmd.Flags().BoolVar(&generate, "generate", false, "make a new key, and store its public part in the Client")
	cmd.Flags().BoolVar(&qr, "qr", false, "print a QR code alone")
	cmd.MarkFlagsMutuallyExclusive("key-file", "generate")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := parseKey(cmd, topology.KindClient, args[0], tenant.chosen(a))
		if err != nil {
			return err
		}
		if key.Tenant == "" {
			return usage(cmd, "client %s: of which tenant? Write TENANT/%s, or give --tenant", key.Name, key.Name)
		}
		var private clientKey
		switch {
		case keyFile != "":
			private, err = readClientKey(keyFile)
		case generate:
			private, err = newClientKey()
		}
		if err != nil {
			return err
		}
		text, err := a.clientConfig(cmd, key, private, generate)
		if err != nil {
			return err
		}
		if !qr {
			fmt.Fprint(a.Stdout, text)
		}
		if qr || a.StdoutTerminal {
			return drawQR(a.Stdout, text, a.StdoutTerminal)
		}
		return nil
	}
	return cmd
}

// clientConfig returns the configuration of a Client, which gets the key before if store says so.
func (a *app) clientConfig(cmd *cobra.Command, key topology.Key, private clientKey, store bool) (string, error) {
	client, err := a.client(cmd)
	if err != nil {
		return "", err
	}
	get := func() (*weftv1.ClientInfo, error) {
		res, err := call(cmd.Context(), a, client.ListClients, &weftv1.ListClientsRequest{Tenant: key.Tenant, Name: key.Name})
		if err != nil {
			return nil, err
		}
		return res.GetClients()[0], nil
	}
	info, err := get()
	if err != nil {
		return "", err
	}
	if store {
		if err := a.storeClientKey(cmd, client, key, private); err != nil {
			return "", err
		}
		if info, err = get(); err != nil {
			return "", err
		}
	}
	return wgQuick(info, private)
}
