package openflow

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a connection.
const (
	dialTimeout    = 5 * time.Second
	requestTimeout = 30 * time.Second // of a request whose context has no deadline
	ioTimeout      = 10 * time.Second // of one write, and of the rest of a message that has begun
	probeInterval  = 10 * time.Second // of silence, until the switch is asked for an echo, and again until it is given up
	writeQueue     = 16               // batches of messages
	echoQueue      = 4
	packetInQueue  = 256
	maxReply       = 256 << 20 // octets of one multipart reply
	readBuffer     = 64 << 10
)

// ErrClosed is the reason of a connection that its owner closed.
var ErrClosed = errors.New("the OpenFlow connection is closed")

// Conn is a connection to the management socket of a bridge. Its methods may be called from several
// goroutines. Two goroutines of its own read and write; Close waits for both.
type Conn struct {
	nc     net.Conn
	path   string
	write  chan []byte
	echoes chan []byte
	done   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	err     error // why done is closed
	nextXID uint32
	calls   map[*call]struct{}
	ports   map[uint32]PortChange // since the last PortChanges

	portChanged chan struct{} // ports has something

	nextBundle  atomic.Uint32
	packetIns   chan PacketIn
	flowChanges chan struct{} // of one place
	dropped     atomic.Uint64
}

// call is a request that waits for its replies: those whose xid is from first to last. The reader calls
// handle, under the connection's lock, until it returns true; then finished is closed.
type call struct {
	first, last uint32
	handle      func(*call, message) bool
	finished    chan struct{}
}

// Dial connects to the management socket of a bridge, BRIDGE.mgmt in the run directory of Open vSwitch, and
// agrees with the switch on OpenFlow 1.5. The context bounds Dial alone.
func Dial(ctx context.Context, socketPath string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "unix", socketPath)
	if err != nil {
		return nil, fmt.Errorf("openflow: connect to the bridge: %w", err)
	}
	return start(ctx, nc, socketPath)
}

// start agrees on the version over a new connection, and starts the goroutines.
func start(ctx context.Context, nc net.Conn, path string) (*Conn, error) {
	c := &Conn{
		nc:          nc,
		path:        path,
		write:       make(chan []byte, writeQueue),
		echoes:      make(chan []byte, echoQueue),
		done:        make(chan struct{}),
		nextXID:     1,
		calls:       make(map[*call]struct{}),
		packetIns:   make(chan PacketIn, packetInQueue),
		flowChanges: make(chan struct{}, 1),
		ports:       make(map[uint32]PortChange),

		portChanged: make(chan struct{}, 1),
	}
	r := bufio.NewReaderSize(nc, readBuffer)
	if err := handshake(ctx, nc, r); err != nil {
		return nil, errors.Join(fmt.Errorf("openflow: %s: %w", path, err), nc.Close())
	}
	c.wg.Add(2)
	go c.readLoop(r)
	go c.writeLoop()
	if err := c.askForPacketIns(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// handshake exchanges hello messages (OpenFlow 1.5.1, section 6.3.1). The bitmap offers version 1.5 alone.
func handshake(ctx context.Context, nc net.Conn, r *bufio.Reader) error {
	// The loops set deadlines of their own for each read and write. A connection whose deadline can't be
	// set has ended, and the next read says so.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Now()) })
	defer stop()
	hello := be.AppendUint32([]byte{0, 1, 0, 8}, 1<<version)
	if _, err := nc.Write(appendOctets(nil, msgHello, 0, hello)); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	m, err := readMessage(r)
	switch {
	case err != nil:
		return fmt.Errorf("hello: %w", err)
	case m.kind == msgError:
		return fmt.Errorf("the bridge doesn't speak OpenFlow 1.5: add OpenFlow15 to its protocols: %w", decodeError(m.body))
	case m.kind != msgHello:
		return fmt.Errorf("the bridge began with message type %d instead of hello", m.kind)
	case !helloOffers(m.body):
		return errors.New("the bridge doesn't speak OpenFlow 1.5: add OpenFlow15 to its protocols")
	}
	return nil
}

// helloOffers reports whether the elements of a hello, behind its header, allow version 1.5. Without a
// bitmap the header's version decides, which an error message tells us then.
func helloOffers(body []byte) bool {
	c := cursor{b: body}
	props, err := c.properties()
	if err != nil {
		return true
	}
	for _, p := range props {
		if p.kind == 1 && len(p.body) >= 4 {
			return be.Uint32(p.body)&(1<<version) != 0
		}
	}
	return true
}

// readMessage reads one message.
func readMessage(r *bufio.Reader) (message, error) {
	h, err := r.Peek(headerLen)
	if err != nil {
		return message{}, err
	}
	n := int(be.Uint16(h[2:]))
	if n < headerLen {
		return message{}, fmt.Errorf("a message claims %d octets", n)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return message{}, err
	}
	return parseMessage(p)
}

// Done is closed when the connection has ended, by Close or by a failure; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection works, then why it ended: ErrClosed after Close.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection, fails the requests that wait, and returns when its goroutines have ended.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	c.wg.Wait()
	return nil
}

// fail ends the connection for the first reason given.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("openflow: %s: %w", c.path, err)
	}
	c.err = err
	close(c.done)
	c.nc.Close()
}

