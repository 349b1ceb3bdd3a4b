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

// connectionFlags say where the controller is, and who we are.
type connectionFlags struct {
	server      string
	credentials credentialFlags
}

func (f *connectionFlags) register(root *cobra.Command) {
	root.PersistentFlags().StringVar(&f.server, "server", "", "controller: unix:///PATH, or https://HOST:PORT, several with commas (WEFT_SERVER; default "+apiclient.DefaultServer+")")
	complete(root, "server", cobra.NoFileCompletions)
	f.credentials.register(root)
}

func (a *app) server() string {
	return cmp.Or(a.conn.server, a.Getenv("WEFT_SERVER"), apiclient.DefaultServer)
}

// client returns a client of what users declare; nothing is sent yet.
func (a *app) client(cmd *cobra.Command) (weftv1connect.IntentServiceClient, error) {
	c, err := a.dial(cmd)
	if err != nil {
		return nil, err
	}
	return c.Intent, nil
}

// dial returns a client of the controller; nothing is sent yet.
func (a *app) dial(cmd *cobra.Command) (*apiclient.Client, error) {
	files, given, err := a.conn.credentials.files(a.Getenv)
	if err != nil {
		return nil, usage(cmd, "%w", err)
	}
	var credentials *apiclient.Credentials
	switch remote := strings.HasPrefix(a.server(), "https:"); {
	case remote && !given:
		return nil, usage(cmd, "%s wants to know who we are: give --credentials DIR (or WEFT_CREDENTIALS)", a.server())
	case remote:
		if credentials, err = files.load(); err != nil {
			return nil, refused("can't read the credentials: %w", err)
		}
	}
	c, err := apiclient.New(a.server(), credentials)
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
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("no answer from the controller at %s: %s", server, unreachable(ce))}
	}
	switch ce.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("the controller at %s can't answer now: %s", server, ce.Message())}
	case connect.CodeUnauthenticated:
		return refused("the controller at %s doesn't know us: %s; give an admin's certificate with --credentials", server, ce.Message())
	case connect.CodePermissionDenied:
		return refused("not allowed: %s", ce.Message())
	}
	return &Error{Code: ExitRefused, Err: errors.New(ce.Message())}
}

// unreachable says why nobody answered, and what to do.
func unreachable(err *connect.Error) string {
	var (
		unknownCA x509.UnknownAuthorityError
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
		return "it does not belong to the fabric that our CA certificate is of; use its own --credentials"
	case errors.As(err, &alert):
		return "it refused our certificate (" + alert.Error() + "); use an admin's --credentials"
	case errors.As(err, &record):
		return "it doesn't speak TLS; is the port right?"
	case err.Code() == connect.CodeUnimplemented || strings.Contains(err.Message(), "404"):
		return "something else than a weft controller listens there (" + err.Message() + ")"
	}
	return err.Message()
}
