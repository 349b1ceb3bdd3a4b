package cni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds the connection to a local socket: an agent that lives accepts at once.
const dialTimeout = 2 * time.Second

// conn is a connection to a unix socket that blocks its thread. Package net would start a poller and two threads for the
// one question that the plugin's process lives for, which takes a third of its time.
type conn struct {
	mu sync.Mutex
	fd int // -1 once it is closed
}

// dial connects. What the connection does is bounded by the context's deadline, if it has one.
func dial(ctx context.Context, path string) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &conn{fd: fd}
	// A connect waits for as long as a write may take: until the listener has room for it.
	err = c.setTimeout(unix.SO_SNDTIMEO, dialTimeout)
	if err == nil {
		err = again(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := max(time.Until(deadline), time.Millisecond)
		if err := errors.Join(c.setTimeout(unix.SO_SNDTIMEO, left), c.setTimeout(unix.SO_RCVTIMEO, left)); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// setTimeout bounds each write, or each read.
func (c *conn) setTimeout(option int, d time.Duration) error {
	t := unix.NsecToTimeval(d.Nanoseconds())
	return os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &t))
}

// write writes all of b.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		var n int
		err := again(func() (err error) { n, err = unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL); return err })
		if err != nil {
			return fmt.Errorf("write: %w", timedOut(err))
		}
		b = b[n:]
	}
	return nil
}

// Read implements io.Reader.
func (c *conn) Read(b []byte) (n int, err error) {
	err = again(func() (err error) { n, err = unix.Read(c.fd, b); return err })
	switch {
	case err != nil:
		return 0, fmt.Errorf("read: %w", timedOut(err))
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// interrupt ends a read or write that waits in another goroutine.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // one that has ended needs no interruption
	}
}

// close ends the connection; nothing is lost when that fails.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// timedOut says so of the error that a socket gives when its time is over.
func timedOut(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return os.ErrDeadlineExceeded
	}
	return err
}