func (c *Conn) readLoop(r *bufio.Reader) {
	defer c.wg.Done()
	defer close(c.packetIns)
	for probed := false; ; {
		err := c.nc.SetReadDeadline(time.Now().Add(probeInterval))
		if err == nil {
			_, err = r.Peek(headerLen)
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && !probed {
				probed = true
				c.enqueueEcho(appendOctets(nil, msgEchoRequest, 0, nil))
				continue
			}
			c.fail(fmt.Errorf("read: %w", err))
			return
		}
		probed = false
		var m message
		if err = c.nc.SetReadDeadline(time.Now().Add(ioTimeout)); err == nil {
			m, err = readMessage(r)
		}
		if err != nil {
			c.fail(fmt.Errorf("read: %w", err))
			return
		}
		c.dispatch(m)
	}
}

// dispatch hands a message to the request that it answers. It never waits.
func (c *Conn) dispatch(m message) {
	switch m.kind {
	case msgEchoRequest:
		c.enqueueEcho(appendOctets(nil, msgEchoReply, m.xid, m.body))
		return
	case msgEchoReply:
		return
	case msgExperimenter:
		c.receivePacketIn(m.body)
		return
	case msgPortStatus:
		c.receivePortStatus(m.body)
		return
	}
	if m.kind == msgMultipartReply && m.xid == 0 {
		c.receiveFlowUpdates(m.body)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.calls {
		if m.xid >= k.first && m.xid <= k.last {
			if k.handle(k, m) {
				delete(c.calls, k)
				close(k.finished)
			}
			return
		}
	}
}

// enqueueEcho queues an echo message. A full queue means that the switch doesn't read; the write's
// deadline ends the connection then, and a lost echo changes nothing.
func (c *Conn) enqueueEcho(b []byte) {
	select {
	case c.echoes <- b:
	default:
	}
}

func (c *Conn) writeLoop() {
	defer c.wg.Done()
	for {
		var b []byte
		select {
		case b = <-c.echoes:
		case b = <-c.write:
		case <-c.done:
			return
		}
		err := c.nc.SetWriteDeadline(time.Now().Add(ioTimeout))
		if err == nil {
			_, err = c.nc.Write(b)
		}
		if err != nil {
			c.fail(fmt.Errorf("write: %w", err))
			return
		}
	}
}

// begin reserves n transaction numbers in a row and registers the call that waits for them.
func (c *Conn) begin(n uint32, handle func(*call, message) bool) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.nextXID > 1<<31 {
		c.nextXID = 1
	}
	k := &call{c.nextXID, c.nextXID + n - 1, handle, make(chan struct{})}
	c.nextXID += n
	c.calls[k] = struct{}{}
	return k, nil
}

// end forgets a call, whose replies then go nowhere. After end nothing calls the handler.
func (c *Conn) end(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, k)
}

// send queues messages for writing.
func (c *Conn) send(ctx context.Context, b []byte) error {
	select {
	case c.write <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.Err()
	}
}

// wait waits until the call is finished.
func (c *Conn) wait(ctx context.Context, k *call) error {
	select {
	case <-k.finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.Err()
	}
}

// withTimeout gives a deadline to a context that has none.
func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, requestTimeout)
}

// Barrier returns when the switch has processed everything that was sent before. The switch reports errors
// of earlier requests to those requests, not here.
func (c *Conn) Barrier(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var refused error
	k, err := c.begin(1, func(_ *call, m message) bool {
		if m.kind == msgError {
			refused = decodeError(m.body)
		}
		return true
	})
	if err != nil {
		return err
	}
	defer c.end(k)
	if err := c.send(ctx, appendOctets(nil, msgBarrierRequest, k.first, nil)); err != nil {
		return fmt.Errorf("openflow: barrier: %w", err)
	}
	if err := c.wait(ctx, k); err != nil {
		return fmt.Errorf("openflow: barrier: %w", err)
	}
	return refused
}
