package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// trafficTimeout bounds every read and write of a measurement.
const trafficTimeout = 20 * time.Second

// connection opens a TCP connection between two endpoints: each socket belongs to its endpoint's namespace,
// whichever thread uses it later.
func connection(tb testing.TB, from, to endpoint) (client, server net.Conn) {
	tb.Helper()
	var listener net.Listener
	if err := inNamespace(to.namespace, func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(to.address, "0"))
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), trafficTimeout)
	defer cancel()
	err := inNamespace(from.namespace, func() (err error) {
		var d net.Dialer
		client, err = d.DialContext(ctx, "tcp4", listener.Addr().String())
		return err
	})
	if err == nil {
		server, err = listener.Accept()
	}
	if err != nil {
		tb.Fatalf("from %s to %s: %v", from.address, to.address, err)
	}
	deadline := time.Now().Add(trafficTimeout)
	if err := errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline)); err != nil {
		tb.Fatal(err)
	}
	return client, server
}

// throughput sends over one TCP connection for some time, and returns how many bytes arrived.
func throughput(tb testing.TB, from, to endpoint, d time.Duration) (received int64, took time.Duration) {
	tb.Helper()
	client, server := connection(tb, from, to)
	sent := make(chan error, 1)
	start := time.Now()
	go func() {
		defer client.Close()
		block := make([]byte, 128<<10)
		for time.Since(start) < d {
			if _, err := client.Write(block); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	received, err := io.Copy(io.Discard, server)
	took = time.Since(start)
	if err := errors.Join(err, <-sent, server.Close()); err != nil {
		tb.Fatal(fmt.Errorf("send from %s to %s: %w", from.address, to.address, err))
	}
	return received, took
}

// roundTrips exchanges single bytes over one TCP connection, and returns what each exchange took.
func roundTrips(tb testing.TB, from, to endpoint, n int) []time.Duration {
	tb.Helper()
	client, server := connection(tb, from, to)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(server, server)
		echoed <- errors.Join(err, server.Close())
	}()
	out := make([]time.Duration, 0, n)
	b := make([]byte, 1)
	for range n {
		start := time.Now()
		if _, err := client.Write(b); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(client, b); err != nil {
			tb.Fatal(err)
		}
		out = append(out, time.Since(start))
	}
	if err := errors.Join(client.Close(), <-echoed); err != nil {
		tb.Fatal(err)
	}
	return out
}
