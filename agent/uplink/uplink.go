// Package uplink is the agent's side of NodeService: domain types in and out, no envelopes. Errors carry their
// Connect code. It knows several controllers of one fabric and moves on to the next when one fails. It owns no
// goroutines but those that TakeQuestions waits for.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// Uplink asks the controllers through clients, which bring the node's certificate along. Until the node has joined,
// every call fails with CodeUnavailable and says why.
type Uplink struct {
	mu        sync.Mutex
	servers   []*connection
	current   int           // the one to ask first
	streaming bool          // current has the plan stream
	absent    string        // why there are no servers
	joined    chan struct{} // closed once there are
	expires   time.Time     // the certificate
}

// New returns an uplink of a node that has not joined yet; Member.Run makes it live.
func New() *Uplink { return &Uplink{absent: notJoined, joined: make(chan struct{})} }

// errEnded says that a controller ended a plan stream without a reason.
var errEnded = errors.New("the controller ended the plan stream")

// Watch opens the plan stream and calls update with each update, until one of the two fails. When the stream fails, the
// next call begins with another controller.
func (u *Uplink) Watch(ctx context.Context, have *weftv1.WatchPlanRequest, update func(*weftv1.PlanUpdate) error) error {
	servers, err := u.turn(ctx)
	if err != nil {
		return err
	}
	c := servers[0]
	ended := u.stream(c.server)
	refused, err := watch(ctx, c.node, have, update)
	ended()
	if refused == nil && err != nil && ctx.Err() == nil {
		u.leave(c.server)
		return named(c.server, len(servers), err)
	}
	return errors.Join(refused, err)
}

// watch is one stream. Refused is the error of update.
func watch(ctx context.Context, node weftv1connect.NodeServiceClient, have *weftv1.WatchPlanRequest, update func(*weftv1.PlanUpdate) error) (refused, err error) {
	stream, err := node.WatchPlan(ctx, connect.NewRequest(have))
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := stream.Close(); err == nil && refused == nil {
			err = closeErr
		}
	}()
	for stream.Receive() {
		if err := update(stream.Msg()); err != nil {
			return err, nil
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return nil, connect.NewError(connect.CodeUnavailable, errEnded)
}

// Register announces the node.
func (u *Uplink) Register(ctx context.Context, r *weftv1.RegisterRequest) error {
	_, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.RegisterResponse], error) {
		return n.Register(ctx, connect.NewRequest(r))
	})
	return err
}

// Announce announces the node with its next key. It reports whether all that are concerned know the key.
func (u *Uplink) Announce(ctx context.Context, r *weftv1.RegisterRequest) (known bool, err error) {
	resp, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.RegisterResponse], error) {
		return n.Register(ctx, connect.NewRequest(r))
	})
	if err != nil {
		return false, err
	}
	return resp.Msg.GetKnown(), nil
}

// Report tells the node's state.
func (u *Uplink) Report(ctx context.Context, r *weftv1.ReportRequest) error {
	_, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.ReportResponse], error) {
		return n.Report(ctx, connect.NewRequest(r))
	})
	return err
}

// LeaseBlock leases a block of addresses.
func (u *Uplink) LeaseBlock(ctx context.Context, r *weftv1.LeaseBlockRequest) (netip.Prefix, error) {
	resp, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.LeaseBlockResponse], error) {
		return n.LeaseBlock(ctx, connect.NewRequest(r))
	})
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(resp.Msg.Prefix)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("the controller leased a block that is none: %w", err)
	}
	return p, nil
}

// ReleaseBlock gives a block back.
func (u *Uplink) ReleaseBlock(ctx context.Context, r *weftv1.ReleaseBlockRequest) error {
	_, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.ReleaseBlockResponse], error) {
		return n.ReleaseBlock(ctx, connect.NewRequest(r))
	})
	return err
}

// ResolveIdentity returns the identity of a label set.
func (u *Uplink) ResolveIdentity(ctx context.Context, r *weftv1.ResolveIdentityRequest) (fabric.Identity, error) {
	resp, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.ResolveIdentityResponse], error) {
		return n.ResolveIdentity(ctx, connect.NewRequest(r))
	})
	if err != nil {
		return 0, err
	}
	id := fabric.Identity(resp.Msg.Identity)
	if id == 0 || id > fabric.MaxIdentity {
		return 0, fmt.Errorf("the controller resolved labels to %d, which is no identity", id)
	}
	return id, nil
}

// BindPort places a Port on the node.
func (u *Uplink) BindPort(ctx context.Context, r *weftv1.BindPortRequest) (fabric.PortRef, error) {
	resp, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.BindPortResponse], error) {
		return n.BindPort(ctx, connect.NewRequest(r))
	})
	if err != nil {
		return fabric.PortRef{}, err
	}
	ref, err := fabric.ParsePortRef(resp.Msg.Port)
	if err != nil {
		return fabric.PortRef{}, fmt.Errorf("the controller bound a port without a name: %w", err)
	}
	return ref, nil
}

// ReleasePort takes a Port off the node.
func (u *Uplink) ReleasePort(ctx context.Context, ref fabric.PortRef) error {
	_, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.ReleasePortResponse], error) {
		return n.ReleasePort(ctx, connect.NewRequest(&weftv1.ReleasePortRequest{Port: ref.String()}))
	})
	return err
}

// renewCertificate has a certificate request (PKCS #10, DER) signed.
func (u *Uplink) renewCertificate(ctx context.Context, csr []byte) ([]byte, error) {
	resp, err := ask(ctx, u, func(ctx context.Context, n weftv1connect.NodeServiceClient) (*connect.Response[weftv1.RenewCertificateResponse], error) {
		return n.RenewCertificate(ctx, connect.NewRequest(&weftv1.RenewCertificateRequest{Csr: csr}))
	})
	if err != nil {
		return nil, err
	}
	return resp.Msg.Certificate, nil
}

// Close closes the connections that no call uses.
func (u *Uplink) Close() {
	servers, err := u.order()
	if err != nil {
		return // there are none
	}
	for _, c := range servers {
		c.close()
	}
}
