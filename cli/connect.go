package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// DefaultServer is where the commands look for the controller unless told otherwise.
const DefaultServer = "unix:///run/weft/controller.sock"

// connectionFlags say where the controller is and how to prove who we are. Each has an environment variable.
type connectionFlags struct {
	server, ca, cert, key string
}

func (f *connectionFlags) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.server, "server", "", "controller: unix:///PATH or https://HOST:PORT (WEFT_SERVER; default "+DefaultServer+")")
	flags.StringVar(&f.ca, "ca", "", "file of the CA certificate that the controller must have (WEFT_CA)")
	flags.StringVar(&f.cert, "cert", "", "file of our client certificate (WEFT_CERT)")
	flags.StringVar(&f.key, "key", "", "file of our private key (WEFT_KEY)")
	for _, name := range []string{"ca", "cert", "key"} {
		complete(root, name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		})
	}
	complete(root, "server", cobra.NoFileCompletions)
}

// options joins flags, environment and defaults.
func (a *app) options() apiclient.Options {
	return apiclient.Options{
		Server: a.server(),
		CA:     cmp.Or(a.conn.ca, a.Getenv("WEFT_CA")),
		Cert:   cmp.Or(a.conn.cert, a.Getenv("WEFT_CERT")),
		Key:    cmp.Or(a.conn.key, a.Getenv("WEFT_KEY")),
	}
}

func (a *app) server() string {
	return cmp.Or(a.conn.server, a.Getenv("WEFT_SERVER"), DefaultServer)
}

// client returns a client of the controller; nothing is sent yet.
func (a *app) client(cmd *cobra.Command) (weftv1connect.IntentServiceClient, error) {
	c, err := apiclient.Intent(a.options())
	if err != nil {
		return nil, usage(cmd, "%w", err)
	}
	return c, nil
}

// call makes one call and says in the user's words why it failed.
func call[Req, Res any](ctx context.Context, a *app, do func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	res, err := do(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, explain(a.server(), err)
	}
	return res.Msg, nil
}

// explain turns an error of a call into one that says what the user can do about it.
func explain(server string, err error) error {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return err
	}
	if !connect.IsWireError(err) { // nobody spoke weft's API to us
		if ce.Code() == connect.CodeCanceled {
			return err
		}
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("no answer from the controller at %s: %s", server, unreachable(server, ce))}
	}
	switch ce.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("the controller at %s can't answer now: %s", server, ce.Message())}
	case connect.CodeUnauthenticated:
		return refused("the controller at %s doesn't know us: %s; give a client certificate with --cert and --key", server, ce.Message())
	case connect.CodePermissionDenied:
		return refused("not allowed: %s", ce.Message())
	}
	return &Error{Code: ExitRefused, Err: errors.New(ce.Message())}
}

// unreachable says why nobody answered, and what to do.
func unreachable(server string, err *connect.Error) string {
	var (
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		alert     tls.AlertError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the socket is not open to this user; run weft as root (sudo)"
	case errors.Is(err, fs.ErrNotExist):
		return "the socket does not exist; is weft-controller running on this machine? Name another with --server or WEFT_SERVER"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused; is weft-controller running there? Name another with --server or WEFT_SERVER"
	case errors.As(err, &unknownCA):
		return "its certificate is not signed by a CA that we trust; give the controller's CA with --ca"
	case errors.As(err, &hostname):
		return hostname.Error() + "; use a name or address that the certificate holds"
	case errors.As(err, &alert):
		return "it refused our certificate (" + alert.Error() + "); give one with --cert and --key"
	case errors.As(err, &record):
		return "it doesn't speak TLS; use http:// or the right port"
	case err.Code() == connect.CodeUnimplemented || strings.Contains(err.Message(), "404"):
		return "something else than a weft controller listens there (" + err.Message() + ")"
	}
	return err.Message()
}
