// Package socket serves the requests of the CNI plugin and the weft command on a unix socket: one request and
// one response per connection, as package cniwire lays down. It owns the connections' limits and deadlines, and
// knows nothing of what requests mean.
package socket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weftfabric/weft/wire/cniwire"
)

const (
	maxConnections = 256
	readTimeout    = 5 * time.Second // for the whole request
	writeTimeout   = 5 * time.Second
	// takeover is how long a process that was killed may take to let go of its socket.
	takeover = 2 * time.Second
)

// Handler answers a request. The context ends when the server does.
type Handler func(context.Context, cniwire.Request) cniwire.Response

// Listen listens on a socket that root alone can open, and takes the place of one that was left behind.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	for deadline := time.Now().Add(takeover); answers(path); time.Sleep(takeover / 50) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another agent listens on %s: stop it first", path)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("restrict the socket: %w", err), l.Close())
	}
	return l, nil
}

// answers reports whether somebody accepts connections on a socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close() // it was only to see
	return true
}

// Serve answers requests until ctx ends, closes the listener, and returns when all connections have ended.
func Serve(ctx context.Context, l net.Listener, handle Handler, log *slog.Logger) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return errors.Join(fmt.Errorf("accept: %w", err), l.Close())
		}
		conns.Go(func() {
			defer func() { <-slots }()
			if err := serveOne(ctx, c, handle); err != nil {
				log.Debug("connection", "error", err)
			}
		})
	}
}

// serveOne answers the one request of a connection.
func serveOne(ctx context.Context, c net.Conn, handle Handler) (err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
	defer stop()
	if err := c.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return err
	}
	var resp cniwire.Response
	request, err := read(c)
	if err != nil {
		resp.Error = &cniwire.Error{Code: cniwire.CodeInvalid, Message: err.Error()}
	} else {
		resp = handle(ctx, request)
	}
	b, err := json.Marshal(resp)
	if err == nil && len(b) >= cniwire.MaxMessage {
		b, err = json.Marshal(cniwire.Response{Error: &cniwire.Error{Code: cniwire.CodeInternal, Message: "the answer is too large"}})
	}
	if err != nil {
		return fmt.Errorf("encode the response: %w", err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

// read reads the request: one line of JSON.
func read(c net.Conn) (r cniwire.Request, err error) {
	line, err := bufio.NewReader(io.LimitReader(c, cniwire.MaxMessage+1)).ReadBytes('\n')
	switch {
	case len(line) > cniwire.MaxMessage:
		return r, fmt.Errorf("the request has more than %d bytes", cniwire.MaxMessage)
	case errors.Is(err, io.EOF):
		return r, errors.New("the request is cut off: it must end with a newline")
	case err != nil:
		return r, fmt.Errorf("read the request: %w", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("the request is malformed: %w", err)
	}
	return r, nil
}
