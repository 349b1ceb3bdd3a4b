package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/weftfabric/weft/wire/cniwire"
)

// UnansweredError says that the agent gave no usable answer. What it did, if anything, is unknown when Sent is set.
type UnansweredError struct {
	Socket string
	Sent   bool
	Err    error
}

// Error tells the operator what to do.
func (u *UnansweredError) Error() string {
	if !u.Sent {
		return fmt.Sprintf("weft-agent on this node doesn't answer at %s: start it (systemctl start weft-agent), or set \"socket\" to where it listens: %v", u.Socket, u.Err)
	}
	return fmt.Sprintf("weft-agent at %s took the request but gave no answer: see its log: %v", u.Socket, u.Err)
}

// Unwrap returns the cause.
func (u *UnansweredError) Unwrap() error { return u.Err }

// Ask sends one request to the agent at a unix socket and waits for the answer, until the context ends.
// The error is an *UnansweredError, or the agent's own *cniwire.Error.
func Ask(ctx context.Context, socket string, req cniwire.Request) (cniwire.Response, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return cniwire.Response{}, fmt.Errorf("encode request: %w", err)
	}
	conn, err := dial(ctx, socket)
	if err != nil {
		return cniwire.Response{}, &UnansweredError{Socket: socket, Err: err}
	}
	defer conn.close()
	stop := context.AfterFunc(ctx, conn.interrupt)
	defer stop()

	lost := func(err error) error {
		return &UnansweredError{Socket: socket, Sent: true, Err: errors.Join(err, ctx.Err())}
	}
	if err := conn.write(append(line, '\n')); err != nil {
		return cniwire.Response{}, lost(err)
	}
	answer, err := readLine(conn)
	if err != nil {
		return cniwire.Response{}, lost(err)
	}
	var resp cniwire.Response
	if err := json.Unmarshal(answer, &resp); err != nil {
		return cniwire.Response{}, lost(fmt.Errorf("the answer is not what this version expects: %w", err))
	}
	if resp.Error != nil {
		return cniwire.Response{}, resp.Error
	}
	return resp, nil
}

// readLine reads up to the newline that ends a message, or to the end of the stream.
func readLine(r io.Reader) ([]byte, error) {
	var msg []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		msg = append(msg, buf[:n]...)
		if i := bytes.IndexByte(msg, '\n'); i >= 0 {
			return msg[:i], nil
		}
		switch {
		case len(msg) > cniwire.MaxMessage:
			return nil, fmt.Errorf("the answer is longer than %d bytes", cniwire.MaxMessage)
		case errors.Is(err, io.EOF) && len(msg) > 0:
			return msg, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("the connection was closed: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return nil, err
		}
	}
}
