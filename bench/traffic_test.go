package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// trafficTimeout bounds every read and write of a measurement.
const trafficTimeout = 5 * time.Second

// connection opens a TCP connection between two endpoints: each socket belongs to its endpoint's namespace,
// whichever thread uses it later.
func connection(ctx context.Context, from, to endpoint) (client, server net.Conn, err error) {
	var listener net.Listener
	if err := inNamespace(to.namespace, func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(to.address, "0"))
		return err
	}); err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(ctx, trafficTimeout)
	defer cancel()
	err = inNamespace(from.namespace, func() (err error) {
		var d net.Dialer
		client, err = d.DialContext(ctx, "tcp4", listener.Addr().String())
		return err
	})
	if err == nil {
		server, err = listener.Accept()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect %s to %s: %w", from.address, to.address, err)
	}
	deadline := time.Now().Add(trafficTimeout)
	return client, server, errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline))
}

// throughput sends over one TCP connection for some time, and returns how many bytes arrived.
func throughput(ctx context.Context, from, to endpoint, d time.Duration) (received int64, took time.Duration, err error) {
	client, server, err := connection(ctx, from, to)
	if err != nil {
		return 0, 0, err
	}
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
	received, err = io.Copy(io.Discard, server)
	took = time.Since(start)
	if err := errors.Join(err, <-sent, server.Close()); err != nil {
		return 0, 0, fmt.Errorf("send from %s to %s: %w", from.address, to.address, err)
	}
	return received, took, nil
}

// roundTrips exchanges single bytes over one TCP connection, and returns what each exchange took.
func roundTrips(ctx context.Context, from, to endpoint, n int) (out []time.Duration, err error) {
	client, server, err := connection(ctx, from, to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	go func() {
		_, _ = io.Copy(server, server) // the client sees what fails here
		_ = server.Close()
	}()
	b := make([]byte, 1)
	for range n {
		start := time.Now()
		if _, err := client.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(client, b); err != nil {
			return nil, err
		}
		out = append(out, time.Since(start))
	}
	return out, nil
}
