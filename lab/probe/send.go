package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxName bounds what a responder may answer.
const maxName = 256

// SendProbe sends one probe, again when nothing comes back in time, and says what became of it.
func SendProbe(ctx context.Context, s Send) Reply {
	reply := Reply{Why: "not tried"}
	for range max(s.Tries, 1) {
		ctx, cancel := context.WithTimeout(ctx, s.Timeout)
		start := time.Now()
		who, err := sendOnce(ctx, s)
		cancel()
		if err == nil {
			return Reply{Answered: true, Who: who, RTT: time.Since(start)}
		}
		reply.Why = reason(err)
	}
	return reply
}

func sendOnce(ctx context.Context, s Send) (string, error) {
	switch s.Protocol {
	case ICMP:
		return "", sendEcho(ctx, s)
	case TCP, UDP:
		return exchange(ctx, s)
	}
	return "", fmt.Errorf("protocol %q is unknown", s.Protocol)
}

// exchange sends the token over TCP or UDP, and returns the name that comes back with it.
func exchange(ctx context.Context, s Send) (string, error) {
	var dialer net.Dialer
	to := net.JoinHostPort(s.To.String(), strconv.Itoa(int(s.Port)))
	conn, err := dialer.DialContext(ctx, string(s.Protocol), to)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := fmt.Fprintf(conn, "%s\n", s.Token); err != nil {
		return "", err
	}
	buf := make([]byte, maxName)
	n, err := conn.Read(buf)
	if err != nil {
		return "", err
	}
	token, name, ok := strings.Cut(strings.TrimSuffix(string(buf[:n]), "\n"), " ")
	if !ok || token != s.Token {
		return "", fmt.Errorf("a foreign answer: %.40q", buf[:n])
	}
	return name, nil
}

// sendEcho sends an ICMP echo request and waits for the reply with the same token.
func sendEcho(ctx context.Context, s Send) error {
	family := familyOf(s.To)
	conn, err := net.ListenPacket(family.network, family.any)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.WriteTo(family.echo(family.request, s.Token), &net.IPAddr{IP: s.To.AsSlice()}); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		source, _ := netip.ParseAddr(from.String())
		if token, ok := family.token(family.reply, buf[:n]); ok && token == s.Token && source.Unmap().WithZone("") == s.To {
			return nil
		}
	}
}

// reason names the ways in which a probe can fail.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}
