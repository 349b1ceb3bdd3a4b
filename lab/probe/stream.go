package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// streamWord is the first line of a connection on which the responder echoes everything, without end.
const streamWord = "stream"

// redialPause is between the end of a stream and the next one.
const redialPause = 100 * time.Millisecond

// runStream keeps a connection on which each number comes back, in order. One that breaks is replaced.
func runStream(ctx context.Context, t Traffic, c *counter) {
	for ctx.Err() == nil {
		err := oneStream(ctx, t, c)
		if ctx.Err() != nil {
			return
		}
		c.change(func(n *Count) { n.Breaks++; n.Why = reason(err) })
		select {
		case <-ctx.Done():
		case <-time.After(redialPause):
		}
	}
}

// oneStream is the life of one connection.
func oneStream(ctx context.Context, t Traffic, c *counter) error {
	dialer := net.Dialer{Timeout: t.Patience}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(t.To.String(), strconv.Itoa(int(t.Service.Port))))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\n", streamWord); err != nil {
		return err
	}
	r := &receiver{done: make(chan struct{})}
	go r.receive(conn, c)
	sent, err := sendNumbers(ctx, numbers{conn, t.Stream, c, r.done})
	if err == nil { // told to end: what is under way may still arrive
		if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil && conn.SetReadDeadline(time.Now().Add(t.Patience)) == nil {
			<-r.done
		}
	}
	resent := retransmissions(conn)
	_ = conn.Close() // the receiver ends with it
	<-r.done
	if err == nil {
		err = r.err
	}
	c.change(func(n *Count) { n.Resent += resent })
	c.lost(sent-r.answered, reason(err))
	return err
}

// receiver takes what comes back on a stream.
type receiver struct {
	done     chan struct{} // closed at its end
	answered int           // from then on, as is err
	err      error
}

func (r *receiver) receive(conn net.Conn, c *counter) {
	defer close(r.done)
	in := bufio.NewReader(conn)
	for ; ; r.answered++ {
		var line string
		if line, r.err = in.ReadString('\n'); r.err != nil {
			return
		}
		if strings.TrimSuffix(line, "\n") != strconv.Itoa(r.answered) {
			r.err = fmt.Errorf("number %d came back as %.40q", r.answered, line)
			return
		}
		c.answered()
	}
}

// numbers are what is written to a stream, until it is broken.
type numbers struct {
	conn     net.Conn
	interval time.Duration
	counter  *counter
	broken   <-chan struct{}
}

// sendNumbers writes a number at each tick. It ends without an error when the context does.
func sendNumbers(ctx context.Context, n numbers) (sent int, err error) {
	tick := time.NewTicker(n.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-n.broken:
			return sent, io.ErrUnexpectedEOF
		case <-tick.C:
		}
		if _, err := fmt.Fprintf(n.conn, "%d\n", sent); err != nil {
			return sent, err
		}
		sent++
		n.counter.sent()
	}
}

// echoLines is the responder's side.
func echoLines(conn net.Conn, in io.Reader) {
	if conn.SetDeadline(time.Time{}) == nil {
		_, _ = io.Copy(conn, in) // the sender counts what is missing
	}
}

// Of struct tcp_info (linux/tcp.h): eight bytes, then numbers of four bytes, of which tcpi_total_retrans is the 24th.
const (
	tcpInfoLen     = 104
	totalRetransAt = 8 + 23*4
)

// retransmissions returns how many segments of a connection TCP has sent again.
func retransmissions(conn net.Conn) int {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var info [tcpInfoLen]byte
	size := uint32(len(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(info[totalRetransAt:]))
}
