// Package uplink is the agent's side of NodeService: domain types in and out, no envelopes. Errors carry their
// Connect code. It owns no connection and no goroutine.
package uplink

import (
	"context"
	"fmt"
	"net/netip"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// Uplink asks the controller through a client, which brings the node's certificate along.
type Uplink struct {
	client current
}

// New returns an uplink that uses a client.
func New(client weftv1connect.NodeServiceClient) *Uplink {
	u := &Uplink{}
	u.client.Store(&connection{client, func() {}})
	return u
}

// Watch opens the plan stream and calls update with each update, until one of the two fails.
func (u *Uplink) Watch(ctx context.Context, have *weftv1.WatchPlanRequest, update func(*weftv1.PlanUpdate) error) (err error) {
	stream, err := u.client.Load().node.WatchPlan(ctx, connect.NewRequest(have))
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := stream.Close(); err == nil {
			err = closeErr
		}
	}()
	for stream.Receive() {
		if err := update(stream.Msg()); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return connect.NewError(connect.CodeUnavailable, fmt.Errorf("the controller ended the plan stream"))
}

// Register announces the node.
func (u *Uplink) Register(ctx context.Context, r *weftv1.RegisterRequest) error {
	_, err := u.client.Load().node.Register(ctx, connect.NewRequest(r))
	return err
}

// Report tells the node's state.
func (u *Uplink) Report(ctx context.Context, r *weftv1.ReportRequest) error {
	_, err := u.client.Load().node.Report(ctx, connect.NewRequest(r))
	return err
}

// LeaseBlock leases a block of addresses.
func (u *Uplink) LeaseBlock(ctx context.Context, r *weftv1.LeaseBlockRequest) (netip.Prefix, error) {
	resp, err := u.client.Load().node.LeaseBlock(ctx, connect.NewRequest(r))
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
	_, err := u.client.Load().node.ReleaseBlock(ctx, connect.NewRequest(r))
	return err
}

// ResolveIdentity returns the identity of a label set.
func (u *Uplink) ResolveIdentity(ctx context.Context, r *weftv1.ResolveIdentityRequest) (fabric.Identity, error) {
	resp, err := u.client.Load().node.ResolveIdentity(ctx, connect.NewRequest(r))
	if err != nil {
		return 0, err
	}
	id := fabric.Identity(resp.Msg.Identity)
	if id == 0 || id > fabric.MaxIdentity {
		return 0, fmt.Errorf("the controller resolved labels to %d, which is no identity", id)
	}
	return id, nil
}

// BindPort places a Port, named "tenant/name" or by its UID, on the node.
func (u *Uplink) BindPort(ctx context.Context, port string) (fabric.PortRef, error) {
	resp, err := u.client.Load().node.BindPort(ctx, connect.NewRequest(&weftv1.BindPortRequest{Port: port}))
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
	_, err := u.client.Load().node.ReleasePort(ctx, connect.NewRequest(&weftv1.ReleasePortRequest{Port: ref.String()}))
	return err
}
