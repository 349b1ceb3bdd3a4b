// Package apiclient dials a controller, for the command line and for agents.
//
// A server is "unix:///path", the controller's socket on its own machine, or "https://host:port" with a client
// certificate of the fabric's CA; several of the latter, with commas between them, are controllers of one fabric, of
// which the first that can be reached is taken. The package knows nothing of how the controller works.
package apiclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// DefaultServer is where a controller on this machine listens.
const DefaultServer = "unix:///run/weft/controller.sock"

// DefaultPort is the controller's TCP port, for servers that are given without one.
const DefaultPort = "7600"

const (
	dialTimeout = 5 * time.Second
	// CallTimeout bounds every call that is not a stream and whose context has no deadline.
	CallTimeout = 35 * time.Second
	// A peer that says nothing for pingAfter is pinged; one that doesn't answer for pingTimeout is given up, with all
	// streams.
	pingAfter, pingTimeout = 4 * time.Second, 4 * time.Second
)

// Client speaks to one controller. Making one does not connect; the first call does.
type Client struct {
	// Server is the URL that the client was made with.
	Server string
	Intent weftv1connect.IntentServiceClient
	Audit  weftv1connect.AuditServiceClient
	// Observe asks running nodes.
	Observe weftv1connect.ObserveServiceClient
	Node    weftv1connect.NodeServiceClient
	// Peer is for controllers.
	Peer weftv1connect.PeerServiceClient

	join      weftv1connect.JoinServiceClient
	transport *http.Transport
}

// New returns a client of a server. Credentials are needed for https, and must be nil for a unix socket.
func New(server string, credentials *Credentials) (*Client, error) {
	var config *tls.Config
	if credentials != nil {
		config = credentials.TLSConfig()
	}
	return newClient(server, config)
}

func newClient(server string, config *tls.Config) (*Client, error) {
	if path, ok := strings.CutPrefix(server, "unix://"); ok && filepath.IsAbs(path) {
		if config != nil {
			return nil, fmt.Errorf("server %s: a unix socket takes no certificate: leave it out", server)
		}
		return unixClient(server, path), nil
	}
	var hosts []string
	for s := range strings.SplitSeq(server, ",") {
		host, err := hostOf(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	if config == nil {
		return nil, fmt.Errorf("server %s: a client certificate is needed: give the directory that holds it", server)
	}
	return tlsClient(server, hosts, config), nil
}

// hostOf returns the host and port of an https server.
func hostOf(server string) (string, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return "", fmt.Errorf("server %q is not a URL: %w", server, err)
	case u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "":
		return "", fmt.Errorf("server %q: write unix:///path/of/socket or https://host:port", server)
	case u.Port() == "":
		return net.JoinHostPort(u.Hostname(), DefaultPort), nil
	}
	return u.Host, nil
}

func unixClient(server, path string) *Client {
	t := transport()
	t.Protocols.SetUnencryptedHTTP2(true)
	dialer := net.Dialer{Timeout: dialTimeout}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	}
	return assemble(server, "http://controller", t)
}

func tlsClient(server string, hosts []string, config *tls.Config) *Client {
	t := transport()
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = config
	dialer := net.Dialer{Timeout: dialTimeout}
	// Every controller proves the same name, so it doesn't matter which one the connection is to.
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var errs []error
		for _, h := range hosts {
			c, err := dialer.DialContext(ctx, network, h)
			if err == nil {
				return c, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
	return assemble(server, "https://"+hosts[0], t)
}

func transport() *http.Transport {
	return &http.Transport{
		Protocols: new(http.Protocols), TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: 2 * time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: 30 * time.Second},
	}
}

func assemble(server, base string, t *http.Transport) *Client {
	h := &http.Client{Transport: t}
	deadline := connect.WithInterceptors(connect.UnaryInterceptorFunc(withDeadline))
	return &Client{
		Server: server, transport: t,
		Intent:  weftv1connect.NewIntentServiceClient(h, base, deadline),
		Audit:   weftv1connect.NewAuditServiceClient(h, base, deadline),
		Node:    weftv1connect.NewNodeServiceClient(h, base, deadline),
		Observe: weftv1connect.NewObserveServiceClient(h, base, deadline),
		Peer:    weftv1connect.NewPeerServiceClient(h, base, deadline),
		join:    weftv1connect.NewJoinServiceClient(h, base, deadline),
	}
}

func withDeadline(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if _, has := ctx.Deadline(); !has {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, CallTimeout)
			defer cancel()
		}
		return next(ctx, req)
	}
}

// Close closes the connections that no call uses. Streams end with their contexts.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
