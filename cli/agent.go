package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"

	"github.com/weftfabric/weft/wire/cniwire"
)

// askAgent sends one request to the agent that listens at socket, and returns its answer. An error that the
// agent reports is an error.
func askAgent(ctx context.Context, socket string, req cniwire.Request) (*cniwire.Response, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, agentSilent(socket, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // unblocks the reads and writes below
	defer stop()
	line, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, agentSilent(socket, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, cniwire.MaxMessage))
	if err != nil {
		return nil, agentSilent(socket, err)
	}
	var res cniwire.Response
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&res); err != nil {
		return nil, agentSilent(socket, fmt.Errorf("it closed the connection without an answer that this weft knows: %w", err))
	}
	if res.Error != nil {
		return nil, agentRefused(res.Error)
	}
	return &res, nil
}

func agentRefused(e *cniwire.Error) error {
	if e.Code == cniwire.CodeUnavailable {
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("the agent can't do it now: %w; try again", e)}
	}
	return &Error{Code: ExitRefused, Err: e}
}

func agentSilent(socket string, err error) error {
	what := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission):
		what = "the socket is not open to this user; run weft as root (sudo)"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		what = "is weft-agent running on this machine? Name another socket with --socket or WEFT_AGENT_SOCKET"
	}
	return &Error{Code: ExitUnreachable, Err: fmt.Errorf("no answer from the agent at %s: %s", socket, what)}
}
