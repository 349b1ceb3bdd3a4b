package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/weftfabric/weft/cni"
	"github.com/weftfabric/weft/wire/cniwire"
)

// askAgent sends one request to the agent that listens at socket, and returns its answer.
func askAgent(ctx context.Context, socket string, req cniwire.Request) (cniwire.Response, error) {
	res, err := cni.Ask(ctx, socket, req)
	var (
		own        *cniwire.Error
		unanswered *cni.UnansweredError
	)
	switch {
	case errors.As(err, &own) && own.Code == cniwire.CodeUnavailable:
		return res, &Error{Code: ExitUnreachable, Err: fmt.Errorf("the agent can't do it now: %w; try again", own)}
	case errors.As(err, &unanswered):
		return res, &Error{Code: ExitUnreachable, Err: fmt.Errorf("no answer from the agent at %s: %s", socket, silence(unanswered))}
	}
	return res, err
}

// silence says why the agent gave no answer, and what to do.
func silence(u *cni.UnansweredError) string {
	switch {
	case errors.Is(u, fs.ErrPermission):
		return "the socket is not open to this user; run weft as root (sudo)"
	case errors.Is(u, fs.ErrNotExist), errors.Is(u, syscall.ECONNREFUSED):
		return "is weft-agent running on this machine? Name another socket with --socket or WEFT_AGENT_SOCKET"
	case u.Sent:
		return "it took the request and fell silent (" + u.Err.Error() + "); what it did is unknown: see its log"
	}
	return u.Err.Error()
}
