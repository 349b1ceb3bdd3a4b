package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Responder answers probes with its workload's name.
type Responder struct {
	Name string
	// Listen are the services that answer.
	Listen []Service

	mu   sync.Mutex
	seen map[string]bool // tokens of received echo requests, until asked for
}

// clientTime bounds one TCP connection to a responder.
const clientTime = 5 * time.Second

// Serve listens on every service, and for echo requests, calls ready, and answers until the context ends.
func (r *Responder) Serve(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	start := func(closer interface{ Close() error }, serve func()) {
		context.AfterFunc(ctx, func() { _ = closer.Close() })
		wg.Go(serve)
	}
	for _, s := range r.Listen {
		at := net.JoinHostPort("", strconv.Itoa(int(s.Port)))
		switch s.Protocol {
		case TCP:
			l, err := net.Listen("tcp", at)
			if err != nil {
				return fmt.Errorf("listen on %s: %w", s, err)
			}
			start(l, func() { r.serveTCP(ctx, l) })
		case UDP:
			conn, err := net.ListenPacket("udp", at)
			if err != nil {
				return fmt.Errorf("listen on %s: %w", s, err)
			}
			start(conn, func() { r.serveUDP(conn) })
		default:
			return fmt.Errorf("can't listen on %s", s)
		}
	}
	for _, f := range []family{icmp4, icmp6} {
		conn, err := net.ListenPacket(f.network, f.any)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", f.network, err)
		}
		start(conn, func() { r.watchEchoes(f, conn) })
	}
	ready()
	<-ctx.Done()
	return nil
}

func (r *Responder) serveTCP(ctx context.Context, l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a connection that was reset before it was accepted
		}
		wg.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if conn.SetDeadline(time.Now().Add(clientTime)) != nil {
				return
			}
			in := bufio.NewReaderSize(conn, maxName)
			switch token, err := in.ReadString('\n'); {
			case err != nil:
			case token == streamWord+"\n":
				echoLines(conn, in)
			default:
				fmt.Fprintf(conn, "%s %s\n", token[:len(token)-1], r.Name)
			}
		})
	}
}

func (r *Responder) serveUDP(conn net.PacketConn) {
	buf := make([]byte, maxName)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && n > 1 {
			// A lost answer is what the probe is there to notice.
			_, _ = conn.WriteTo(fmt.Appendf(nil, "%s %s\n", buf[:n-1], r.Name), from)
		}
	}
}

// watchEchoes remembers who was asked; the kernel answers the echo requests by itself.
func (r *Responder) watchEchoes(f family, conn net.PacketConn) {
	const limit = 100_000
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if token, ok := f.token(f.request, buf[:n]); ok {
			r.mu.Lock()
			if r.seen == nil || len(r.seen) >= limit {
				r.seen = map[string]bool{}
			}
			r.seen[token] = true
			r.mu.Unlock()
		}
	}
}

// takeSeen returns the tokens that were received, in order, and forgets them.
func (r *Responder) takeSeen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tokens := make([]string, 0, len(r.seen))
	for t := range r.seen {
		tokens = append(tokens, t)
	}
	r.seen = nil
	slices.Sort(tokens)
	return tokens
}
