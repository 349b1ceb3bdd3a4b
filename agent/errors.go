package agent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/wire/cniwire"
)

// refuse returns an error of the socket's protocol.
func refuse(code cniwire.Code, format string, args ...any) error {
	return &cniwire.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// explain makes any error one of the socket's protocol.
func explain(err error) *cniwire.Error {
	var done *cniwire.Error
	switch {
	case errors.As(err, &done):
		return done
	case errors.Is(err, ovs.ErrNotConnected), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, errStopped):
		return &cniwire.Error{Code: cniwire.CodeUnavailable, Message: err.Error()}
	case errors.Is(err, os.ErrExist):
		return &cniwire.Error{Code: cniwire.CodeConflict, Message: err.Error()}
	case errors.Is(err, os.ErrNotExist):
		return &cniwire.Error{Code: cniwire.CodeNotFound, Message: err.Error()}
	}
	return &cniwire.Error{Code: cniwire.CodeInternal, Message: err.Error()}
}

// fromController explains what the controller answered to a call.
func fromController(what string, err error) error {
	if err == nil {
		return nil
	}
	code := cniwire.CodeUnavailable
	switch connect.CodeOf(err) {
	case connect.CodeNotFound:
		code = cniwire.CodeNotFound
	case connect.CodeInvalidArgument:
		code = cniwire.CodeInvalid
	case connect.CodeResourceExhausted:
		code = cniwire.CodeExhausted
	}
	message := err.Error()
	var ce *connect.Error
	if errors.As(err, &ce) {
		message = ce.Message()
	}
	return refuse(code, "%s: the controller: %s", what, message)
}

// isCode reports whether an error has a code of the socket's protocol.
func isCode(err error, code cniwire.Code) bool {
	var e *cniwire.Error
	return errors.As(err, &e) && e.Code == code
}
