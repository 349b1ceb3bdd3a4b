package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// Client speaks to the program in one workload.
type Client struct {
	conn   net.Conn
	prefix string // of ids: answers to an earlier client's requests are told apart
	done   chan struct{}

	mu      sync.Mutex
	next    int
	waiting map[string]chan Answer
	err     error
}

// Dial connects to the unix socket of a workload's program, or of a serial line that leads to it.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, prefix: NewToken()[:8], done: make(chan struct{}), waiting: map[string]chan Answer{}}
	// The line may hold the beginning of what an earlier client wrote.
	if _, err := io.WriteString(conn, "\n"); err != nil {
		conn.Close()
		return nil, err
	}
	go c.receive()
	return c, nil
}

// NewToken returns 16 random bytes as hexadecimal digits.
func NewToken() string {
	var b [tokenLen]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Close ends the connection, and waits until nothing of it runs.
func (c *Client) Close() {
	_ = c.conn.Close() // nothing is lost: every answer that was waited for has come
	<-c.done
}

// Ask sends a request and waits for its answer. It may be called by several goroutines.
func (c *Client) Ask(ctx context.Context, req Request) (Answer, error) {
	answer := make(chan Answer, 1)
	c.mu.Lock()
	c.next++
	req.ID = c.prefix + "-" + strconv.Itoa(c.next)
	c.waiting[req.ID] = answer
	line, err := json.Marshal(req)
	if err == nil {
		_, err = c.conn.Write(append(line, '\n'))
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, req.ID)
		c.mu.Unlock()
	}()
	if err != nil {
		return Answer{}, fmt.Errorf("send to the workload: %w", err)
	}
	select {
	case a := <-answer:
		if a.Error != "" {
			return Answer{}, fmt.Errorf("the workload answered: %s", a.Error)
		}
		return a, nil
	case <-c.done:
		return Answer{}, fmt.Errorf("the workload hung up: %w", c.err)
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("the workload doesn't answer: %w", ctx.Err())
	}
}

// receive hands answers to those who wait for them; it ends with the connection.
func (c *Client) receive() {
	defer close(c.done)
	in := bufio.NewScanner(c.conn)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for in.Scan() {
		// A serial line echoes requests until the guest tells it not to: what has other fields is no answer.
		var a Answer
		d := json.NewDecoder(bytes.NewReader(in.Bytes()))
		d.DisallowUnknownFields()
		if d.Decode(&a) != nil {
			continue
		}
		c.mu.Lock()
		if answer, ok := c.waiting[a.ID]; ok {
			answer <- a
			delete(c.waiting, a.ID)
		}
		c.mu.Unlock()
	}
	if c.err = in.Err(); c.err == nil {
		c.err = errors.New("end of stream")
	}
}
